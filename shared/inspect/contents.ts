// From whole blocks to frames: parts are joined, zstd undone, frames decoded. Refuses, by the receiver's reasons, what is not
// as docs/protocol.md says. Bounded: contents have a limit in bytes, and so have the parts that wait for others.
import { type Block, decodeBlock } from "../framing/block.ts";
import { decompressContent } from "../framing/compression.ts";
import { decodeContent, type Frame } from "../framing/content.ts";
import type { Header } from "../framing/header.ts";
import { decodeHeartbeat, type Heartbeat } from "../framing/heartbeat.ts";

/** Larger than what any agent is meant to carry. */
const CONTENT_BYTES_MAX = 128 * 1024 * 1024;
const WAITING_BYTES_MAX = 256 * 1024 * 1024;

export type Envelope = Omit<Block, "piece"> & { readonly pieceBytes: number };
export type Content = { readonly first: number; readonly count: number; readonly bytes: number };

export type BlockView =
  | { readonly outcome: "block-malformed" | "heartbeat-malformed"; readonly envelope?: Envelope }
  | { readonly outcome: "heartbeat"; readonly heartbeat: Heartbeat }
  /** A part; `have` of `envelope.parts` are here. */
  | { readonly outcome: "part"; readonly envelope: Envelope; readonly have: number }
  /** `frames` is undefined when they do not parse: the sequences are lost as malformed. */
  | {
      readonly outcome: "content";
      readonly envelope: Envelope;
      readonly content: Content;
      readonly frames: readonly Frame[] | undefined;
    };

type Waiting = {
  readonly pieces: (Uint8Array | undefined)[];
  readonly block: Block;
  have: number;
  bytes: number;
};

export class ContentReader {
  readonly #waiting = new Map<string, Waiting>();
  #bytes = 0;

  readHeartbeat(bytes: Uint8Array): BlockView {
    const block = decodeBlock(bytes);
    const isWhole = block !== undefined && !block.compressed && block.parts === 1 && block.first === 0;
    const heartbeat = isWhole && block.count === 1 ? decodeHeartbeat(block.piece) : undefined;
    return heartbeat === undefined ? { outcome: "heartbeat-malformed" } : { outcome: "heartbeat", heartbeat };
  }

  readMessages(header: Header, bytes: Uint8Array): BlockView {
    const block = decodeBlock(bytes);
    if (block === undefined) return { outcome: "block-malformed" };
    const { piece, ...rest } = block;
    const envelope: Envelope = { ...rest, pieceBytes: piece.length };
    if (block.contentBytes > CONTENT_BYTES_MAX) return { outcome: "block-malformed", envelope };
    if (block.parts === 1) return expand(envelope, piece);
    const name = `${header.journalId} ${header.epoch} ${header.stream} ${block.first}`;
    const waiting = this.#waiting.get(name) ?? { pieces: [], block, have: 0, bytes: 0 };
    if (!belongTogether(waiting.block, block)) return { outcome: "block-malformed", envelope };
    if (waiting.pieces[block.part] === undefined) this.#keep(name, waiting, block);
    if (waiting.have < block.parts) return { outcome: "part", envelope, have: waiting.have };
    this.#forget(name, waiting);
    return expand(envelope, Buffer.concat(waiting.pieces as Uint8Array[]));
  }

  #keep(name: string, waiting: Waiting, block: Block): void {
    waiting.pieces[block.part] = block.piece;
    waiting.have++;
    waiting.bytes += block.piece.length;
    this.#waiting.set(name, waiting);
    this.#bytes += block.piece.length;
    for (const [oldest, other] of this.#waiting) {
      if (this.#bytes <= WAITING_BYTES_MAX) return;
      this.#forget(oldest, other);
    }
  }

  #forget(name: string, waiting: Waiting): void {
    if (this.#waiting.delete(name)) this.#bytes -= waiting.bytes;
  }
}

function belongTogether(first: Block, block: Block): boolean {
  return (
    first.count === block.count &&
    first.parts === block.parts &&
    first.contentBytes === block.contentBytes &&
    first.compressed === block.compressed
  );
}

function expand(envelope: Envelope, bytes: Uint8Array): BlockView {
  if (bytes.length !== envelope.contentBytes) return { outcome: "block-malformed", envelope };
  const content = envelope.compressed ? decompressContent(bytes, CONTENT_BYTES_MAX) : bytes;
  if (content === undefined) return { outcome: "block-malformed", envelope };
  const { first, count } = envelope;
  const frames = decodeContent(content, count);
  return { outcome: "content", envelope, content: { first, count, bytes: content.length }, frames };
}
