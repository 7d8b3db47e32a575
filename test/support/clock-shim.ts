// A wall clock for one agent that a test can step while it runs (clock-shim.c, compiled on the spot).
import { spawnSync } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { toolPath } from "./requirements.ts";
import type { Workspace } from "./workspace.ts";

export class ClockShim {
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;

  constructor(workspace: Workspace, name: string) {
    const library = workspace.path("clock-shim.so");
    const source = join(import.meta.dir, "clock-shim.c");
    const args = ["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"];
    const run = spawnSync(toolPath("gcc"), args, { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`cannot compile ${source}: ${run.stderr}`);
    this.#file = workspace.write(`${name}.clock`, "\0".repeat(8));
    this.env = { LD_PRELOAD: library, CLOCK_SHIM_FILE: this.#file };
  }

  /** From now on the clock is off by so many hours. */
  set(hours: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(Math.round(hours * 3600)));
    const fd = openSync(this.#file, "r+");
    writeSync(fd, bytes, 0, 8, 0);
    closeSync(fd);
  }
}
