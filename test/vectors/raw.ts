// Blocks and contents written byte by byte, so that a vector can hold what no encoder of ours would make. Nothing here
// checks anything: wrong numbers are the purpose.
import { FecCodec } from "../../shared/fec/codec.ts";
import type { Kind } from "../../shared/framing/header.ts";
import { deriveEpochKey, deriveKeyId, deriveLinkTag } from "../../shared/framing/keys.ts";
import { sealDatagram } from "../../shared/framing/seal.ts";
import { EPOCH, JOURNAL_ID, LINK_ID, LINK_KEY } from "../unit/shared/framing/samples.ts";

export type RawEnvelope = {
  readonly flags: number;
  readonly pieceBytes: number;
  readonly first: bigint;
  readonly count: number;
  readonly part: number;
  readonly parts: number;
  readonly contentBytes: number;
};

/** An envelope and what follows it; right for a whole content unless told otherwise. */
export function rawBlock(piece: Uint8Array, change: Partial<RawEnvelope> = {}, padding = ""): Buffer {
  const size = piece.length;
  const right = { flags: 0, pieceBytes: size, first: 0n, count: 1, part: 0, parts: 1, contentBytes: size };
  const envelope: RawEnvelope = { ...right, ...change };
  const head = Buffer.alloc(25);
  head.writeUInt8(envelope.flags, 0);
  head.writeUInt32BE(envelope.pieceBytes, 1);
  head.writeBigUInt64BE(envelope.first, 5);
  head.writeUInt32BE(envelope.count, 13);
  head.writeUInt16BE(envelope.part, 17);
  head.writeUInt16BE(envelope.parts, 19);
  head.writeUInt32BE(envelope.contentBytes, 21);
  return Buffer.concat([head, piece, Buffer.from(padding, "hex")]);
}

export type RawDatagram = {
  readonly kind: number;
  readonly block: number;
  readonly stream: number;
  readonly sourceSymbols: number;
  readonly repairSymbols: number;
  readonly linkKey: Uint8Array | undefined;
  readonly journalId: bigint;
  readonly epoch: bigint;
};

/** The datagrams of a block of any bytes, one source symbol and no repair unless told otherwise. */
export function rawDatagrams(block: Uint8Array, change: Partial<RawDatagram> = {}): Buffer[] {
  const right = { kind: 1, block: 0, stream: 0, sourceSymbols: 1, repairSymbols: 0, linkKey: LINK_KEY };
  const shape: RawDatagram = { ...right, journalId: JOURNAL_ID, epoch: EPOCH, ...change };
  const { linkKey, journalId, epoch, sourceSymbols, repairSymbols } = shape;
  const symbolBytes = Math.ceil(block.length / sourceSymbols);
  const bytes = Buffer.concat([block, Buffer.alloc(sourceSymbols * symbolBytes - block.length)]);
  const repair = Buffer.alloc(repairSymbols * symbolBytes);
  new FecCodec().encodeRepair(sourceSymbols, repairSymbols, symbolBytes, bytes, repair);
  const all = Buffer.concat([bytes, repair]);
  const epochKey = linkKey && deriveEpochKey(linkKey, LINK_ID, journalId, epoch);
  return Array.from({ length: sourceSymbols + repairSymbols }, (_, symbol) => {
    const { stream, block: number } = shape;
    const names = { kind: shape.kind as Kind, keyId: linkKey ? deriveKeyId(linkKey) : 0, linkTag: deriveLinkTag(LINK_ID) };
    const header = { ...names, journalId, epoch, block: number, stream, symbol, sourceSymbols, repairSymbols };
    return sealDatagram(header, all.subarray(symbol * symbolBytes, (symbol + 1) * symbolBytes), epochKey);
  });
}

/** The datagrams of a whole content (one, if it fits), given in hexadecimal with spaces between the fields. */
export function rawContent(hex: string, count = 1): Buffer[] {
  const block = rawBlock(fromHex(hex), { count });
  return rawDatagrams(block, { sourceSymbols: Math.ceil(block.length / 60_000) });
}

/** One datagram that holds a heartbeat's content. */
export function rawHeartbeat(hex: string, change: Partial<RawEnvelope> = {}): Buffer[] {
  return rawDatagrams(rawBlock(fromHex(hex), change), { kind: 2 });
}

export function fromHex(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(/[^0-9a-f]/g, ""), "hex");
}
