// Sealing and opening of one datagram: AES-256-GCM with the header as associated data, or CRC-32 alone.
// The nonce is kind, stream, symbol and block: an epoch's key never seals two different datagrams under one nonce,
// because a block is coded once and its number is never used again in its epoch.
import { createCipheriv, createDecipheriv } from "node:crypto";
import { crc32 } from "node:zlib";
import { CHECKSUM_BYTES, encodeHeader, HEADER_BYTES, type Header, TAG_BYTES } from "./header.ts";

/** Nonce of 12 bytes: kind, stream, 0, symbol, block (8 bytes); all from the header on the wire. */
function writeNonce(nonce: Buffer, header: Buffer): Buffer {
  nonce[0] = header.readUInt8(1);
  nonce[1] = header.readUInt8(32);
  nonce[2] = 0;
  nonce[3] = header.readUInt8(33);
  header.copy(nonce, 4, 24, 32);
  return nonce;
}

/** The whole datagram for one symbol. `epochKey` is undefined exactly when `header.keyId` is 0. */
export function sealDatagram(header: Header, symbol: Uint8Array, epochKey: Uint8Array | undefined): Buffer {
  const trailer = epochKey === undefined ? CHECKSUM_BYTES : TAG_BYTES;
  const out = Buffer.allocUnsafe(HEADER_BYTES + symbol.length + trailer);
  encodeHeader(out, header);
  const end = HEADER_BYTES + symbol.length;
  if (epochKey === undefined) {
    out.set(symbol, HEADER_BYTES);
    out.writeUInt32BE(crc32(out.subarray(0, end)), end);
    return out;
  }
  const cipher = createCipheriv("aes-256-gcm", epochKey, writeNonce(Buffer.allocUnsafe(12), out));
  cipher.setAAD(out.subarray(0, HEADER_BYTES));
  out.set(cipher.update(symbol), HEADER_BYTES);
  cipher.final();
  out.set(cipher.getAuthTag(), end);
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
  const decipher = createDecipheriv("aes-256-gcm", epochKey, writeNonce(Buffer.allocUnsafe(12), datagram), {
    authTagLength: TAG_BYTES,
  });
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
