// The few MQTT 3.1.1 packets that load needs, encoded beforehand, and a reader that finds packets in a stream of bytes.
// It believes what it reads: the brokers beside it are its own.
import { randomBytes } from "node:crypto";

export const PUBLISH = 3;
export const PUBACK = 4;
/** A publish that only asks whether the way is open; it counts nowhere. */
export const PROBE_SEQUENCE = 0xffff_ffff;
/** Sequence (4 bytes) and time of sending (8 bytes, microseconds), at the start of each payload. */
export const STAMP_BYTES = 12;

function prefixed(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function packet(first: number, body: Buffer): Buffer {
  const length: number[] = [];
  for (let left = body.length; ; ) {
    const byte = left % 128;
    left = Math.floor(left / 128);
    length.push(left > 0 ? byte | 0x80 : byte);
    if (left === 0) return Buffer.concat([Buffer.from([first, ...length]), body]);
  }
}

/** Clean session, no keep-alive. */
export function encodeConnect(clientId: string): Buffer {
  const head = Buffer.concat([prefixed("MQTT"), Buffer.from([4, 0x02, 0, 0])]);
  return packet(0x10, Buffer.concat([head, prefixed(clientId)]));
}

export function encodeSubscribe(filter: string, qos: number): Buffer {
  return packet(0x82, Buffer.concat([Buffer.from([0, 1]), prefixed(filter), Buffer.from([qos])]));
}

/** More than a block or a compressor's window holds: what comes again is too far away for anybody to profit from it. */
const SLAB_BYTES_MIN = 512 * 1024;

/**
 * PUBLISH packets end to end, all of one size, by turns on each topic; stamp and packet id change from message to message, and the
 * rest of the payload is the same again only after SLAB_BYTES_MIN.
 */
export class PublishSlab {
  readonly packetBytes: number;
  readonly #bytes: Buffer;
  readonly #packets: number;
  readonly #qos: number;
  readonly #payloadAt: number;

  /** `kind`: random bytes, which nothing can compress, or readings as JSON. */
  constructor(topics: number, qos: number, payloadBytes: number, kind: "random" | "json" = "random") {
    const id = Buffer.alloc(qos === 0 ? 0 : 2);
    const make = (index: number) => {
      const topic = index % topics;
      const name = prefixed(`bench/${String(topic).padStart(5, "0")}`);
      const payload = kind === "json" ? makeReading(topic, index, payloadBytes) : randomBytes(payloadBytes);
      return packet(0x30 | (qos << 1), Buffer.concat([name, id, payload]));
    };
    this.packetBytes = make(0).length;
    this.#packets = topics * Math.ceil(SLAB_BYTES_MIN / (topics * this.packetBytes));
    this.#bytes = Buffer.concat(Array.from({ length: this.#packets }, (_, index) => make(index)));
    this.#qos = qos;
    this.#payloadAt = this.packetBytes - payloadBytes;
  }

  /** Up to `count` packets from `sequence` on, stamped; the bytes are good until the next call. */
  stamp(sequence: number, count: number, microseconds: number): { bytes: Buffer; count: number } {
    const from = sequence % this.#packets;
    const taken = Math.min(count, this.#packets - from);
    for (let i = 0; i < taken; i++) {
      const payloadAt = (from + i) * this.packetBytes + this.#payloadAt;
      this.#bytes.writeUInt32BE(sequence + i, payloadAt);
      this.#bytes.writeDoubleBE(microseconds, payloadAt + 4);
      if (this.#qos > 0) this.#bytes.writeUInt16BE(((sequence + i) % 65_535) + 1, payloadAt - 2);
    }
    return {
      bytes: this.#bytes.subarray(from * this.packetBytes, (from + taken) * this.packetBytes),
      count: taken,
    };
  }
}

/** Calls `onPacket` with the type, the flags, and where the body lies, for each packet in a stream cut anywhere. */
export class PacketReader {
  readonly #onPacket: (type: number, flags: number, bytes: Buffer, from: number, end: number) => void;
  #rest: Buffer | undefined;

  constructor(onPacket: (type: number, flags: number, bytes: Buffer, from: number, end: number) => void) {
    this.#onPacket = onPacket;
  }

  feed(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    while (at < bytes.length) {
      let length = 0;
      let body = at + 1;
      let byte = 0x80;
      for (let shift = 0; byte >= 0x80 && body < bytes.length; shift += 7) {
        byte = bytes[body++] as number;
        length += (byte & 0x7f) << shift;
      }
      if (byte >= 0x80 || body + length > bytes.length) break;
      const first = bytes[at] as number;
      this.#onPacket(first >> 4, first & 0x0f, bytes, body, body + length);
      at = body + length;
    }
    // A copy, because the socket uses the chunk's memory again.
    if (at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at));
  }
}

/** What a sensor might say, behind room for the stamp; filled up with blanks. */
function makeReading(topic: number, index: number, bytes: number): Buffer {
  const value = (20 + 10 * Math.sin(topic) + Math.random()).toFixed(3);
  const time = 1_795_700_000_000 + index;
  const text = `{"ts":${time},"tag":"line1/temp${topic}","value":${value},"quality":"GOOD"}`;
  return Buffer.from(`${" ".repeat(STAMP_BYTES)}${text}`.padEnd(bytes).slice(0, bytes));
}
