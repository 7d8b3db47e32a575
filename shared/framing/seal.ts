// Sealing and opening of one datagram: AES-256-GCM with the header as associated data, or CRC-32 alone.
// The nonce is kind, stream, symbol and block: an epoch's key never seals two different datagrams under one nonce,
// because a block is coded once and its number is never used again in its epoch.
import { createCipheriv, createDecipheriv } from "node:crypto";
import { crc32 } from "node:zlib";
import {
  CHECKSUM_BYTES,
  DATAGRAM_BYTES_MAX,
  encodeHeader,
  HEADER_BYTES,
  type Header,
  TAG_BYTES,
} from "./header.ts";

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

/** Writes the datagram of a header, as encodeHeader() makes it, and a symbol to `out`, from `at` on. */
export function sealInto(
  out: Buffer,
  at: number,
  header: Buffer,
  symbol: Uint8Array,
  epochKey: Uint8Array | undefined,
): void {
  const begin = at + HEADER_BYTES;
  const end = begin + symbol.length;
  out.set(header, at);
  if (epochKey === undefined) {
    out.set(symbol, begin);
    out.writeUInt32BE(crc32(out.subarray(at, end)), end);
    return;
  }
  const cipher = createCipheriv("aes-256-gcm", epochKey, writeNonce(header));
  cipher.setAAD(header);
  out.set(cipher.update(symbol), begin);
  cipher.final();
  out.set(cipher.getAuthTag(), end);
}

/** The whole datagram for one symbol. */
export function sealDatagram(header: Header, symbol: Uint8Array, epochKey: Uint8Array | undefined): Buffer {
  const out = Buffer.allocUnsafe(countDatagramBytes(symbol.length, epochKey));
  const head = Buffer.allocUnsafe(HEADER_BYTES);
  encodeHeader(head, header);
  sealInto(out, 0, head, symbol, epochKey);
  return out;
}

/** The symbol of a datagram whose header was decoded, or undefined when the tag does not match. */
export function openDatagram(datagram: Buffer, epochKey: Uint8Array | undefined): Buffer | undefined {
  if (epochKey === undefined) {
    const end = datagram.length - CHECKSUM_BYTES;
    if (crc32(datagram.subarray(0, end)) !== datagram.readUInt32BE(end)) return undefined;
    return Buffer.from(datagram.subarray(HEADER_BYTES, end));
  }
  const { header, sealed, tag } = desk.lay(datagram);
  const decipher = createDecipheriv("aes-256-gcm", epochKey, writeNonce(header));
  decipher.setAAD(header);
  decipher.setAuthTag(tag);
  const symbol = decipher.update(sealed);
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return symbol;
}

/**
 * Where a datagram lies while it is opened. Copying it costs less than making three views of it, and datagrams of one size, as most
 * are, share their views.
 */
class Desk {
  readonly header: Buffer;
  sealed: Buffer;
  tag: Buffer;
  readonly #bytes = Buffer.alloc(DATAGRAM_BYTES_MAX);
  #length = 0;

  constructor() {
    this.header = this.#bytes.subarray(0, HEADER_BYTES);
    this.sealed = this.header;
    this.tag = this.header;
  }

  lay(datagram: Buffer): this {
    const { length } = datagram;
    this.#bytes.set(datagram);
    if (length === this.#length) return this;
    this.#length = length;
    this.sealed = this.#bytes.subarray(HEADER_BYTES, length - TAG_BYTES);
    this.tag = this.#bytes.subarray(length - TAG_BYTES, length);
    return this;
  }
}

const desk = new Desk();
