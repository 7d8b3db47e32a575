// Compiles the two agents to dist/tidegate-send and dist/tidegate-recv. Does nothing when neither the
// sources nor what is stamped into them has changed; `--force` compiles all the same.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bootstrap, giveUp, ROOT } from "./bootstrap.mjs";
import { readStamp } from "./stamp.mjs";
import { collectLicences } from "./third-party.mjs";

export const AGENTS = ["send", "recv"];
const SOURCES = [
  "agents",
  "shared",
  "build/build.mjs",
  "build/stamp.mjs",
  "build/third-party.mjs",
  "package.json",
  "package-lock.json",
];
// A compiled program must not act on files that lie where it happens to be started: see the security page.
const COMPILE = ["--compile", "--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
// Names stay readable and positions point to the sources in stack traces.
const TRACE = ["--keep-names", "--sourcemap=inline"];

// Some packages ask where they lie, and would be told the folder they were built in: it is nobody's business, and would make each
// checkout's programs differ.
const PLACELESS = ["--define", '__dirname="/"', "--define", '__filename="/"'];

/** Compiles what is out of date and returns the paths of both programs. */
export function build(bun, { force = false } = {}) {
  const stamp = readStamp();
  const programs = AGENTS.map((agent) => join(ROOT, `dist/tidegate-${agent}`));
  const digest = digestSources(stamp);
  const mark = join(ROOT, "dist/.sources");
  const upToDate =
    existsSync(mark) && readFileSync(mark, "utf8") === digest && programs.every((path) => existsSync(path));
  if (upToDate && !force) return programs;
  for (const agent of AGENTS) {
    if (!existsSync(join(ROOT, `agents/${agent}/main.ts`)))
      giveUp(`cannot build tidegate-${agent}: agents/${agent}/main.ts is missing`);
  }
  mkdirSync(join(ROOT, "dist"), { recursive: true });
  rmSync(mark, { force: true });
  for (const agent of AGENTS) compile(bun, agent, stamp, `dist/tidegate-${agent}`);
  writeFileSync(join(ROOT, "dist/THIRD_PARTY.txt"), collectLicences());
  writeFileSync(mark, digest);
  return programs;
}

// Compiled beside its final name and moved there, so that an agent that runs from dist/ is never cut short.
/** Compiles one agent to `path`, relative to the root; `more` are further arguments of the compiler. */
export function compile(bun, agent, stamp, path, more = []) {
  const defines = Object.entries(stamp).flatMap(([name, value]) => [
    "--define",
    `${name}=${JSON.stringify(value)}`,
  ]);
  const fresh = `${path}.new`;
  const entry = `agents/${agent}/main.ts`;
  const args = ["build", entry, ...COMPILE, ...TRACE, ...PLACELESS, ...defines, ...more, "--outfile", fresh];
  const run = spawnSync(bun, args, { cwd: ROOT, encoding: "utf8" });
  if (run.status !== 0) giveUp(`cannot build tidegate-${agent}:\n${run.stdout}${run.stderr}`);
  rmSync(join(ROOT, `${fresh}.map`), { force: true }); // A copy lies within the program.
  renameSync(join(ROOT, fresh), join(ROOT, path));
}

function digestSources(stamp) {
  const hash = createHash("sha256").update(JSON.stringify(stamp));
  for (const path of SOURCES.flatMap(listFiles).sort()) {
    hash.update(`\0${path}\0`).update(readFileSync(join(ROOT, path)));
  }
  return hash.digest("hex");
}

function listFiles(path) {
  if (!existsSync(join(ROOT, path))) return [];
  if (/\.[a-z]+$/.test(path)) return [path];
  const entries = readdirSync(join(ROOT, path), { withFileTypes: true });
  return entries.flatMap((entry) =>
    entry.isDirectory() ? listFiles(`${path}/${entry.name}`) : [`${path}/${entry.name}`],
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const path of build(bootstrap(), { force: process.argv.includes("--force") }))
    process.stdout.write(`${path}\n`);
}
