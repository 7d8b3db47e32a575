// Cuts a stream of bytes into MQTT packets, so that each is kept as it was sent, and lets mqtt-packet read them.
import { type Packet, type Parser, parser } from "mqtt-packet";

export type RawPacket = { readonly packet: Packet; readonly raw: Buffer };

/** Why the stream can't go on: not MQTT, or a packet larger than the fake reads at all. */
export type PacketFault = { readonly fault: string };

export class PacketReader {
  #held: Buffer = Buffer.alloc(0);
  #parser: Parser;
  #parsed: Packet | undefined;
  #fault: string | undefined;

  /** `bytesMax` is where a service stops reading, not where it refuses politely. */
  constructor(private readonly bytesMax: number) {
    this.#parser = parser();
    this.#listen();
  }

  push(bytes: Buffer): (RawPacket | PacketFault)[] {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const out: (RawPacket | PacketFault)[] = [];
    for (;;) {
      const size = measurePacket(this.#held);
      if (size === undefined) return out;
      if (size === "malformed" || size > this.bytesMax) {
        out.push({ fault: size === "malformed" ? "malformed length" : `packet of ${size} bytes` });
        return out;
      }
      if (this.#held.length < size) return out;
      const raw = Buffer.from(this.#held.subarray(0, size));
      this.#held = this.#held.subarray(size);
      const read = this.#read(raw);
      out.push(read);
      if ("fault" in read) return out;
    }
  }

  #read(raw: Buffer): RawPacket | PacketFault {
    this.#parsed = undefined;
    this.#fault = undefined;
    this.#parser.parse(raw);
    if (this.#fault !== undefined) return { fault: this.#fault };
    if (this.#parsed === undefined) return { fault: "packet shorter than its content" };
    return { packet: this.#parsed, raw };
  }

  #listen(): void {
    this.#parser.on("packet", (packet: Packet) => {
      this.#parsed = packet;
    });
    this.#parser.on("error", (error: Error) => {
      this.#fault = error.message;
    });
  }
}

/** The size of the first packet, from its fixed header [MQTT5 2.1.4]; undefined when that isn't whole. */
function measurePacket(bytes: Buffer): number | undefined | "malformed" {
  let length = 0;
  for (let at = 1; at <= 4; at += 1) {
    const byte = bytes[at];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 128 ** (at - 1);
    if ((byte & 0x80) === 0) return 1 + at + length;
  }
  return "malformed";
}
