// Cuts a byte stream from a broker into MQTT control packets [MQTT5 2.1], in place where a packet lies whole in
// one chunk. Refuses: a remaining length over four bytes (or, in MQTT 5, longer than needed [MQTT-1.5.5-1]),
// packet types a client never receives, wrong fixed header flags, and control packets over 1 MiB.
// An oversize PUBLISH is never held: its bytes are skipped and only its head (topic, packet id) is kept.

export const PUBLISH_TYPE = 3;
export const PUBREL_TYPE = 6;
const CONTROL_BYTES_MAX = 1_048_576;
const HEADER_BYTES_MAX = 5;
/** Topic length, topic, packet id: what tells an operator which message was too large. */
const HEAD_BYTES_MAX = 2 + 65_535 + 2;

/** The flags each packet type must have; undefined = a client never receives it in this version [MQTT5 2.1.3]. */
const REQUIRED_FLAGS: readonly (number | undefined)[] = [
  ...[undefined, undefined, 0, undefined, 0, 0, 2, 0],
  ...[undefined, 0, undefined, 0, undefined, 0, 0, 0],
];
const FIRST_MQTT5_TYPE = 14;

export type PacketSink = {
  /** A whole packet is bytes[start, end), its variable header begins at bodyStart. A reason means: malformed, stop. */
  readonly onPacket: (bytes: Buffer, start: number, bodyStart: number, end: number) => string | undefined;
  /** A PUBLISH that was too large has gone by: its first byte, the first bytes of its body, and its size. */
  readonly onOversize: (firstByte: number, head: Buffer, packetBytes: number) => string | undefined;
};

export class PacketSplitter {
  readonly #version: 4 | 5;
  readonly #packetBytesMax: number;
  readonly #sink: PacketSink;
  readonly #header = Buffer.alloc(HEADER_BYTES_MAX);
  #headerFilled = 0;
  #packet: Buffer | undefined;
  #packetFilled = 0;
  #packetBodyStart = 0;
  #skipLeft = 0;
  #skipBytes = 0;
  #head: Buffer | undefined;
  #headFilled = 0;

  constructor(version: 4 | 5, packetBytesMax: number, sink: PacketSink) {
    this.#version = version;
    this.#packetBytesMax = packetBytesMax;
    this.#sink = sink;
  }

  /** Takes the next bytes; a reason means that the stream is beyond repair and must be closed. */
  push(chunk: Buffer): string | undefined {
    let at = 0;
    while (at < chunk.length) {
      let problem: string | undefined;
      if (this.#head !== undefined) {
        const taken = Math.min(this.#skipLeft, chunk.length - at);
        problem = this.#skip(this.#head, chunk, at, taken);
        at += taken;
      } else if (this.#packet !== undefined) {
        const taken = Math.min(this.#packet.length - this.#packetFilled, chunk.length - at);
        chunk.copy(this.#packet, this.#packetFilled, at, at + taken);
        this.#packetFilled += taken;
        at += taken;
        problem = this.#finishPacket(this.#packet);
      } else if (this.#headerFilled === 0) {
        const header = this.#measure(chunk, at, chunk.length);
        if (typeof header === "string") return header;
        if (header === undefined) {
          this.#headerFilled = chunk.copy(this.#header, 0, at);
          return undefined;
        }
        const end = at + header.packetBytes;
        if (header.oversize || end > chunk.length) {
          this.#begin(chunk, at, header);
          at += header.headerBytes;
        } else {
          problem = this.#sink.onPacket(chunk, at, at + header.headerBytes, end);
          at = end;
        }
      } else {
        // The chunk before ended inside a fixed header: at most four more bytes, one at a time.
        this.#header[this.#headerFilled++] = chunk[at++] as number;
        const header = this.#measure(this.#header, 0, this.#headerFilled);
        if (typeof header === "string") return header;
        if (header === undefined) continue;
        this.#headerFilled = 0;
        this.#begin(this.#header, 0, header);
        if (this.#packet !== undefined) problem = this.#finishPacket(this.#packet);
      }
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  /** Reads a fixed header: its sizes, a reason when it is wrong, undefined when bytes are missing. */
  #measure(bytes: Buffer, start: number, end: number): Header | string | undefined {
    const first = bytes[start] as number;
    const type = first >> 4;
    if (type !== PUBLISH_TYPE) {
      const flags = type >= FIRST_MQTT5_TYPE && this.#version === 4 ? undefined : REQUIRED_FLAGS[type];
      if (flags === undefined) return `packet type ${type} is not for a client`;
      if ((first & 0x0f) !== flags)
        return `packet type ${type} has the flags ${first & 0x0f}, must be ${flags}`;
    } else if ((first & 0x06) === 0x06) return "PUBLISH has QoS 3";
    else if ((first & 0x0e) === 0x08) return "PUBLISH of QoS 0 has the DUP flag";
    let remaining = 0;
    for (let i = 0; i < 4; i++) {
      if (start + 1 + i >= end) return undefined;
      const byte = bytes[start + 1 + i] as number;
      remaining += (byte & 0x7f) * 128 ** i;
      if (byte < 0x80) {
        if (byte === 0 && i > 0 && this.#version === 5) return "remaining length is longer than needed";
        const packetBytes = 2 + i + remaining;
        const oversize = type === PUBLISH_TYPE && packetBytes > this.#packetBytesMax;
        if (type !== PUBLISH_TYPE && packetBytes > CONTROL_BYTES_MAX) {
          return `packet type ${type} is ${packetBytes} bytes, must be at most ${CONTROL_BYTES_MAX}`;
        }
        return { headerBytes: 2 + i, packetBytes, oversize };
      }
    }
    return "remaining length is over four bytes";
  }

  #begin(bytes: Buffer, start: number, header: Header): void {
    if (header.oversize) {
      this.#header[0] = bytes[start] as number;
      this.#skipBytes = header.packetBytes;
      this.#skipLeft = header.packetBytes - header.headerBytes;
      this.#head = Buffer.allocUnsafe(Math.min(HEAD_BYTES_MAX, this.#skipLeft));
      this.#headFilled = 0;
      return;
    }
    this.#packet = Buffer.allocUnsafe(header.packetBytes);
    this.#packetFilled = bytes.copy(this.#packet, 0, start, start + header.headerBytes);
    this.#packetBodyStart = header.headerBytes;
  }

  #finishPacket(packet: Buffer): string | undefined {
    if (this.#packetFilled < packet.length) return undefined;
    this.#packet = undefined;
    return this.#sink.onPacket(packet, 0, this.#packetBodyStart, packet.length);
  }

  #skip(head: Buffer, chunk: Buffer, at: number, taken: number): string | undefined {
    this.#headFilled += chunk.copy(head, this.#headFilled, at, at + taken);
    this.#skipLeft -= taken;
    if (this.#skipLeft > 0) return undefined;
    this.#head = undefined;
    return this.#sink.onOversize(this.#header[0] as number, head, this.#skipBytes);
  }
}

type Header = { readonly headerBytes: number; readonly packetBytes: number; readonly oversize: boolean };
