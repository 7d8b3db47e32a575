// A token bucket: how many bytes may leave now, and when the next may. Pure: time is an argument, in milliseconds.

/** Time's worth of bytes that may gather while nothing leaves: makes up for the coarseness of timers. */
const BURST_MS = 4;

/** Sums of fractions are never quite whole: without this, a wait could be too short for a clock to see. */
const ROUNDING_BYTES = 0.001;

export class Pacer {
  readonly #bytesPerMs: number;
  readonly #burstBytes: number;
  #tokens: number;
  #lastMs: number;

  /** `largestBytes` is the size on the wire of the largest datagram: one always fits the bucket. */
  constructor(mbitPerSecond: number, largestBytes: number, nowMs: number) {
    this.#bytesPerMs = (mbitPerSecond * 1_000_000) / 8 / 1000;
    // Beside the datagram that waits there is room for what gathers until a late timer: else a slow path would be slower still.
    this.#burstBytes = largestBytes + this.#bytesPerMs * BURST_MS;
    this.#tokens = this.#burstBytes;
    this.periodMs = largestBytes / this.#bytesPerMs;
    this.#lastMs = nowMs;
  }

  /** The time that the largest datagram takes on the wire. */
  readonly periodMs: number;

  /** Takes the bytes out of the bucket when it holds them. */
  take(bytes: number, nowMs: number): boolean {
    if (nowMs > this.#lastMs) {
      this.#tokens = Math.min(this.#burstBytes, this.#tokens + (nowMs - this.#lastMs) * this.#bytesPerMs);
    }
    this.#lastMs = nowMs;
    if (this.#tokens < bytes - ROUNDING_BYTES) return false;
    this.#tokens -= bytes;
    return true;
  }

  /** Puts back what did not leave after all. */
  giveBack(bytes: number): void {
    this.#tokens += bytes;
  }

  /** The time that so many bytes take on the wire. */
  timeMs(bytes: number): number {
    return bytes / this.#bytesPerMs;
  }

  /** Milliseconds until `bytes` may leave. */
  waitMs(bytes: number): number {
    return Math.max(0, (bytes - this.#tokens) / this.#bytesPerMs);
  }
}
