// Joins the parts of a content that was too large for one block. One joiner serves one stream of one epoch.
// Bounded: a content over `contentBytesMax`, or parts that wait too long or exceed `bytesMax` together, are given up.

import type { Block } from "../../../shared/framing/block.ts";
import { decompressContent } from "../../../shared/framing/compression.ts";
import type { Refusal } from "../../../shared/framing/reasons.ts";

type Waiting = {
  readonly block: Block;
  readonly pieces: (Uint8Array | undefined)[];
  readonly openedMs: number;
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
    const waiting = this.#waiting.get(block.first) ?? this.#start(block, nowMs);
    const same = waiting.block.parts === block.parts && waiting.block.contentBytes === block.contentBytes;
    if (!same || waiting.block.count !== block.count) return "block-malformed";
    if (waiting.pieces[block.part] !== undefined) return "sequence-delivered";
    waiting.pieces[block.part] = block.piece;
    waiting.have++;
    waiting.bytes += block.piece.length;
    this.#bytes += block.piece.length;
    if (waiting.have < block.parts) {
      return this.#bytes > this.#bytesMax || waiting.bytes > block.contentBytes
        ? this.#drop(waiting)
        : undefined;
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

  /** Gives up what was opened before `beforeMs` or is not wanted any more; the number of contents given up. */
  evict(beforeMs: number, isWanted: (first: number, end: number) => boolean): number {
    let evicted = 0;
    for (const waiting of this.#waiting.values()) {
      const { first, count } = waiting.block;
      const wanted = isWanted(first, first + count);
      if (wanted && waiting.openedMs >= beforeMs) continue;
      this.#forget(waiting);
      if (wanted) evicted++;
    }
    return evicted;
  }

  #start(block: Block, nowMs: number): Waiting {
    const waiting = { block, pieces: [], openedMs: nowMs, have: 0, bytes: 0 };
    this.#waiting.set(block.first, waiting);
    return waiting;
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
