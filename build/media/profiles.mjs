// One commented profile for each type of target, in examples/profiles: what `tidegate-recv init TYPE` prints, so that a type that is new to
// the program is on the media, too.
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { giveUp, ROOT } from "../bootstrap.mjs";

/** Writes them, and returns the names of the types. */
export function writeProfiles(tree) {
  const types = /One of ([a-z0-9, -]+)/.exec(ask("--help"))?.[1]?.split(", ");
  if (types === undefined) giveUp("cannot make the media: tidegate-recv init --help names no types");
  const folder = join(tree, "examples/profiles");
  mkdirSync(folder);
  for (const type of types) writeFileSync(join(folder, `${type}.toml`), ask(type));
  return types;
}

function ask(word) {
  const done = spawnSync(join(ROOT, "dist/tidegate-recv"), ["init", word], { encoding: "utf8" });
  if (done.status !== 0) giveUp(`cannot make the media: tidegate-recv init ${word} failed: ${done.stderr}`);
  return done.stdout;
}
