// Messages that wait until what they speak of is known: in order for each part of an edge node, bounded in number, bytes and time.
// Pure; the time is an argument.
import type { Payload } from "../../../../shared/sparkplug/payload.ts";
import type { EdgeTopic } from "../../../../shared/sparkplug/topic.ts";
import type { KnownNode } from "./known-node.ts";
import type { Settle } from "./settling.ts";

export type Held = {
  readonly topic: EdgeTopic;
  readonly payload: Payload;
  readonly acceptedMs: number;
  /** It came in the order of its stream. */
  readonly isInOrder: boolean;
  readonly settle: Settle;
  readonly sinceMs: number;
};

const MESSAGES_MAX = 20_000;
const BYTES_MAX = 33_554_432;

export class Holding {
  readonly #holdMs: number;
  readonly #parts = new Map<string, Held[]>();
  #count = 0;
  #bytes = 0;

  constructor(holdMs: number) {
    this.#holdMs = holdMs;
  }

  get count(): number {
    return this.#count;
  }

  has(known: KnownNode, part: string): boolean {
    return this.#parts.has(`${known.key}/${part}`);
  }

  /** False when there is no room. */
  add(known: KnownNode, part: string, held: Held): boolean {
    if (this.#count >= MESSAGES_MAX || this.#bytes + held.payload.bytes.length > BYTES_MAX) return false;
    const key = `${known.key}/${part}`;
    const list = this.#parts.get(key);
    if (list === undefined) this.#parts.set(key, [held]);
    else list.push(held);
    this.#count++;
    this.#bytes += held.payload.bytes.length;
    return true;
  }

  /** Takes out what waits for this part, in order. */
  take(known: KnownNode, part: string): Held[] {
    const key = `${known.key}/${part}`;
    const list = this.#parts.get(key) ?? [];
    this.#parts.delete(key);
    this.#forget(list);
    return list;
  }

  /** Takes out what waits for any part of the node. */
  takeAll(known: KnownNode): Held[] {
    return this.takeOlder(known, Number.POSITIVE_INFINITY);
  }

  /** Takes out what was accepted before `beforeMs`, of all parts of the node. */
  takeOlder(known: KnownNode, beforeMs: number): Held[] {
    const prefix = `${known.key}/`;
    const older: Held[] = [];
    for (const [key, list] of this.#parts) {
      if (!key.startsWith(prefix)) continue;
      older.push(...list.filter(({ acceptedMs }) => acceptedMs < beforeMs));
      this.#keep(
        key,
        list.filter(({ acceptedMs }) => acceptedMs >= beforeMs),
      );
    }
    this.#forget(older);
    return older;
  }

  /** Takes out what has waited for too long. */
  expire(nowMs: number): Held[] {
    const expired: Held[] = [];
    for (const [key, list] of this.#parts) {
      const stays = list.findIndex(({ sinceMs }) => nowMs - sinceMs < this.#holdMs);
      if (stays === 0) continue;
      const count = stays < 0 ? list.length : stays;
      expired.push(...list.slice(0, count));
      this.#keep(key, list.slice(count));
    }
    this.#forget(expired);
    return expired;
  }

  #keep(key: string, list: Held[]): void {
    if (list.length === 0) this.#parts.delete(key);
    else this.#parts.set(key, list);
  }

  #forget(list: readonly Held[]): void {
    this.#count -= list.length;
    for (const { payload } of list) this.#bytes -= payload.bytes.length;
  }
}
