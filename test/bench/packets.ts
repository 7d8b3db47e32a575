// The few MQTT 3.1.1 packets that load needs, encoded beforehand, and a reader that finds packets in a stream of bytes.
// It believes what it reads: the brokers beside it are its own.

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

/** One PUBLISH for each topic, end to end, all of one size: only stamp and packet id change from message to message. */
export class PublishSlab {
  readonly packetBytes: number;
  readonly #bytes: Buffer;
  readonly #topics: number;
  readonly #qos: number;
  readonly #payloadAt: number;

  /** `kind`: random bytes, the same in each message, or readings as JSON that differ from topic to topic. */
  constructor(topics: number, qos: number, payloadBytes: number, kind: "random" | "json" = "random") {
    const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(payloadBytes)));
    const id = Buffer.alloc(qos === 0 ? 0 : 2);
    const packets = Array.from({ length: topics }, (_, topic) => {
      const name = prefixed(`bench/${String(topic).padStart(5, "0")}`);
      const payload = kind === "json" ? makeReading(topic, payloadBytes) : noise;
      return packet(0x30 | (qos << 1), Buffer.concat([name, id, payload]));
    });
    this.#bytes = Buffer.concat(packets);
    this.#topics = topics;
    this.#qos = qos;
    this.packetBytes = this.#bytes.length / topics;
    this.#payloadAt = this.packetBytes - payloadBytes;
  }

  /** Up to `count` packets from `sequence` on, stamped; the bytes are good until the next call. */
  stamp(sequence: number, count: number, microseconds: number): { bytes: Buffer; count: number } {
    const from = sequence % this.#topics;
    const taken = Math.min(count, this.#topics - from);
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
function makeReading(topic: number, bytes: number): Buffer {
  const value = (20 + 10 * Math.sin(topic)).toFixed(3);
  const text = `{"ts":17957${String(topic * 7919).padStart(8, "0")},"tag":"line1/temp${topic}","value":${value},"quality":"GOOD"}`;
  return Buffer.from(`${" ".repeat(STAMP_BYTES)}${text}`.padEnd(bytes).slice(0, bytes));
}
