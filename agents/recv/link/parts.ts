// Joins the parts of a content that was too large for one block. One joiner serves one stream of one epoch.
// Bounded: a content over `contentBytesMax` is refused, parts that wait too long are given up, and past `bytesMax` those that
// have waited longest for another.

import type { Block } from "../../../shared/framing/block.ts";
import { decompressContent } from "../../../shared/framing/compression.ts";
import type { Refusal } from "../../../shared/framing/reasons.ts";

type Waiting = {
  readonly block: Block;
  readonly pieces: (Uint8Array | undefined)[];
  touchedMs: number;
  have: number;
  bytes: number;
};

export type Joined = { readonly first: number; readonly count: number; readonly content: Uint8Array };

export class PartJoiner {
  readonly #waiting = new Map<number, Waiting>();
  readonly #contentBytesMax: number;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(contentBytesMax: number, bytesMax: number) {
    this.#contentBytesMax = contentBytesMax;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(block: Block, nowMs: number): Joined | Refusal | undefined {
    if (block.contentBytes > this.#contentBytesMax) return "block-malformed";
    if (block.parts === 1) return this.#expand(block, block.piece);
    let waiting = this.#waiting.get(block.first);
    // A repeat may have been compressed where the original was not, or lack what has expired meanwhile: begin again.
    if (waiting !== undefined && !isSameContent(waiting.block, block)) {
      this.#forget(waiting);
      waiting = undefined;
    }
    waiting ??= this.#start(block, nowMs);
    if (waiting.pieces[block.part] !== undefined) return "sequence-delivered";
    waiting.pieces[block.part] = block.piece;
    waiting.have++;
    waiting.bytes += block.piece.length;
    this.#bytes += block.piece.length;
    this.#touch(waiting, nowMs);
    if (waiting.have < block.parts) {
      if (waiting.bytes > block.contentBytes) return this.#drop(waiting);
      return this.#bound(waiting);
    }
    this.#forget(waiting);
    const content = Buffer.concat(waiting.pieces as Uint8Array[]);
    if (content.length !== block.contentBytes) return "block-malformed";
    return this.#expand(block, content);
  }

  #expand({ first, count, compressed }: Block, bytes: Uint8Array): Joined | Refusal {
    const content = compressed ? decompressContent(bytes, this.#contentBytesMax) : bytes;
    return content === undefined ? "block-malformed" : { first, count, content };
  }

  /** Gives up what was not touched since `beforeMs` or is not wanted any more; the number of contents given up. */
  evict(beforeMs: number, isWanted: (first: number, end: number) => boolean): number {
    let evicted = 0;
    for (const waiting of this.#waiting.values()) {
      const { first, count } = waiting.block;
      const wanted = isWanted(first, first + count);
      if (wanted && waiting.touchedMs >= beforeMs) continue;
      this.#forget(waiting);
      if (wanted) evicted++;
    }
    return evicted;
  }

  #start(block: Block, nowMs: number): Waiting {
    const waiting = { block, pieces: [], touchedMs: nowMs, have: 0, bytes: 0 };
    this.#waiting.set(block.first, waiting);
    return waiting;
  }

  #touch(waiting: Waiting, nowMs: number): void {
    waiting.touchedMs = nowMs;
    this.#waiting.delete(waiting.block.first);
    this.#waiting.set(waiting.block.first, waiting);
  }

  /** Gives up what has waited longest until the rest is within the bound; the newest content goes last. */
  #bound(newest: Waiting): Refusal | undefined {
    let evicted = false;
    for (const waiting of this.#waiting.values()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#forget(waiting);
      evicted = true;
    }
    return evicted || !this.#waiting.has(newest.block.first) ? "part-evicted" : undefined;
  }

  #drop(waiting: Waiting): Refusal {
    this.#forget(waiting);
    return "part-evicted";
  }

  #forget(waiting: Waiting): void {
    this.#waiting.delete(waiting.block.first);
    this.#bytes -= waiting.bytes;
  }
}

function isSameContent(a: Block, b: Block): boolean {
  return (
    a.parts === b.parts &&
    a.contentBytes === b.contentBytes &&
    a.count === b.count &&
    a.compressed === b.compressed
  );
}
