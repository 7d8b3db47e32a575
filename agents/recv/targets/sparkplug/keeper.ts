// When what is known is written, and what becomes of messages told: a few times a second, less often when that takes long. A disk that
// refuses holds the target up and is told as its problem; nothing is forgotten, nothing is said to be done.
import type { KnownNodes } from "./known-nodes.ts";
import type { Memory } from "./memory.ts";
import type { Settling } from "./settling.ts";

const EVERY_MS = 100;
/** Part of the time that may go into it, at most: one in so many. */
const SHARE = 8;
/** What is written in a second, on the whole: a disk has to last for years. */
const BYTES_PER_MS = 4096;
const LONGEST_MS = 2000;
const RETRY_MS = 1000;

export type KeeperRim = {
  problem(why: string): void;
  mended(): void;
};

export class Keeper {
  readonly #memory: Memory;
  readonly #known: KnownNodes;
  readonly #settling: Settling;
  readonly #rim: KeeperRim;
  #nextMs = 0;
  #bytes = 0;
  /** What the disk says while it refuses. */
  problem: string | undefined;

  constructor(memory: Memory, known: KnownNodes, settling: Settling, rim: KeeperRim) {
    this.#memory = memory;
    this.#known = known;
    this.#settling = settling;
    this.#rim = rim;
  }

  /** To be called every few milliseconds, with a clock that only runs forward. */
  tick(steadyMs: number): void {
    if (steadyMs < this.#nextMs) return;
    const began = performance.now();
    const isKept = this.flush();
    const tookMs = performance.now() - began;
    const restMs = Math.min(LONGEST_MS, Math.max(EVERY_MS, tookMs * SHARE, this.#bytes / BYTES_PER_MS));
    this.#nextMs = steadyMs + (isKept ? restMs : RETRY_MS);
  }

  /** False when the disk refuses. */
  flush(): boolean {
    this.#bytes = 0;
    try {
      const { dirty, gone } = this.#known.changes;
      if (dirty.size + gone.length > 0) this.#bytes = this.#memory.save(this.#known);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (why !== this.problem) this.#rim.problem(why);
      this.problem = why;
      return false;
    }
    if (this.problem !== undefined) this.#rim.mended();
    this.problem = undefined;
    this.#settling.release();
    return true;
  }
}
