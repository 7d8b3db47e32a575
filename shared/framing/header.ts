// The datagram's header: 36 bytes in clear, authenticated with the symbol behind it. docs/protocol.md section 3.
// Refuses other versions and kinds, and shapes that no encoder makes; it knows nothing of keys and of state.
import type { Refusal } from "./reasons.ts";

export const WIRE_VERSION = 1;
export const HEADER_BYTES = 36;
/** AES-256-GCM tag. */
export const TAG_BYTES = 16;
/** CRC-32 in place of the tag when key id is 0 (sealing = "none"). */
export const CHECKSUM_BYTES = 4;
/** Largest UDP payload over IPv4 [RFC 768]. */
export const DATAGRAM_BYTES_MAX = 65_507;
/** k + r is at most the number of elements of GF(2^8). */
export const SYMBOLS_MAX = 256;

export const KIND_MESSAGES = 1;
export const KIND_HEARTBEAT = 2;
export type Kind = typeof KIND_MESSAGES | typeof KIND_HEARTBEAT;

export type Header = {
  readonly kind: Kind;
  /** 1 to 65,535 names a key; 0 means not sealed. */
  readonly keyId: number;
  /** First 4 bytes of the link id's digest, see deriveLinkTag(). */
  readonly linkTag: number;
  /** Random name of the sender's journal, 64 bits. */
  readonly journalId: bigint;
  /** The sender's run, 64 bits: grows with each start. */
  readonly epoch: bigint;
  /** Journal id and epoch as four numbers, for comparing without big integers. Only in headers that were read. */
  readonly run?: readonly number[] | undefined;
  /** Number of the block in its epoch and kind, from 0. */
  readonly block: number;
  /** Priority class, 0 to 255; 0 for heartbeats. */
  readonly stream: number;
  /** 0 to sourceSymbols - 1 are source symbols, the rest are repair symbols. */
  readonly symbol: number;
  /** k, 1 to 255. */
  readonly sourceSymbols: number;
  /** r, 0 to 255; k + r is at most 256. */
  readonly repairSymbols: number;
};

/** Writes the header's 36 bytes at the start of `out`. */
export function encodeHeader(out: Buffer, header: Header): void {
  out[0] = WIRE_VERSION;
  out[1] = header.kind;
  out.writeUInt16BE(header.keyId, 2);
  out.writeUInt32BE(header.linkTag, 4);
  out.writeBigUInt64BE(header.journalId, 8);
  out.writeBigUInt64BE(header.epoch, 16);
  out.writeUInt32BE(Math.floor(header.block / 0x1_0000_0000), 24);
  out.writeUInt32BE(header.block % 0x1_0000_0000, 28);
  out[32] = header.stream;
  out[33] = header.symbol;
  out[34] = header.sourceSymbols;
  out[35] = header.repairSymbols;
}

/**
 * Reads the header of a whole datagram; the tag is not checked here. `last` is a header that was read before: when the
 * datagram is of the same run, as nearly all are, its journal id and epoch are not made anew.
 */
export function decodeHeader(datagram: Buffer, last?: Header): Header | Refusal {
  if (datagram.length === 0) return "empty";
  if (datagram[0] !== WIRE_VERSION) return "version";
  if (datagram.length > DATAGRAM_BYTES_MAX) return "long";
  if (datagram.length < HEADER_BYTES) return "short";
  const kind = datagram[1];
  if (kind !== KIND_MESSAGES && kind !== KIND_HEARTBEAT) return "kind";
  const keyId = datagram.readUInt16BE(2);
  if (datagram.length <= HEADER_BYTES + trailerBytes(keyId)) return "short";
  const blockHigh = datagram.readUInt32BE(24);
  const stream = datagram.readUInt8(32);
  const symbol = datagram.readUInt8(33);
  const sourceSymbols = datagram.readUInt8(34);
  const repairSymbols = datagram.readUInt8(35);
  if (blockHigh > 0x1f_ffff) return "header";
  if (sourceSymbols === 0 || sourceSymbols + repairSymbols > SYMBOLS_MAX) return "header";
  if (symbol >= sourceSymbols + repairSymbols) return "header";
  if (kind === KIND_HEARTBEAT && stream !== 0) return "header";
  const same = last !== undefined && isSameRun(datagram, last);
  return {
    kind,
    keyId,
    linkTag: datagram.readUInt32BE(4),
    journalId: same ? last.journalId : datagram.readBigUInt64BE(8),
    epoch: same ? last.epoch : datagram.readBigUInt64BE(16),
    run: same ? last.run : [8, 12, 16, 20].map((at) => datagram.readUInt32BE(at)),
    block: blockHigh * 0x1_0000_0000 + datagram.readUInt32BE(28),
    stream,
    symbol,
    sourceSymbols,
    repairSymbols,
  };
}

function isSameRun(datagram: Buffer, { run }: Header): boolean {
  return (
    run !== undefined &&
    datagram.readUInt32BE(20) === run[3] &&
    datagram.readUInt32BE(16) === run[2] &&
    datagram.readUInt32BE(12) === run[1] &&
    datagram.readUInt32BE(8) === run[0]
  );
}

/** Bytes behind the symbol: the tag, or the checksum of a datagram that is not sealed. */
export function trailerBytes(keyId: number): number {
  return keyId === 0 ? CHECKSUM_BYTES : TAG_BYTES;
}
