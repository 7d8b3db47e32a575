// Joins the parts of a content that was too large for one block. One joiner serves one stream of one epoch.
// Bounded: a content over `contentBytesMax`, or parts that wait too long or exceed `bytesMax` together, are given up.
import type { Block } from "../../../shared/framing/block.ts";
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
    if (block.parts === 1) return { first: block.first, count: block.count, content: block.piece };
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
    return { first: block.first, count: block.count, content };
  }

  /** Gives up what was opened before `beforeMs` or ends before `expected`; the number of contents given up. */
  evict(beforeMs: number, expected: number): number {
    let evicted = 0;
    for (const waiting of this.#waiting.values()) {
      const passed = waiting.block.first + waiting.block.count <= expected;
      if (waiting.openedMs >= beforeMs && !passed) continue;
      this.#forget(waiting);
      if (!passed) evicted++;
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
