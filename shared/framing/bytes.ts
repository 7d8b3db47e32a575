// Writing and reading of the wire's numbers: big-endian integers and canonical variable-length integers.
// The reader never throws: the first read past the end, or of a number that is not canonical, sets `failed`,
// and from then on every read gives zero, so that a decoder checks once at its end.

import { copyPayload, countPayloadBytes, type Message } from "../message.ts";
import type { TopicCache } from "../mqtt/topic-cache.ts";

/** Largest integer on the wire that this implementation takes: 2^53 - 1, so that JavaScript numbers stay exact. */
const INTEGER_MAX = Number.MAX_SAFE_INTEGER;
/** Lengths below are one byte. */
const SHORT_TEXT = 0x80;
const TOPIC_BYTES_MAX = 65_535;

export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = 1024) {
    this.#buffer = Buffer.allocUnsafeSlow(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    const at = this.#claim(1);
    this.#buffer[at] = value;
  }

  u16(value: number): void {
    const at = this.#claim(2);
    this.#buffer.writeUInt16BE(value, at);
  }

  u32(value: number): void {
    const at = this.#claim(4);
    this.#buffer.writeUInt32BE(value, at);
  }

  /** `value` is a whole number from 0 to 2^53 - 1. */
  u64(value: number): void {
    const at = this.#claim(8);
    this.#buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
    this.#buffer.writeUInt32BE(value % 0x1_0000_0000, at + 4);
  }

  /** Unsigned LEB128 in its shortest form; `value` is a whole number from 0 to 2^53 - 1. */
  varint(value: number): void {
    let at = this.#claim(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[at++] = (rest % 0x80) + 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[at++] = rest;
    this.#length = at;
  }

  /** A signed number as zigzag varint: 0, -1, 1, -2 … become 0, 1, 2, 3 …; magnitude up to 2^52 - 1. */
  zigzag(value: number): void {
    this.varint(value >= 0 ? value * 2 : -value * 2 - 1);
  }

  bytes(value: Uint8Array): void {
    const at = this.#claim(value.length);
    this.#buffer.set(value, at);
  }

  payload(message: Message): void {
    const at = this.#claim(countPayloadBytes(message));
    copyPayload(message, this.#buffer, at);
  }

  /** A string as varint length in bytes, then UTF-8. */
  text(value: string): void {
    if (value.length < SHORT_TEXT && this.#shortText(value)) return;
    const size = Buffer.byteLength(value);
    this.varint(size);
    const at = this.#claim(size);
    this.#buffer.write(value, at, size, "utf8");
  }

  /** Plain ASCII is written here: two calls into the runtime cost more than the few bytes. False, and nothing written, if it is not. */
  #shortText(value: string): boolean {
    const start = this.#claim(1 + value.length);
    const buffer = this.#buffer;
    buffer[start] = value.length;
    for (let index = 0, at = start + 1; index < value.length; index++) {
      const code = value.charCodeAt(index);
      if (code >= 0x80) {
        this.#length = start;
        return false;
      }
      buffer[at++] = code;
    }
    return true;
  }

  /** Hands over a copy of exactly what was written, and empties the writer. */
  take(): Buffer {
    const out = Buffer.from(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    return out;
  }

  /** Hands over what was written, and the memory that it is in; `spare` is what is written to from now on. */
  handOver(spare: Buffer): Buffer {
    const out = this.#buffer.subarray(0, this.#length);
    this.#buffer = spare;
    this.#length = 0;
    return out;
  }

  #claim(size: number): number {
    const at = this.#length;
    const end = at + size;
    if (end > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(end, this.#buffer.length * 2));
      grown.set(this.#buffer.subarray(0, at));
      this.#buffer = grown;
    }
    this.#length = end;
    return at;
  }
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class ByteReader {
  readonly #buffer: Buffer;
  #at = 0;
  failed = false;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get remaining(): number {
    return this.#buffer.length - this.#at;
  }

  /** True when all was read and every read was in order. */
  get finished(): boolean {
    return !this.failed && this.remaining === 0;
  }

  u8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : (this.#buffer[at] ?? 0);
  }

  u16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : this.#buffer.readUInt16BE(at);
  }

  u32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#buffer.readUInt32BE(at);
  }

  u64(): number {
    const at = this.#take(8);
    if (at < 0) return 0;
    const value = this.#buffer.readUInt32BE(at) * 0x1_0000_0000 + this.#buffer.readUInt32BE(at + 4);
    return value > INTEGER_MAX ? this.#fail() : value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const at = this.#take(1);
      if (at < 0) return 0;
      const byte = this.#buffer[at] ?? 0;
      value += (byte % 0x80) * scale;
      if (byte < 0x80) return (i > 0 && byte === 0) || value > INTEGER_MAX ? this.#fail() : value;
      scale *= 0x80;
    }
    return this.#fail();
  }

  zigzag(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** A view, not a copy. */
  bytes(size: number): Buffer {
    const at = this.#take(size);
    return at < 0 ? EMPTY : this.#buffer.subarray(at, at + size);
  }

  /** What is read, all of it. */
  get memory(): Buffer {
    return this.#buffer;
  }

  /** Where the next `size` bytes begin, which are passed over. */
  skip(size: number): number {
    return Math.max(0, this.#take(size));
  }

  /** Strict UTF-8: overlong forms, surrogates and cut sequences fail. */
  text(): string {
    const bytes = this.bytes(this.varint());
    if (this.failed) return "";
    try {
      return strictUtf8.decode(bytes);
    } catch {
      this.failed = true;
      return "";
    }
  }

  /** A topic name by way of a cache; "" when it is none [MQTT5 4.7.3]. */
  topic(cache: TopicCache): string {
    const size = this.varint();
    const at = this.#take(size);
    if (at < 0) return "";
    const reading = cache.read(this.#buffer, at, at + size);
    if (typeof reading === "string" && size <= TOPIC_BYTES_MAX) return reading;
    this.failed = true;
    return "";
  }

  #take(size: number): number {
    if (this.failed || size > this.#buffer.length - this.#at) {
      this.failed = true;
      return -1;
    }
    const at = this.#at;
    this.#at += size;
    return at;
  }

  #fail(): number {
    this.failed = true;
    return 0;
  }
}

const EMPTY = Buffer.alloc(0);
