// Makes a fresh checkout ready: dependencies as the lock file pins them, and a Bun that runs.
// Plain Node without dependencies, because it runs before anything is installed. Refuses Node before 20.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Stops the script with a line for a person; what was printed before stays visible above it. */
export function giveUp(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** Installs what is missing and returns the path of a working Bun. */
export function bootstrap() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20)
    giveUp(
      `cannot build with Node: is ${process.versions.node}, must be 20 or newer (Debian: nodejs from nodesource)`,
    );
  const reason = findStaleInstall();
  if (reason !== undefined) {
    process.stderr.write(`Installing the dependencies (${reason}) …\n`);
    const run = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: ROOT, stdio: ["ignore", 2, 2] });
    if (run.error) giveUp(`cannot install the dependencies: npm is ${run.error.code}, must be on the PATH`);
    if (run.status !== 0) giveUp("cannot install the dependencies: npm ci failed, its reason is above");
  }
  return findBun();
}

// npm writes node_modules/.package-lock.json last, so it serves as the stamp of a finished install: an
// interrupted one leaves none, and `npm install PACKAGE` keeps it true, which a stamp of ours would not be.
function findStaleInstall() {
  const wanted = readPackages("package-lock.json");
  if (wanted === undefined)
    giveUp("cannot install the dependencies: package-lock.json is missing or damaged");
  const installed = readPackages("node_modules/.package-lock.json");
  if (installed === undefined) return "none yet";
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "") continue;
    const found = installed[path];
    if (found === undefined && entry.optional) continue; // Made for another kind of machine.
    if (found?.version !== entry.version || !existsSync(join(ROOT, path)))
      return `${path.replace("node_modules/", "")} must be ${entry.version}`;
  }
  return undefined;
}

function readPackages(path) {
  try {
    return JSON.parse(readFileSync(join(ROOT, path), "utf8")).packages;
  } catch {
    return undefined;
  }
}

// The package `bun` puts its program in place in a postinstall script, which npm may hold back
// (--ignore-scripts, or npm 11 and newer). Then its own installer is run, and failing that the program is
// taken from where the package for this kind of machine keeps it.
function findBun() {
  const linked = join(ROOT, "node_modules/.bin/bun");
  if (runs(linked)) return linked;
  const installer = join(ROOT, "node_modules/bun/install.js");
  spawnSync(process.execPath, [installer], { cwd: join(ROOT, "node_modules/bun"), stdio: ["ignore", 2, 2] });
  if (runs(linked)) return linked;
  const folder = join(ROOT, "node_modules/@oven");
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const kept = join(folder, name, "bin/bun");
    if (runs(kept)) return kept;
  }
  return giveUp(
    `cannot find a Bun that runs on ${process.platform}-${process.arch}: node_modules/.bin/bun fails`,
  );
}

function runs(path) {
  return spawnSync(path, ["--version"], { stdio: "ignore" }).status === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(`${bootstrap()}\n`);
