// How long to wait before the next attempt: exponential with decorrelated jitter, so that a thousand agents do not
// all knock on a broker that has just come back at the same moment. Pure: randomness is passed in.

const GROWTH = 3;

export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #lastMs: number;

  /** `random` gives 0 (included) to 1 (excluded). */
  constructor(minMs: number, maxMs: number, random: () => number) {
    this.#minMs = minMs;
    this.#maxMs = Math.max(minMs, maxMs);
    this.#random = random;
    this.#lastMs = minMs;
  }

  /** The next wait, in whole milliseconds: between the minimum and three times the one before, at most the maximum. */
  next(): number {
    const ceilingMs = Math.min(this.#maxMs, this.#lastMs * GROWTH);
    this.#lastMs = Math.round(this.#minMs + this.#random() * (ceilingMs - this.#minMs));
    return this.#lastMs;
  }

  /** Call when a connection has proved to be stable. */
  reset(): void {
    this.#lastMs = this.#minMs;
  }
}
