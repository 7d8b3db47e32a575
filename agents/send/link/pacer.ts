// A token bucket: how many bytes may leave now, and when the next may. Time that it could not use because nobody asked, though
// something waited (a timer that was late, a disk that took its time), is made up for a little faster than usual, so that a
// busy host costs none of the path's rate. Pure: time is an argument, in milliseconds.

/** Time's worth of bytes that may gather while nothing leaves: makes up for the coarseness of timers. */
const BURST_MS = 4;

/** Time's worth of bytes that may be made up for at most … */
const LATE_MS_MAX = 100;
/** … and how much faster than the rate. */
const CATCH_UP = 0.25;

/** Sums of fractions are never quite whole: without this, a wait could be too short for a clock to see. */
const ROUNDING_BYTES = 0.001;

export class Pacer {
  readonly #bytesPerMs: number;
  readonly #burstBytes: number;
  #tokens: number;
  /** Bytes that could have left and did not. */
  #late = 0;
  /** Something waits for tokens. */
  #waiting = false;
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
    if (nowMs > this.#lastMs) this.#fill((nowMs - this.#lastMs) * this.#bytesPerMs);
    this.#lastMs = nowMs;
    this.#waiting = this.#tokens < bytes - ROUNDING_BYTES;
    if (this.#waiting) return false;
    this.#tokens -= bytes;
    return true;
  }

  #fill(earned: number): void {
    const sum = this.#tokens + earned;
    const over = Math.max(0, sum - this.#burstBytes);
    const repaid = Math.min(this.#late, earned * CATCH_UP, this.#burstBytes - sum + over);
    this.#tokens = sum - over + repaid;
    const late = this.#late - repaid + over;
    this.#late = this.#waiting ? Math.min(late, LATE_MS_MAX * this.#bytesPerMs) : 0;
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
