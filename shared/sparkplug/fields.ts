// The wire level of Protocol Buffers: the fields of a message one by one, each with the place of its bytes. Written here and
// not taken from a package, because births are rebuilt bit by bit: what is not understood (extensions, fields of later
// versions, numbers written long) must come out as it went in, and the packages decode to values and write those anew.
// Refuses what no decoder could read: fields cut off, numbers over 10 bytes, field 0, groups and wire types that do not exist.

export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
export type WireType = (typeof WIRE)[keyof typeof WIRE];

export type WireFault = "truncated" | "varint" | "field-number" | "wire-type";

/** Field numbers end at 2^29 - 1. */
const FIELD_MAX = 536_870_911;

/**
 * Walks over the fields of one message in bytes[start, end). next() moves on; the properties then describe the field. At the
 * end, and at the first fault, next() is false.
 */
export class FieldReader {
  fault: WireFault | undefined;
  number = 0;
  wireType: number = 0;
  /** Where the field begins, its tag included. */
  start = 0;
  /** Where its value begins; of `bytes` behind the length. */
  valueStart = 0;
  /** Where the field and its value end. */
  valueEnd = 0;
  #at: number;

  constructor(
    readonly bytes: Uint8Array,
    start = 0,
    readonly end = bytes.length,
  ) {
    this.#at = start;
  }

  next(): boolean {
    if (this.#at >= this.end || this.fault !== undefined) return false;
    this.start = this.#at;
    const tag = this.#readShort();
    if (tag < 0) return false;
    this.number = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.number === 0 || this.number > FIELD_MAX) return this.#fail("field-number");
    this.valueStart = this.#at;
    switch (this.wireType) {
      case WIRE.varint:
        if (!this.#skipVarint()) return false;
        break;
      case WIRE.fixed64:
        this.#at += 8;
        break;
      case WIRE.fixed32:
        this.#at += 4;
        break;
      case WIRE.bytes: {
        const length = this.#readShort();
        if (length < 0) return false;
        this.valueStart = this.#at;
        this.#at += length;
        break;
      }
      default:
        return this.#fail("wire-type");
    }
    if (this.#at > this.end) return this.#fail("truncated");
    this.valueEnd = this.#at;
    return true;
  }

  /** The whole field, tag included: a view. */
  get raw(): Uint8Array {
    return this.bytes.subarray(this.start, this.valueEnd);
  }

  get value(): Uint8Array {
    return this.bytes.subarray(this.valueStart, this.valueEnd);
  }

  /** The number of a varint field, modulo 2^64. */
  get unsigned(): bigint {
    let value = 0n;
    let small = 0;
    let factor = 1;
    for (let at = this.valueStart; at < this.valueEnd; at++) {
      const seven = (this.bytes[at] as number) & 0x7f;
      const place = at - this.valueStart;
      // Seven bytes fit a plain number.
      if (place < 7) {
        small += seven * factor;
        factor *= 128;
      } else value |= BigInt(seven) << BigInt(7 * place);
    }
    return BigInt.asUintN(64, value + BigInt(small));
  }

  get boolean(): boolean {
    return this.unsigned !== 0n;
  }

  #skipVarint(): boolean {
    for (let length = 1; length <= 10; length++) {
      if (this.#at >= this.end) return this.#fail("truncated");
      if (((this.bytes[this.#at++] as number) & 0x80) === 0) return true;
    }
    return this.#fail("varint");
  }

  /** A tag or a length: at most 32 bits. Negative after a fault. */
  #readShort(): number {
    let value = 0;
    let factor = 1;
    for (let length = 1; length <= 10; length++) {
      if (this.#at >= this.end) {
        this.#fail("truncated");
        return -1;
      }
      const byte = this.bytes[this.#at++] as number;
      value += (byte & 0x7f) * factor;
      factor *= 128;
      if ((byte & 0x80) !== 0) continue;
      if (value <= 0xffff_ffff) return value;
      break;
    }
    this.#fail("varint");
    return -1;
  }

  #fail(fault: WireFault): false {
    this.fault = fault;
    return false;
  }
}

/** An unsigned number in its shortest form. */
export function encodeVarint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return bytes;
}

export function encodeVarintField(number: number, value: number | bigint): Uint8Array {
  return Uint8Array.from([...encodeVarint(number * 8 + WIRE.varint), ...encodeVarint(value)]);
}

/** A field of text, bytes or an embedded message. */
export function encodeBytesField(number: number, value: Uint8Array | string): Uint8Array {
  const body = typeof value === "string" ? Buffer.from(value) : value;
  const head = [...encodeVarint(number * 8 + WIRE.bytes), ...encodeVarint(body.length)];
  const out = new Uint8Array(head.length + body.length);
  out.set(head);
  out.set(body, head.length);
  return out;
}

/** Copies into memory of its own, so that no piece keeps the packet alive that it came in. */
export function joinBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}
