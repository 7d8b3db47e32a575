// Sealing and opening of one datagram: AES-256-GCM with the header as associated data, or CRC-32 alone.
// The nonce is kind, stream, symbol and block: an epoch's key never seals two different datagrams under one nonce,
// because a block is coded once and its number is never used again in its epoch.
import { createCipheriv, createDecipheriv } from "node:crypto";
import { crc32 } from "node:zlib";
import { CHECKSUM_BYTES, encodeHeader, HEADER_BYTES, type Header, TAG_BYTES } from "./header.ts";

/** One nonce at a time: the cipher copies it. */
const nonce = Buffer.alloc(12);

/** Nonce of 12 bytes: kind, stream, 0, symbol, block (8 bytes); all from the header on the wire. */
function writeNonce(header: Buffer): Buffer {
  nonce[0] = header[1] as number;
  nonce[1] = header[32] as number;
  nonce[3] = header[33] as number;
  nonce.writeUInt32BE(header.readUInt32BE(24), 4);
  nonce.writeUInt32BE(header.readUInt32BE(28), 8);
  return nonce;
}

/** Bytes of the datagram that carries a symbol. `epochKey` is undefined exactly when its key id is 0. */
export function countDatagramBytes(symbolBytes: number, epochKey: Uint8Array | undefined): number {
  return HEADER_BYTES + symbolBytes + (epochKey === undefined ? CHECKSUM_BYTES : TAG_BYTES);
}

/** Seals a symbol into `out`, which has the datagram's size and begins with its header. */
export function sealInto(out: Buffer, symbol: Uint8Array, epochKey: Uint8Array | undefined): void {
  const end = HEADER_BYTES + symbol.length;
  if (epochKey === undefined) {
    out.set(symbol, HEADER_BYTES);
    out.writeUInt32BE(crc32(out.subarray(0, end)), end);
    return;
  }
  const cipher = createCipheriv("aes-256-gcm", epochKey, writeNonce(out));
  cipher.setAAD(out.subarray(0, HEADER_BYTES));
  out.set(cipher.update(symbol), HEADER_BYTES);
  cipher.final();
  out.set(cipher.getAuthTag(), end);
}

/** The whole datagram for one symbol. */
export function sealDatagram(header: Header, symbol: Uint8Array, epochKey: Uint8Array | undefined): Buffer {
  const out = Buffer.allocUnsafe(countDatagramBytes(symbol.length, epochKey));
  encodeHeader(out, header);
  sealInto(out, symbol, epochKey);
  return out;
}

/** The symbol of a datagram whose header was decoded, or undefined when the tag does not match. */
export function openDatagram(datagram: Buffer, epochKey: Uint8Array | undefined): Buffer | undefined {
  if (epochKey === undefined) {
    const end = datagram.length - CHECKSUM_BYTES;
    if (crc32(datagram.subarray(0, end)) !== datagram.readUInt32BE(end)) return undefined;
    return Buffer.from(datagram.subarray(HEADER_BYTES, end));
  }
  const end = datagram.length - TAG_BYTES;
  const decipher = createDecipheriv("aes-256-gcm", epochKey, writeNonce(datagram));
  decipher.setAAD(datagram.subarray(0, HEADER_BYTES));
  decipher.setAuthTag(datagram.subarray(end));
  const symbol = decipher.update(datagram.subarray(HEADER_BYTES, end));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return symbol;
}
