// Brings what other machines' programs are made of: the runtime of each target from its npm package, and GCC's libraries for musl from a
// Python wheel. Each file is pinned by its hash and kept in dist/.media, so that a second build needs no network.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { giveUp, ROOT } from "../bootstrap.mjs";
import { run } from "./run.mjs";
import { TARGETS, WHEEL } from "./targets.mjs";

const CACHE = process.env.TIDEGATE_MEDIA_CACHE ?? join(ROOT, "dist/.media");
/** Where the programs for musl look for their libraries, seen from where they lie. */
const RUNPATH = "$ORIGIN/../lib/tidegate";

/** The path of the runtime to compile for `target` with; for musl it knows where its libraries lie. */
export function fetchRuntime(target) {
  const { runtime, integrity, wheel } = TARGETS[target];
  const { version, integrity: locked } = readLock(runtime);
  const folder = join(CACHE, `${runtime}-${version}`);
  const archive = join(CACHE, `oven-${runtime}-${version}.tgz`);
  if (!matches(archive, locked ?? integrity)) {
    mkdirSync(CACHE, { recursive: true });
    run("npm", ["pack", "--silent", `@oven/${runtime}@${version}`, "--pack-destination", CACHE]);
    if (!matches(archive, locked ?? integrity))
      giveUp(`cannot use @oven/${runtime} ${version}: its hash is not the one that is pinned`);
  }
  if (!existsSync(folder)) {
    const fresh = `${folder}.new`;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    run("tar", ["-xzf", archive, "-C", fresh, "--strip-components=1"]);
    if (wheel !== undefined) run("patchelf", ["--set-rpath", RUNPATH, join(fresh, "bin/bun")]);
    renameSync(fresh, folder);
  }
  return join(folder, "bin/bun");
}

/** Copies GCC's libraries for a target with musl to `to`, under the names that the programs ask for. */
export function fetchLibraries(target, to) {
  const { platform, sha256 } = TARGETS[target].wheel;
  const name = `${WHEEL.name}-${WHEEL.version}-cp${WHEEL.python}-cp${WHEEL.python}-${platform}.whl`;
  const archive = join(CACHE, name);
  const pin = `sha256-${Buffer.from(sha256, "hex").toString("base64")}`;
  if (!matches(archive, pin)) {
    const wish = ["--no-deps", "--only-binary", ":all:", "--platform", platform, "--dest", CACHE];
    const python = ["--python-version", WHEEL.python, "--quiet", "--disable-pip-version-check"];
    run("python3", ["-m", "pip", "download", ...wish, ...python, `${WHEEL.name}==${WHEEL.version}`]);
    if (!matches(archive, pin)) giveUp(`cannot use ${name}: its hash is not the one that is pinned`);
  }
  const folder = `${archive}.files`;
  rmSync(folder, { recursive: true, force: true });
  run("python3", ["-m", "zipfile", "-e", archive, folder]);
  const libraries = join(folder, `${WHEEL.name}.libs`);
  for (const file of readdirSync(libraries).sort()) {
    // The wheel's own tools gave both an unusual name; the C++ library asks for the other under it.
    const wanted = file.startsWith("libstdc++") ? "libstdc++.so.6" : file;
    copyFileSync(join(libraries, file), join(to, wanted));
  }
  rmSync(folder, { recursive: true });
}

/** The version of the runtime is that of the compiler, so that what is tested here is what runs there. */
function readLock(runtime) {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
  const { version } = packages["node_modules/bun"];
  const entry = packages[`node_modules/@oven/${runtime}`];
  if (entry !== undefined && entry.version !== version)
    giveUp(`cannot use @oven/${runtime}: is ${entry.version}, must be ${version}`);
  return { version, integrity: entry?.integrity };
}

function matches(path, integrity) {
  if (!existsSync(path)) return false;
  const [algorithm, expected] = integrity.split(/-(.*)/s);
  return createHash(algorithm).update(readFileSync(path)).digest("base64") === expected;
}

/** Whether the programs of two targets would be the same, byte by byte. */
export function areSameRuntime(one, other) {
  return spawnSync("cmp", ["-s", fetchRuntime(one), fetchRuntime(other)]).status === 0;
}
