// A source block as bytes: a 25-byte envelope, then content or one part of it, then zeros up to k symbols.
// A content too large for one block is cut in parts, each a block of its own; all parts carry the same first sequence.
// Refuses ranges, parts and padding that no encoder makes.
import { ByteReader } from "./bytes.ts";
import { HEADER_BYTES, SYMBOLS_MAX, trailerBytes } from "./header.ts";

export const ENVELOPE_BYTES = 25;
const COMPRESSED = 0x01;
/** Parts of one content, so that a large message has a bound. */
export const PARTS_MAX = 65_535;

export type Block = {
  /** Sequence of the first frame in its stream. */
  readonly first: number;
  /** Number of sequences that the whole content covers, 1 to 4,294,967,295. */
  readonly count: number;
  /** 0 to parts - 1. */
  readonly part: number;
  /** 1 when the content is whole. */
  readonly parts: number;
  /** True when the parts together are a zstd frame that holds the content. */
  readonly compressed: boolean;
  /** Bytes of all parts together. */
  readonly contentBytes: number;
  /** The content, or this part of it. */
  readonly piece: Uint8Array;
};

/** Bytes of one symbol in a datagram of `datagramBytes`. */
export function symbolBytesMax(datagramBytes: number, keyId: number): number {
  return datagramBytes - HEADER_BYTES - trailerBytes(keyId);
}

/** Content bytes that fit one block of at most `sourceSymbols` symbols. */
export function pieceBytesMax(symbolBytes: number, sourceSymbols: number): number {
  return symbolBytes * Math.min(sourceSymbols, SYMBOLS_MAX - 1) - ENVELOPE_BYTES;
}

/** Cuts a content, compressed or not, in the blocks that carry it. */
export function splitContent(
  first: number,
  count: number,
  content: Uint8Array,
  pieceBytes: number,
  compressed = false,
): Block[] {
  const parts = Math.max(1, Math.ceil(content.length / pieceBytes));
  const blocks: Block[] = [];
  for (let part = 0; part < parts; part++) {
    const piece = content.subarray(part * pieceBytes, (part + 1) * pieceBytes);
    blocks.push({ first, count, part, parts, compressed, contentBytes: content.length, piece });
  }
  return blocks;
}

/**
 * The block's bytes, padded with zeros to a multiple of the symbol size that suits `symbolBytesLimit`. They lie in what
 * `room` gives for so many symbols of so many bytes.
 */
export function encodeBlock(
  block: Block,
  symbolBytesLimit: number,
  room: (symbols: number, symbolBytes: number) => Buffer = (k, size) => Buffer.allocUnsafe(k * size),
): { bytes: Buffer; sourceSymbols: number } {
  const size = ENVELOPE_BYTES + block.piece.length;
  const sourceSymbols = Math.ceil(size / symbolBytesLimit);
  const symbolBytes = Math.ceil(size / sourceSymbols);
  const bytes = room(sourceSymbols, symbolBytes);
  bytes[0] = block.compressed ? COMPRESSED : 0;
  bytes.writeUInt32BE(block.piece.length, 1);
  bytes.writeUInt32BE(Math.floor(block.first / 0x1_0000_0000), 5);
  bytes.writeUInt32BE(block.first % 0x1_0000_0000, 9);
  bytes.writeUInt32BE(block.count, 13);
  bytes.writeUInt16BE(block.part, 17);
  bytes.writeUInt16BE(block.parts, 19);
  bytes.writeUInt32BE(block.contentBytes, 21);
  bytes.set(block.piece, ENVELOPE_BYTES);
  bytes.fill(0, size);
  return { bytes, sourceSymbols };
}

/** Reads the k symbols of a block, joined; undefined when they are not as encodeBlock() makes them. */
export function decodeBlock(bytes: Uint8Array): Block | undefined {
  const input = new ByteReader(bytes);
  const flags = input.u8();
  const pieceBytes = input.u32();
  const first = input.u64();
  const count = input.u32();
  const part = input.u16();
  const parts = input.u16();
  const contentBytes = input.u32();
  if (input.failed || flags > COMPRESSED || pieceBytes === 0 || pieceBytes > input.remaining)
    return undefined;
  if (count === 0 || first + count > Number.MAX_SAFE_INTEGER || part >= parts) return undefined;
  if (parts === 1 ? contentBytes !== pieceBytes : contentBytes <= pieceBytes) return undefined;
  const piece = input.bytes(pieceBytes);
  while (input.remaining > 0) if (input.u8() !== 0) return undefined;
  return { first, count, part, parts, compressed: flags === COMPRESSED, contentBytes, piece };
}
