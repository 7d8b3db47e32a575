// The time of a fake: the machine's, plus what a test has added, so that an hour can pass in an instant.

export type Alarm = { cancel(): void };

export class FakeClock {
  #aheadMs = 0;
  readonly #alarms = new Set<() => void>();

  now(): number {
    return Date.now() + this.#aheadMs;
  }

  /** Lets time pass: alarms that are due ring before this returns. Negative: the fake's clock goes wrong. */
  advance(ms: number): void {
    this.#aheadMs += ms;
    for (const check of [...this.#alarms]) check();
  }

  /** Calls `ring` once, when `atMs` has come by this clock. */
  setAlarm(atMs: number, ring: () => void): Alarm {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const cancel = (): void => {
      clearTimeout(timer);
      this.#alarms.delete(check);
    };
    const check = (): void => {
      clearTimeout(timer);
      const leftMs = atMs - this.now();
      if (leftMs <= 0) {
        cancel();
        ring();
      } else {
        timer = setTimeout(check, Math.min(leftMs, 60_000));
      }
    };
    this.#alarms.add(check);
    check();
    return { cancel };
  }
}

/** So many a second, with one second's worth at once. */
export class TokenBucket {
  #tokens: number;
  #atMs: number;

  constructor(
    private readonly perSecond: number,
    private readonly clock: FakeClock,
    private readonly burst: number = perSecond,
  ) {
    this.#tokens = burst;
    this.#atMs = clock.now();
  }

  /** Takes it if it is there. */
  tryTake(count: number): boolean {
    this.#refill();
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Takes it in any case, and returns for how many milliseconds one has to wait to have been allowed to. */
  takeLate(count: number): number {
    this.#refill();
    this.#tokens -= count;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.perSecond) * 1000;
  }

  #refill(): void {
    const nowMs = this.clock.now();
    const passedMs = Math.max(0, nowMs - this.#atMs);
    this.#tokens = Math.min(this.burst, this.#tokens + (passedMs * this.perSecond) / 1000);
    this.#atMs = nowMs;
  }
}
