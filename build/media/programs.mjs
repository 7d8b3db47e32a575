// Compiles both agents for each target into bin/TARGET of the tree. Where two targets have the same runtime, the second is a hard link, which
// neither the archive nor the image stores twice.
import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { ROOT } from "../bootstrap.mjs";
import { AGENTS, compile } from "../build.mjs";
import { areSameRuntime, fetchLibraries, fetchRuntime } from "./fetch.mjs";
import { TARGETS } from "./targets.mjs";

export function compilePrograms(bun, stamp, targets, tree) {
  for (const [index, target] of targets.entries()) {
    const folder = join(tree, "bin", target);
    mkdirSync(folder, { recursive: true });
    const twin = targets.slice(0, index).find((other) => areTwins(other, target));
    for (const agent of AGENTS) {
      const path = join(folder, `tidegate-${agent}`);
      if (twin !== undefined) linkSync(join(tree, "bin", twin, `tidegate-${agent}`), path);
      else
        compile(bun, agent, stamp, relative(ROOT, path), [
          `--target=bun-${target}`,
          `--compile-executable-path=${fetchRuntime(target)}`,
        ]);
    }
    // Each target has the folder, so that the container's recipe can copy it whichever it is.
    const libraries = join(tree, "lib", target);
    mkdirSync(libraries, { recursive: true });
    if (TARGETS[target].wheel !== undefined) fetchLibraries(target, libraries);
    else writeFileSync(join(libraries, "README.txt"), "Programs for glibc bring no libraries.\n");
  }
}

function areTwins(one, other) {
  return TARGETS[one].machine === TARGETS[other].machine && areSameRuntime(one, other);
}
