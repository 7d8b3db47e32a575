// Puts the contents of one stream in the order of their sequences, each sequence at most once.
// A hole is waited for, up to the patience; then it is a gap, said once and never filled later.
// Pure: time is an argument. Bounded: what is held behind a hole has a limit in bytes, at which the hole is given up.
import type { Joined } from "./parts.ts";

/** Frames `skip` to the end of `content` are new, in order. */
export type Delivery = Joined & { readonly skip: number };
export type Gap = { readonly first: number; readonly count: number };

export type OrderOutput = { deliver(delivery: Delivery): void; gap(gap: Gap): void };

type Held = Joined & { readonly arrivedMs: number };

/** What a held content costs beyond its bytes, so that a flood of tiny ones is bounded too. */
const HELD_OVERHEAD_BYTES = 128;

export class StreamOrder {
  readonly #patienceMs: number;
  readonly #bytesMax: number;
  readonly #output: OrderOutput;
  /** Sorted by first sequence; those before `#head` are gone. */
  #held: Held[] = [];
  #head = 0;
  #heldBytes = 0;
  #expected: number;
  /** The sender said that all below this was written to the link … */
  #tail = 0;
  /** … and this is when we heard of it. */
  #tailMs = 0;

  constructor(expected: number, patienceMs: number, bytesMax: number, output: OrderOutput) {
    this.#expected = expected;
    this.#patienceMs = patienceMs;
    this.#bytesMax = bytesMax;
    this.#output = output;
  }

  /** The next sequence to deliver: everything below is delivered, skipped or a gap. */
  get expected(): number {
    return this.#expected;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** The number of the arrival that began the oldest content behind a hole; undefined when there is none. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (let at = this.#head; at < this.#held.length; at++) {
      const { since } = this.#held[at] as Held;
      if (oldest === undefined || since < oldest) oldest = since;
    }
    return oldest;
  }

  /** False when every sequence of it was delivered or given up before. */
  add(joined: Joined, nowMs: number): boolean {
    const end = joined.first + joined.count;
    if (end <= this.#expected) return false;
    if (joined.first <= this.#expected) {
      this.#deliver(joined);
      this.#drain();
      return true;
    }
    const at = lowerBound(this.#held, this.#head, joined.first);
    const same = this.#held[at];
    if (same !== undefined && same.first === joined.first) {
      if (same.count >= joined.count) return false;
      this.#heldBytes -= same.content.length + HELD_OVERHEAD_BYTES;
      this.#held.splice(at, 1);
    }
    this.#held.splice(at, 0, { ...joined, arrivedMs: nowMs });
    this.#heldBytes += joined.content.length + HELD_OVERHEAD_BYTES;
    while (this.#heldBytes > this.#bytesMax) this.#giveUpHole();
    return true;
  }

  /** Learns from a heartbeat that everything below `sent` was written to the link. */
  noteSent(sent: number, nowMs: number): void {
    // A tail that is still waited for keeps its own time; a new one starts when the old one is settled.
    if (this.#tail > this.#expected || sent <= this.#expected) return;
    this.#tail = sent;
    this.#tailMs = nowMs;
  }

  /** Declares the gaps whose time has come. A hole's time runs from the arrival of what lies just behind it. */
  tick(nowMs: number): void {
    for (;;) {
      const lowest = this.#held[this.#head];
      if (lowest === undefined || nowMs - lowest.arrivedMs < this.#patienceMs) break;
      this.#giveUpHole();
    }
    if (this.#tail <= this.#expected || nowMs - this.#tailMs < this.#patienceMs) return;
    this.#giveUp(Math.min(this.#tail, this.#held[this.#head]?.first ?? this.#tail));
    this.#drain();
  }

  /** Waits no longer: every hole is a gap now. For a journal that is retired. */
  flush(): void {
    while (this.#head < this.#held.length) this.#giveUpHole();
    this.#giveUp(this.#tail);
  }

  #giveUpHole(): void {
    const lowest = this.#held[this.#head];
    if (lowest === undefined) return;
    this.#giveUp(lowest.first);
    this.#drain();
  }

  #giveUp(end: number): void {
    if (end <= this.#expected) return;
    this.#output.gap({ first: this.#expected, count: end - this.#expected });
    this.#expected = end;
  }

  #deliver(joined: Joined): void {
    const { first, count, content, since } = joined;
    const skip = this.#expected - first;
    this.#expected = first + count;
    this.#output.deliver({ first, count, content, since, skip });
  }

  #drain(): void {
    for (;;) {
      const lowest = this.#held[this.#head];
      if (lowest === undefined || lowest.first > this.#expected) break;
      this.#head++;
      this.#heldBytes -= lowest.content.length + HELD_OVERHEAD_BYTES;
      if (lowest.first + lowest.count > this.#expected) this.#deliver(lowest);
    }
    if (this.#head < 1024 && this.#head < this.#held.length) return;
    this.#held.splice(0, this.#head);
    this.#head = 0;
  }
}

/** Index at or after `from` of the first entry whose sequence is not below `first`. */
function lowerBound(held: readonly Held[], from: number, first: number): number {
  let low = from;
  let high = held.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((held[middle]?.first ?? 0) < first) low = middle + 1;
    else high = middle;
  }
  return low;
}
