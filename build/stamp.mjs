// Says what is stamped into the programs: version, commit and date. The date is the commit's, never the
// clock's, so that the same commit gives the same bytes on any day.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

/** The values that shared/build-info.ts declares, by name. */
export function readStamp() {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  return { STAMPED_VERSION: version, STAMPED_COMMIT: readCommit(), STAMPED_DATE: readDate() };
}

function readCommit() {
  const commit = git("rev-parse", "--short=12", "HEAD");
  if (commit === undefined) return "unknown";
  const changed = git("status", "--porcelain", "--", "agents", "shared", "package.json", "package-lock.json");
  return changed === "" ? commit : `${commit}-changed`;
}

function readDate() {
  const epochSeconds = readEpochSeconds();
  return epochSeconds === undefined ? "unknown" : new Date(epochSeconds * 1000).toISOString();
}

/** The commit's time in seconds since 1970, or what SOURCE_DATE_EPOCH says. */
export function readEpochSeconds() {
  const epochSeconds = Number(
    process.env.SOURCE_DATE_EPOCH ?? git("log", "-1", "--format=%ct") ?? Number.NaN,
  );
  return Number.isFinite(epochSeconds) ? epochSeconds : undefined;
}

// The sources may be an unpacked archive without git, or lie inside another repository.
function git(...args) {
  const top = spawnSync("git", ["rev-parse", "--show-cdup"], { cwd: ROOT, encoding: "utf8" });
  if (top.status !== 0 || top.stdout.trim() !== "") return undefined;
  const run = spawnSync("git", args, { cwd: ROOT, encoding: "utf8" });
  return run.status === 0 ? run.stdout.trim() : undefined;
}
