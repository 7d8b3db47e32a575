// A small disk for one directory: a tmpfs in a mount namespace of its own, which goes away with its holder whatever
// happens to the tests. Programs get onto it with `before`; the tests see it under `directory`. Needs root.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toolPath } from "./requirements.ts";
import { waitFor } from "./wait.ts";

export class SmallDisk implements AsyncDisposable {
  private constructor(
    private readonly holder: ChildProcess,
    private readonly mountPoint: string,
  ) {}

  /** Mounts it on `mountPoint`, for those who start with `before` alone. */
  static async mount(mountPoint: string, megabytes: number): Promise<SmallDisk> {
    mkdirSync(mountPoint, { recursive: true });
    const script =
      'mount -t tmpfs -o "size=$1m,mode=700" tidegate-test "$2" && echo ready && exec sleep infinity';
    const holder = spawn(
      toolPath("setpriv"),
      ["--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", script, "sh", `${megabytes}`, mountPoint],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    let isReady = false;
    holder.stdout?.on("data", () => {
      isReady = true;
    });
    await waitFor("a small disk", 5000, () => isReady);
    return new SmallDisk(holder, mountPoint);
  }

  /** What stands before a program that is to see it. */
  get before(): string[] {
    return [toolPath("nsenter"), "-t", `${this.holder.pid}`, "-m"];
  }

  /** Where the tests find its files. */
  get directory(): string {
    return join(`/proc/${this.holder.pid}/root`, this.mountPoint);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.directory);
    return bavail * bsize;
  }

  /** Takes all the space that is left. */
  fill(): void {
    for (let part = 0; this.freeBytes > 0; part++) {
      try {
        writeFileSync(join(this.directory, `filler-${part}`), Buffer.alloc(this.freeBytes));
      } catch {
        if (part > 8) return;
      }
    }
  }

  /** Gives the space back. */
  empty(): void {
    for (let part = 0; part < 16; part++) rmSync(join(this.directory, `filler-${part}`), { force: true });
  }

  /** Only while nobody has a file open for writing. */
  setReadOnly(isReadOnly: boolean): void {
    const [program = "", ...args] = [
      ...this.before,
      toolPath("mount"),
      "-o",
      `remount,${isReadOnly ? "ro" : "rw"}`,
      this.mountPoint,
    ];
    const done = spawnSync(program, args, { encoding: "utf8" });
    if (done.status !== 0) throw new Error(`cannot remount ${this.mountPoint}: ${done.stderr}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.holder.kill("SIGKILL");
    await waitFor("the end of a small disk", 5000, () => this.holder.signalCode !== null);
  }
}
