// One machine: a process that runs, stops, is killed or loses its power, a disk and a wall clock. What it runs is told
// by those who extend it. Everything a run has asked for (timers, answers) ends with it.

import type { Moment } from "../../shared/moment.ts";
import type { Durability } from "../../shared/store/block-log.ts";
import { DiskError, FakeDisk } from "./disk.ts";
import type { Random } from "./random.ts";
import { START_MS, type World } from "./world.ts";

export abstract class Host {
  readonly name: string;
  /** The one that matters most. */
  readonly disk: FakeDisk;
  readonly disks: FakeDisk[] = [];
  readonly world: World;
  protected readonly random: Random;
  /** What the wall clock is ahead of true time. */
  clockOffsetMs = 0;
  keyStage = 0;
  /** Something has happened here since the last check. */
  touched = false;
  starts = 0;
  #run = 0;
  #isUp = false;
  #died = false;
  readonly #durability: Durability;
  readonly #steadyStartMs: number;

  constructor(name: string, world: World, durability: Durability) {
    this.name = name;
    this.world = world;
    this.random = world.fork();
    this.#durability = durability;
    this.disk = this.addDisk();
    this.#steadyStartMs = this.random.below(1e9);
  }

  /** Another log, on a disk of its own. */
  protected addDisk(): FakeDisk {
    const disk = new FakeDisk(this.#durability, this.world.fork());
    disk.onDeath = () => {
      this.#died = true;
      this.world.schedule.after(0, () => this.kill("while it wrote"));
    };
    this.disks.push(disk);
    return disk;
  }

  get isUp(): boolean {
    return this.#isUp && !this.#died;
  }

  get wallMs(): number {
    return Math.max(0, Math.floor(START_MS + this.world.schedule.nowMs + this.clockOffsetMs));
  }

  get now(): Moment {
    return { wallMs: this.wallMs, steadyMs: this.#steadyStartMs + this.world.schedule.nowMs };
  }

  /** Makes the agent and its timers. Throws what the agent throws when it cannot start. */
  protected abstract boot(): void;
  /** Ends in good order. */
  protected abstract shutDown(): void;
  /** The run is over, and the disk knows of everything up to `version`: less than it did, when `isDamaged`. */
  protected abstract forget(version: number, isDamaged: boolean): void;

  start(): void {
    if (this.#isUp) return;
    this.#run++;
    this.#died = false;
    this.#isUp = true;
    this.starts++;
    this.world.trace.note(() => `${this.name} starts`);
    this.guard(() => this.boot());
  }

  /** Ends in good order, and comes back. */
  stop(downMs: number): void {
    if (!this.isUp) return;
    this.world.trace.note(() => `${this.name} stops`);
    this.guard(() => this.shutDown());
    if (this.isUp) this.#end("stopped", downMs);
  }

  kill(how: string, downMs = this.random.magnitude(5, 10_000)): void {
    if (this.#isUp) this.#end(`killed ${how}`, downMs);
  }

  cutPower(): void {
    if (this.#isUp) this.#end("lost its power", this.random.magnitude(1000, 20_000), true);
  }

  /** The disk is replaced by an empty one. */
  loseDisk(): void {
    if (!this.#isUp) return;
    this.#end("lost its disk", this.random.magnitude(1000, 20_000));
    this.#wipe();
  }

  /** Runs a piece of the present run. A disk that fails where the agent does not expect it ends the process. */
  guard(work: () => void): void {
    this.touched = true;
    try {
      work();
    } catch (error) {
      if (error instanceof DiskError) this.kill(`by its disk: ${error.message}`);
      else
        this.world.model.violate(
          `${this.name} threw ${error instanceof Error ? error.stack : String(error)}`,
        );
    }
  }

  after(delayMs: number, work: () => void) {
    const run = this.#run;
    return this.world.schedule.after(delayMs, () => {
      if (run === this.#run && this.isUp) this.guard(work);
    });
  }

  every(periodMs: number, work: () => void): void {
    const run = this.#run;
    this.world.schedule.every(periodMs, () => {
      if (run !== this.#run || !this.isUp) return false;
      this.guard(work);
      return true;
    });
  }

  #end(why: string, downMs: number, hard = false): void {
    this.world.trace.note(() => `${this.name} ${why}, down for ${downMs.toFixed(0)} ms`);
    this.#isUp = false;
    this.#run++;
    const before = this.disk.version;
    for (const disk of this.disks) {
      if (hard) disk.cutPower();
      else disk.disconnect();
    }
    this.forget(this.disk.version, this.disk.version < before);
    if (this.#durability === "memory") this.#wipe();
    const run = this.#run;
    this.world.schedule.after(downMs, () => {
      if (run === this.#run) this.start();
    });
  }

  #wipe(): void {
    for (const disk of this.disks) disk.wipe();
    this.forget(-1, true);
  }
}
