// The page cache between the figures and the disk: emptied before what is to be measured cold, where the rights allow it.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** False when this user may not. */
export function dropCache(): boolean {
  return spawnSync("sh", ["-c", "sync; echo 3 > /proc/sys/vm/drop_caches"], { stdio: "ignore" }).status === 0;
}

/** Milliseconds that it takes to read all files of a log from end to end, doing nothing with them. */
export function timeReading(directory: string): number {
  const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map(({ name }) => join(directory, name));
  const began = performance.now();
  const run = spawnSync("cat", paths, { stdio: ["ignore", "ignore", "inherit"] });
  if (run.status !== 0) throw new Error(`cannot read ${directory}`);
  return performance.now() - began;
}
