// Which edge nodes are to be asked to be born again, and when. One node is asked at most once in a while, longer each time it
// changes nothing; all together at most so many a second, so that a broker that comes back, with hundreds of nodes behind it,
// is not met by a storm. Who could not be asked stays in the queue.
// Pure; bounded: beyond the limit who is new is not queued; the next message of that node asks again.
import type { Trouble } from "../../../shared/sparkplug/birth.ts";
import { TokenBucket } from "../ingress/listen/token-bucket.ts";

export type Ask = { readonly group: string; readonly node: string; readonly reason: Trouble };

export type RebirthLimits = {
  readonly minMs: number;
  readonly perSecondMax: number;
  readonly nodesMax: number;
};

/** The time between two requests grows to so many times the shortest. */
const GROWTH_MAX = 32;

type Past = { atMs: number; waitMs: number };

export class Rebirths {
  readonly #limits: RebirthLimits;
  readonly #bucket: TokenBucket;
  readonly #queue = new Map<string, Ask>();
  /** Those of them that nobody has listened for yet. */
  readonly #unreached = new Set<string>();
  readonly #past = new Map<string, Past>();
  /** Requests that were made. */
  asked = 0;
  /** Wishes that found one under way, or came too soon behind one. */
  heldBack = 0;

  constructor(limits: RebirthLimits, nowMs: number) {
    this.#limits = limits;
    this.#bucket = new TokenBucket(limits.perSecondMax, nowMs);
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** Something was missed of the node. */
  want(ask: Ask): void {
    const key = `${ask.group}/${ask.node}`;
    if (this.#queue.has(key) || !this.#hasRoom()) this.heldBack++;
    else this.#queue.set(key, ask);
  }

  /** The node was born: nothing is missed any more. */
  settle(group: string, node: string): void {
    this.#queue.delete(`${group}/${node}`);
    this.#unreached.delete(`${group}/${node}`);
  }

  /** In a full queue who could not be reached makes room: names that nobody listens to must not keep the others out. */
  #hasRoom(): boolean {
    if (this.#queue.size < this.#limits.nodesMax) return true;
    const [first] = this.#unreached;
    if (first === undefined) return false;
    this.#unreached.delete(first);
    return this.#queue.delete(first);
  }

  /** Asks, by `say`, whom it is time to ask; who cannot be reached stays in the queue. */
  tick(nowMs: number, say: (ask: Ask) => boolean): void {
    this.#forget(nowMs);
    for (const [key, ask] of this.#queue) {
      const past = this.#past.get(key);
      if (past !== undefined && nowMs - past.atMs < past.waitMs) continue;
      if (this.#bucket.waitMs(nowMs) > 0) return;
      if (!say(ask)) {
        this.#unreached.add(key);
        continue;
      }
      this.#bucket.tryTake(nowMs);
      this.settle(ask.group, ask.node);
      this.asked++;
      const { minMs } = this.#limits;
      const waitMs = past === undefined ? minMs : Math.min(past.waitMs * 2, minMs * GROWTH_MAX);
      this.#past.set(key, { atMs: nowMs, waitMs });
    }
  }

  /** A node that has been well for twice the time it would have had to wait starts anew. */
  #forget(nowMs: number): void {
    for (const [key, { atMs, waitMs }] of this.#past)
      if (nowMs - atMs >= 2 * waitMs && !this.#queue.has(key)) this.#past.delete(key);
  }
}
