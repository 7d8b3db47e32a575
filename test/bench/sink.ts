// The subscriber that counts: every sequence once, in order, with the time it took. Acknowledges QoS 1 properly.
// It can also play the broker, so that generator and sink are measured with nothing between them.
import { readMicroseconds } from "./clock.ts";
import {
  encodeConnect,
  encodeSubscribe,
  PacketReader,
  PROBE_SEQUENCE,
  PUBACK,
  PUBLISH,
  STAMP_BYTES,
} from "./packets.ts";
import { quantile } from "./statistic.ts";
import { connectWire, listenWire, type Wire } from "./wire.ts";
import { serve } from "./worker.ts";

type TlsFiles = { readonly cert: string; readonly key: string };

const SUBACK = 9;
const CONNECT = 1;
const PINGREQ = 12;
const CONNACK = Buffer.from([0x20, 2, 0, 0]);
const PINGRESP = Buffer.from([0xd0, 0]);

export type Tally = {
  readonly received: number;
  readonly duplicates: number;
  readonly disordered: number;
  readonly firstUs: number;
  readonly lastUs: number;
  /** Milliseconds from stamp to arrival: p50, p99, p99.9, greatest. */
  readonly latencyMs: readonly number[];
};

let wire: Wire | undefined;
let acks: number[] = [];
let probed: (() => void) | undefined;
let subscribed: (() => void) | undefined;
let first = 0;
let count = 0;
let seen = new Uint8Array(0);
let latencies = new Float64Array(0);
let received = 0;
let duplicates = 0;
let disordered = 0;
let highest = -1;
let firstUs = 0;
let lastUs = 0;
let chunkUs = 0;

const reader = new PacketReader((type, flags, bytes, from, end) => {
  if (type === SUBACK) return subscribed?.();
  if (type === CONNECT) return wire?.write(CONNACK);
  if (type === PINGREQ) return wire?.write(PINGRESP);
  if (type !== PUBLISH) return;
  let at = from + 2 + bytes.readUInt16BE(from);
  if (flags & 0x06) {
    acks.push(PUBACK << 4, 2, bytes[at] as number, bytes[at + 1] as number);
    at += 2;
  }
  if (end - at < STAMP_BYTES) return;
  const sequence = bytes.readUInt32BE(at);
  if (sequence === PROBE_SEQUENCE) return probed?.();
  const index = sequence - first;
  if (index < 0 || index >= count) return;
  if (seen[index]) {
    duplicates++;
    return;
  }
  seen[index] = 1;
  if (index < highest) disordered++;
  else highest = index;
  latencies[received++] = chunkUs - bytes.readDoubleBE(at + 4);
});

const events = {
  data: (bytes: Buffer) => {
    chunkUs = readMicroseconds();
    const before = received;
    reader.feed(bytes);
    if (received !== before) lastUs = chunkUs;
    if (before === 0 && received > 0) firstUs = chunkUs;
    if (acks.length === 0) return;
    wire?.write(Buffer.from(acks));
    acks = [];
  },
  drained: () => {},
  closed: () => {},
};

let server: ReturnType<typeof listenWire> | undefined;

function listen(tls: TlsFiles | undefined, port?: number): ReturnType<typeof listenWire> {
  const onConnection = (connection: Wire) => {
    wire = connection;
    return events;
  };
  return listenWire(onConnection, tls, port);
}

function tally(): Tally {
  const sorted = latencies.slice(0, received).sort();
  const latencyMs = [0.5, 0.99, 0.999, 1].map((q) => quantile(sorted, q) / 1000);
  return { received, duplicates, disordered, firstUs, lastUs, latencyMs };
}

serve({
  subscribe: async ({ port, qos }) => {
    wire = await connectWire(port as number, events);
    wire.write(encodeConnect("bench-sink"));
    const answered = new Promise<void>((resolve) => {
      subscribed = resolve;
    });
    wire.write(encodeSubscribe("bench/#", qos as number));
    await answered;
  },
  listen: ({ tls }) => {
    server = listen(tls as TlsFiles | undefined);
    return server.port;
  },
  /** Closes its connection, and takes none until resume. */
  pause: () => server?.stop(),
  resume: ({ port }) => {
    server = listen(undefined, port as number);
  },
  awaitProbe: () =>
    new Promise<void>((resolve) => {
      probed = resolve;
    }),
  expect: (request) => {
    first = request.first as number;
    count = request.count as number;
    seen = new Uint8Array(count);
    latencies = new Float64Array(count);
    received = duplicates = disordered = 0;
    highest = -1;
    lastUs = readMicroseconds();
  },
  /** Answers when all have come, or none for `idleMs`. */
  collect: ({ idleMs }) =>
    new Promise<Tally>((resolve) => {
      const timer = setInterval(() => {
        if (received < count && readMicroseconds() - lastUs < (idleMs as number) * 1000) return;
        clearInterval(timer);
        resolve(tally());
      }, 5);
    }),
});
