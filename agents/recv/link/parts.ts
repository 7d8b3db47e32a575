// Joins the parts of a content that was too large for one block. One joiner serves one stream of one epoch.
// Bounded: a content over `contentBytesMax` is refused; past `bytesMax` the content that has waited longest is given up.
// Nothing is given up for its age while its turn is still to come: on a slow link, or behind a flood of alarms, a large
// message may take minutes to cross.

import type { Block } from "../../../shared/framing/block.ts";
import { decompressContent } from "../../../shared/framing/compression.ts";
import type { Refusal } from "../../../shared/framing/reasons.ts";

type Waiting = {
  readonly block: Block;
  readonly pieces: Map<number, Uint8Array>;
  /** The number of the arrival that began it. */
  since: number;
  /** When its newest part came. */
  touchedMs: number;
  /** Bytes of content. */
  bytes: number;
  /** Bytes of memory: content, and what keeping it costs. */
  cost: number;
};

/** What a waiting content and each of its parts cost beyond their bytes, so that a flood of tiny ones is bounded, too. */
const OVERHEAD_BYTES = 256;

export type Joined = {
  readonly first: number;
  readonly count: number;
  readonly content: Uint8Array;
  /** The number of the arrival that began it. */
  readonly since: number;
};

export class PartJoiner {
  readonly #waiting = new Map<number, Waiting>();
  readonly #contentBytesMax: number;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(contentBytesMax: number, bytesMax: number) {
    this.#contentBytesMax = contentBytesMax;
    this.#bytesMax = bytesMax;
  }

  /** Bytes that wait for the rest of their content, overhead included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The number of the arrival that began the oldest content that waits; undefined when there is none. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const { since } of this.#waiting.values())
      if (oldest === undefined || since < oldest) oldest = since;
    return oldest;
  }

  /** `since` is the number of the arrival that began the block; `onEvicted` hears of contents that gave way to this one. */
  add(
    block: Block,
    nowMs: number,
    since: number,
    onEvicted: (contents: number) => void,
  ): Joined | Refusal | undefined {
    if (block.contentBytes > this.#contentBytesMax) return "block-malformed";
    if (block.parts === 1) return this.#expand(block, block.piece, since);
    const waiting = this.#find(block) ?? this.#start(block, nowMs, since);
    if (waiting.pieces.has(block.part)) return "sequence-delivered";
    waiting.pieces.set(block.part, block.piece);
    waiting.touchedMs = nowMs;
    waiting.since = Math.min(waiting.since, since);
    waiting.bytes += block.piece.length;
    this.#book(waiting, block.piece.length + OVERHEAD_BYTES);
    if (waiting.bytes > block.contentBytes) return this.#refuse(waiting);
    if (waiting.pieces.size < block.parts) {
      onEvicted(this.#makeRoom(waiting));
      return undefined;
    }
    if (waiting.bytes !== block.contentBytes) return this.#refuse(waiting);
    this.#forget(waiting);
    const pieces = Array.from({ length: block.parts }, (_, part) => waiting.pieces.get(part) as Uint8Array);
    return this.#expand(block, Buffer.concat(pieces), waiting.since);
  }

  #expand({ first, count, compressed }: Block, bytes: Uint8Array, since: number): Joined | Refusal {
    const content = compressed ? decompressContent(bytes, this.#contentBytesMax) : bytes;
    return content === undefined ? "block-malformed" : { first, count, content, since };
  }

  /**
   * Forgets what `judge` says is over, and gives up what is late and has got nothing since `beforeMs`; the number given up.
   */
  evict(beforeMs: number, judge: (first: number, end: number) => "awaited" | "late" | "over"): number {
    let evicted = 0;
    for (const waiting of this.#waiting.values()) {
      const { first, count } = waiting.block;
      const verdict = judge(first, first + count);
      if (verdict === "awaited" || (verdict === "late" && waiting.touchedMs >= beforeMs)) continue;
      this.#forget(waiting);
      if (verdict === "late") evicted++;
    }
    return evicted;
  }

  /** What waits for this block's content. Parts that were cut otherwise (it was sent again) begin anew. */
  #find(block: Block): Waiting | undefined {
    const waiting = this.#waiting.get(block.first);
    if (waiting === undefined) return undefined;
    const { count, parts, contentBytes, compressed } = waiting.block;
    const isAlike =
      parts === block.parts &&
      contentBytes === block.contentBytes &&
      count === block.count &&
      compressed === block.compressed;
    if (isAlike) return waiting;
    this.#forget(waiting);
    return undefined;
  }

  #start(block: Block, nowMs: number, since: number): Waiting {
    const waiting = { block, pieces: new Map(), since, touchedMs: nowMs, bytes: 0, cost: 0 };
    this.#waiting.set(block.first, waiting);
    this.#book(waiting, OVERHEAD_BYTES);
    return waiting;
  }

  #book(waiting: Waiting, bytes: number): void {
    waiting.cost += bytes;
    this.#bytes += bytes;
  }

  /** The oldest go until the rest fits; `newest` alone may always stay, because a content has a bound of its own. */
  #makeRoom(newest: Waiting): number {
    let evicted = 0;
    for (const waiting of this.#waiting.values()) {
      if (this.#bytes <= this.#bytesMax) return evicted;
      if (waiting === newest) continue;
      this.#forget(waiting);
      evicted++;
    }
    return evicted;
  }

  #refuse(waiting: Waiting): Refusal {
    this.#forget(waiting);
    return "block-malformed";
  }

  #forget(waiting: Waiting): void {
    this.#waiting.delete(waiting.block.first);
    this.#bytes -= waiting.cost;
  }
}
