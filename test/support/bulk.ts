// Publishes and counts messages by the million, past any client library: numbered, QoS 1, MQTT 3.1.1, over bare sockets.
// It believes what it reads: the brokers beside it are real ones that the test has started.
import {
  encodeConnect,
  encodeSubscribe,
  PacketReader,
  PUBACK,
  PUBLISH,
  PublishSlab,
} from "../bench/packets.ts";
import { connectWire } from "../bench/wire.ts";

const CONNACK = 2;
const SUBACK = 9;
const WINDOW = 1000;
const BATCH = 100;

/** Publishes the numbers from `first` on below bench/#; resolves when all are acknowledged. */
export async function publishNumbers(port: number, first: number, count: number): Promise<void> {
  const slab = new PublishSlab(20, 1, 32);
  let next = first;
  let acked = first;
  const end = first + count;
  await new Promise<void>((resolve, reject) => {
    let wire: Awaited<ReturnType<typeof connectWire>> | undefined;
    const pump = () => {
      while (wire !== undefined && next < end && next + BATCH <= acked + WINDOW && wire.waiting === 0) {
        const { bytes, count } = slab.stamp(next, Math.min(BATCH, end - next), 0);
        next += count;
        wire.write(bytes);
      }
      if (acked >= end) resolve();
    };
    const reader = new PacketReader((type) => {
      if (type === PUBACK) acked++;
    });
    const data = (bytes: Buffer) => {
      reader.feed(bytes);
      pump();
    };
    const closed = () => (acked >= end ? resolve() : reject(new Error("the broker closed the connection")));
    void connectWire(port, { data, drained: pump, closed }).then((connected) => {
      wire = connected;
      connected.write(encodeConnect(`bulk-${first}`));
    }, reject);
  });
}

/** Subscribes to bench/# and remembers which numbers came, and whether each came after the one before. */
export class NumberCollector {
  readonly #seen: Uint8Array;
  #distinct = 0;
  #duplicates = 0;
  #disordered = 0;
  #highest = -1;

  private constructor(max: number) {
    this.#seen = new Uint8Array(max);
  }

  get distinct(): number {
    return this.#distinct;
  }

  get duplicates(): number {
    return this.#duplicates;
  }

  /** Numbers that came for the first time, after a higher one. */
  get disordered(): number {
    return this.#disordered;
  }

  static async start(port: number, max: number): Promise<NumberCollector> {
    const collector = new NumberCollector(max);
    let acks: number[] = [];
    await new Promise<void>((resolve, reject) => {
      let wire: Awaited<ReturnType<typeof connectWire>> | undefined;
      const reader = new PacketReader((type, flags, bytes, from) => {
        if (type === CONNACK) wire?.write(encodeSubscribe("bench/#", 1));
        if (type === SUBACK) resolve();
        if (type !== PUBLISH) return;
        let at = from + 2 + bytes.readUInt16BE(from);
        if (flags & 0x06) {
          acks.push(PUBACK << 4, 2, bytes[at] as number, bytes[at + 1] as number);
          at += 2;
        }
        collector.#note(bytes.readUInt32BE(at));
      });
      const data = (bytes: Buffer) => {
        reader.feed(bytes);
        if (acks.length > 0) wire?.write(Buffer.from(acks));
        acks = [];
      };
      void connectWire(port, { data, drained: () => {}, closed: () => {} }).then((connected) => {
        wire = connected;
        connected.write(encodeConnect("bulk-collector"));
      }, reject);
    });
    return collector;
  }

  #note(number: number): void {
    if (this.#seen[number] === 1) {
      this.#duplicates++;
      return;
    }
    this.#seen[number] = 1;
    this.#distinct++;
    if (number < this.#highest) this.#disordered++;
    else this.#highest = number;
  }
}
