// Compares what arrives with what was sent, by content and order, knowing nothing of the agents' own counts.
// Keeps a digest for each message under way, so memory is bounded by what is under way.

const RECENT_MAX = 50_000;

export class Comparison {
  /** Messages that should arrive, and have been sent. */
  expected = 0;
  arrived = 0;
  /** Neither under way nor recently arrived: topic or payload is not as it was sent. */
  altered = 0;
  duplicated = 0;
  /** Arrived although sent before one that had already arrived. */
  outOfOrder = 0;
  readonly #underWay = new Map<bigint, number>();
  readonly #recent = new Set<bigint>();
  #latest = -1;

  /** How many have not arrived yet. */
  get missing(): number {
    return this.#underWay.size;
  }

  expect(topic: string, payload: Uint8Array): void {
    this.#underWay.set(digest(topic, payload), this.expected);
    this.expected += 1;
  }

  take(topic: string, payload: Uint8Array): void {
    const key = digest(topic, payload);
    const position = this.#underWay.get(key);
    if (position === undefined) {
      if (this.#recent.has(key)) this.duplicated += 1;
      else this.altered += 1;
      return;
    }
    this.#underWay.delete(key);
    this.#remember(key);
    this.arrived += 1;
    if (position < this.#latest) this.outOfOrder += 1;
    this.#latest = Math.max(this.#latest, position);
  }

  #remember(key: bigint): void {
    this.#recent.add(key);
    const [oldest] = this.#recent;
    if (this.#recent.size > RECENT_MAX && oldest !== undefined) this.#recent.delete(oldest);
  }
}

function digest(topic: string, payload: Uint8Array): bigint {
  return Bun.hash.xxHash64(payload, Bun.hash.xxHash64(topic));
}
