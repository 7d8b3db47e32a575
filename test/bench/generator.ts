// The load: publishes stamped messages at QoS 0 or 1, as fast as the broker takes them or at a steady rate.
// At QoS 1 it keeps a window of unacknowledged messages and fails when an acknowledgement is not the next one due.
import { readMicroseconds } from "./clock.ts";
import { encodeConnect, PacketReader, PROBE_SEQUENCE, PUBACK, PublishSlab } from "./packets.ts";
import { connectWire, type Wire } from "./wire.ts";
import { serve } from "./worker.ts";

/** Messages per write: one stamp serves them all. */
const BATCH = 64;
/** Unacknowledged messages at QoS 1. */
const WINDOW = 1000;
const TICK_MS = 1;

let wire: Wire;
let slab: PublishSlab;
let qos = 0;
let next = 0;
let end = 0;
let acked = 0;
let probes = 0;
let failure: string | undefined;
let finish: (() => void) | undefined;
/** With a rate: the sequence up to which it is time to send. */
let due = Number.POSITIVE_INFINITY;

function pump(): void {
  // A window opens by one with each acknowledgement: waiting for a batch saves a write and a wake-up per message.
  const window = qos === 0 || acked + WINDOW - next < BATCH ? undefined : acked + WINDOW;
  const limit = Math.min(end, due, qos === 0 ? end : (window ?? next));
  while (next < limit && wire.waiting === 0) {
    const { bytes, count } = slab.stamp(next, Math.min(BATCH, limit - next), readMicroseconds());
    next += count;
    wire.write(bytes);
  }
  const settled = next >= end && wire.waiting === 0 && (qos === 0 || acked >= end);
  if (settled || failure !== undefined) finish?.();
}

const reader = new PacketReader((type, _flags, bytes, from) => {
  if (type !== PUBACK) return;
  if (probes > 0) {
    probes--;
    return;
  }
  const id = bytes.readUInt16BE(from);
  if (id !== (acked % 65_535) + 1) failure ??= `PUBACK ${id} came when ${(acked % 65_535) + 1} was due`;
  acked++;
});

serve({
  connect: async ({ port, qos: wanted, topics, payloadBytes, payload }) => {
    qos = wanted as number;
    slab = new PublishSlab(topics as number, qos, payloadBytes as number, payload as "random" | "json");
    let connected = () => {};
    const online = new Promise<void>((resolve) => {
      connected = resolve;
    });
    wire = await connectWire(port as number, {
      data: (bytes) => {
        connected();
        reader.feed(bytes);
        pump();
      },
      drained: pump,
      closed: () => {
        failure ??= "the connection was closed";
        pump();
      },
    });
    wire.write(encodeConnect("bench-generator"));
    await online;
  },
  probe: () => {
    if (qos > 0) probes++;
    wire.write(slab.stamp(PROBE_SEQUENCE, 1, 0).bytes);
  },
  /** Publishes the sequences from `first` on; answers when all are written and, at QoS 1, acknowledged. */
  send: async ({ first, count, ratePerSecond }) => {
    while (probes > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    next = first as number;
    acked = next;
    end = next + (count as number);
    const startUs = readMicroseconds();
    let timer: Timer | undefined;
    if (typeof ratePerSecond === "number") {
      due = next;
      const from = next;
      timer = setInterval(() => {
        due = from + Math.floor(((readMicroseconds() - startUs) * ratePerSecond) / 1e6);
        pump();
      }, TICK_MS);
    } else due = Number.POSITIVE_INFINITY;
    await new Promise<void>((resolve) => {
      finish = resolve;
      pump();
    });
    finish = undefined;
    clearInterval(timer);
    if (failure !== undefined) throw new Error(failure);
    return { startUs, endUs: readMicroseconds() };
  },
});
