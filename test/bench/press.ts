// A publisher that presses: messages of 100 bytes at QoS 0, 1 or 2 with a window, as fast as the server takes them. The end is a
// QoS 1 message behind all others: when that is acknowledged, the server has taken everything.
import { encodeConnect, PacketReader, PUBACK, PublishSlab } from "./packets.ts";
import { connectWire, type Wire } from "./wire.ts";
import { serve } from "./worker.ts";

const BATCH = 64;
const WINDOW = 1000;
const PUBREC = 5;
const PUBCOMP = 7;
const TOPICS = 100;

let wire: Wire;

serve({
  press: async ({ port, qos: wanted, count, name, payloadBytes }) => {
    const qos = wanted as number;
    const total = count as number;
    const slab = new PublishSlab(TOPICS, qos, payloadBytes as number);
    const marker = new PublishSlab(1, 1, payloadBytes as number);
    let next = 0;
    let done = 0;
    let isMarked = false;
    let failure: string | undefined;
    let connected = () => {};
    let finish = () => {};
    const pump = () => {
      const limit = qos === 0 ? total : Math.min(total, done + WINDOW);
      while (next < limit && wire.waiting === 0 && (limit === total || limit - next >= BATCH)) {
        const { bytes, count: taken } = slab.stamp(next, Math.min(BATCH, limit - next), 0);
        next += taken;
        wire.write(bytes);
      }
      if (next >= total && wire.waiting === 0 && !isMarked && (qos === 0 || done >= total)) {
        isMarked = true;
        wire.write(marker.stamp(65_533, 1, 0).bytes);
      }
    };
    const reader = new PacketReader((type, _flags, bytes, from) => {
      if (isMarked && type === PUBACK) finish();
      else if (type === PUBACK || type === PUBCOMP) done++;
      else if (type === PUBREC)
        wire.write(Buffer.from([0x62, 2, bytes[from] as number, bytes[from + 1] as number]));
      else connected();
    });
    const online = new Promise<void>((resolve) => {
      connected = resolve;
    });
    wire = await connectWire(port as number, {
      data: (bytes) => {
        reader.feed(bytes);
        pump();
      },
      drained: pump,
      closed: () => {
        failure ??= "the connection was closed";
        finish();
      },
    });
    wire.write(encodeConnect(name as string));
    await online;
    const startMs = performance.now();
    await new Promise<void>((resolve) => {
      finish = resolve;
      pump();
    });
    if (failure !== undefined && !isMarked) throw new Error(failure);
    return { seconds: (performance.now() - startMs) / 1000 };
  },
});
