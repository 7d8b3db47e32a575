// How fast one connection may publish: messages and bytes a second, each a token bucket that the caller's clock fills.
// Pure. Clouds discard or delay what comes faster (AWS IoT: without a word), so the limit is kept on this side.

/** What may go at once after a pause, in seconds of the rate: small, because clouds count by the second. */
const BURST_SECONDS = 0.1;

export type PublishRateSettings = {
  /** 0 = no limit. */
  readonly messagesPerSecond: number;
  /** 0 = no limit. */
  readonly bytesPerSecond: number;
};

export class PublishRate {
  readonly #messages: Bucket | undefined;
  readonly #bytes: Bucket | undefined;

  constructor({ messagesPerSecond, bytesPerSecond }: PublishRateSettings) {
    this.#messages = messagesPerSecond === 0 ? undefined : new Bucket(messagesPerSecond, 1);
    // A message larger than a burst goes too, and those after it wait for what it owes.
    this.#bytes = bytesPerSecond === 0 ? undefined : new Bucket(bytesPerSecond, 0);
  }

  get isOpen(): boolean {
    return this.#messages?.isOpen !== false && this.#bytes?.isOpen !== false;
  }

  take(bytes: number): void {
    this.#messages?.take(1);
    this.#bytes?.take(bytes);
  }

  /** `steadyMs` of a clock that only runs forward. */
  tick(steadyMs: number): void {
    this.#messages?.fill(steadyMs);
    this.#bytes?.fill(steadyMs);
  }
}

class Bucket {
  readonly #perSecond: number;
  readonly #least: number;
  readonly #tokensMax: number;
  #tokens: number;
  #lastMs: number | undefined;

  constructor(perSecond: number, least: number) {
    this.#perSecond = perSecond;
    this.#least = least;
    this.#tokensMax = Math.max(1, perSecond * BURST_SECONDS);
    this.#tokens = this.#tokensMax;
  }

  get isOpen(): boolean {
    return this.#tokens >= this.#least && this.#tokens > 0;
  }

  take(tokens: number): void {
    this.#tokens -= tokens;
  }

  fill(steadyMs: number): void {
    const seconds = (steadyMs - (this.#lastMs ?? steadyMs)) / 1000;
    this.#lastMs = steadyMs;
    this.#tokens = Math.min(this.#tokensMax, this.#tokens + seconds * this.#perSecond);
  }
}
