// How fast a backlog may go: a token bucket that is filled by the clock of whoever calls tick(). Pure.

/** What may go at once after a pause, in seconds of the rate. */
const BURST_SECONDS = 0.1;

export class Pace {
  readonly #perSecond: number;
  readonly #tokensMax: number;
  #tokens: number;
  #lastMs: number | undefined;

  /** `perSecond` 0 is no limit. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#tokensMax = Math.max(1, perSecond * BURST_SECONDS);
    this.#tokens = this.#tokensMax;
  }

  get isOpen(): boolean {
    return this.#perSecond === 0 || this.#tokens >= 1;
  }

  take(): void {
    this.#tokens -= 1;
  }

  /** `steadyMs` of a clock that only runs forward. */
  tick(steadyMs: number): void {
    const seconds = (steadyMs - (this.#lastMs ?? steadyMs)) / 1000;
    this.#lastMs = steadyMs;
    this.#tokens = Math.min(this.#tokensMax, this.#tokens + seconds * this.#perSecond);
  }
}
