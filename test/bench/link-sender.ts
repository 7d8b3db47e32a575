// The sending end of the bare link: blocks sealed, coded and queued as the send agent does it, or plain datagrams of the same
// size, as fast as Bun sends them. Sends only what the receiver has room for, so that the fastest loss-free speed is measured.
import { Pacer } from "../../agents/send/link/pacer.ts";
import { PathQueue } from "../../agents/send/link/path-queue.ts";
import { openUdpSender, type UdpTarget } from "../../agents/send/link/udp-path.ts";
import { splitContent } from "../../shared/framing/block.ts";
import { BlockEncoder } from "../../shared/framing/encoder.ts";
import { KIND_MESSAGES } from "../../shared/framing/header.ts";
import { readMicroseconds } from "./clock.ts";
import { LINK, type LinkWishes } from "./link-shape.ts";
import { connectWire } from "./wire.ts";
import { serve } from "./worker.ts";

/** Datagrams handed to the kernel in one call, as in the send agent. */
const BURST_DATAGRAMS = 64;
/** The kernel does not always say when a full socket has room again. */
const RETRY_MS = 5;
/** No credit for so long means that datagrams were lost: the receiver's tally will say so. */
const STALL_MS = 1000;
/** So that compilers and caches are warm when it counts. */
const WARM_SECONDS = 2;
/** Holds nothing back. */
const PACE_MBIT_PER_SECOND = 1_000_000;
/** Content is made in a few places in memory, not always in the same, which would lie in the processor's cache. */
const CONTENTS = 64;

type Ware = {
  /** Sends what it can of the room there is, in datagrams, and tells how many left. When it is `last`, only what is begun. */
  send(room: number, last: boolean): number;
  readonly begun: boolean;
  readonly units: number;
  close(): void;
};

serve({
  send: async (request) => {
    const { sealed, datagramBytes, seconds, port, creditPort } = request as unknown as LinkWishes & {
      port: number;
      creditPort: number;
    };
    let credited = 0;
    let wake = () => {};
    // The first credit, of nothing, says that the receiver can give credits at all.
    const greeted = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const credits = await connectWire(creditPort, {
      data: (bytes) => {
        credited = bytes.readUInt32BE(bytes.length - 4);
        wake();
      },
      drained: () => {},
      closed: () => {},
    });
    await greeted;
    const drained = () => wake();
    const ware = await (sealed ? openSealed : openPlain)(datagramBytes, port, drained);
    const window = LINK.windowBytes / datagramBytes;
    let datagrams = 0;
    const beginUs = readMicroseconds();
    let sentUs = beginUs;
    /** Where the measured part begins. */
    let start: { us: number; units: number } | undefined;
    for (;;) {
      const nowUs = readMicroseconds();
      if (start === undefined && nowUs - beginUs > WARM_SECONDS * 1e6)
        start = { us: nowUs, units: ware.units };
      const last = nowUs - beginUs > (WARM_SECONDS + seconds) * 1e6;
      if ((last && !ware.begun) || nowUs - sentUs > STALL_MS * 1000) break;
      const room = window - (datagrams - credited);
      const written = room < 1 ? 0 : ware.send(Math.floor(room), last);
      datagrams += written;
      if (written > 0) sentUs = nowUs;
      else await Promise.race([new Promise<void>((resolve) => (wake = resolve)), Bun.sleep(RETRY_MS)]);
    }
    ware.close();
    credits.end();
    return { startUs: start?.us, startUnits: start?.units, datagrams, units: ware.units };
  },
});

async function openPlain(datagramBytes: number, port: number, onDrain: () => void): Promise<Ware> {
  const socket = await Bun.udpSocket({ hostname: "0.0.0.0", socket: { drain: onDrain } });
  const datagram = Buffer.from(crypto.getRandomValues(new Uint8Array(datagramBytes)));
  const packets = Array.from({ length: BURST_DATAGRAMS }, () => [datagram, port, "127.0.0.1"]).flat();
  let units = 0;
  return {
    send: (room) => {
      const written = socket.sendMany(room < BURST_DATAGRAMS ? packets.slice(0, 3 * room) : packets);
      units += written;
      return written;
    },
    begun: false,
    get units() {
      return units;
    },
    close: () => socket.close(),
  };
}

async function openSealed(datagramBytes: number, port: number, onDrain: () => void): Promise<Ware> {
  const encoder = new BlockEncoder({
    ...LINK.identity,
    datagramBytes,
    repairPercent: 10,
    repairSymbolsMin: 1,
  });
  const contents = Array.from({ length: CONTENTS }, () =>
    crypto.getRandomValues(new Uint8Array(LINK.contentBytes)),
  );
  const socket = await openUdpSender(describePath(port), onDrain);
  let open = 0;
  let sequence = 0;
  const queue = new PathQueue({
    pacer: new Pacer(PACE_MBIT_PER_SECOND, datagramBytes, 0),
    overheadBytes: socket.overheadBytes,
    roomBytes: 2 * datagramBytes,
    interleaveBlocks: 1,
    copies: true,
    write: (datagrams) => {
      const { written, error } = socket.write(open < datagrams.length ? datagrams.slice(0, open) : datagrams);
      if (error !== undefined) throw new Error(error);
      open -= written;
      return { written };
    },
    onError: () => {},
  });
  const fill = (nowMs: number) => {
    const content = contents[sequence % CONTENTS] as Uint8Array;
    const blocks = splitContent(sequence++, 1, content, LINK.contentBytes);
    for (const block of blocks) {
      const datagrams = encoder.encode(KIND_MESSAGES, 0, block);
      queue.addBlock(datagrams, nowMs, () => encoder.recycle(datagrams));
    }
  };
  return {
    send: (room, last) => {
      const before = queue.counters.datagrams;
      const nowMs = performance.now();
      open = room;
      while (!last && queue.hasRoom) fill(nowMs);
      queue.pump(nowMs);
      return queue.counters.datagrams - before;
    },
    get begun() {
      return !queue.empty;
    },
    get units() {
      return sequence;
    },
    close: () => socket.close(),
  };
}

function describePath(port: number): UdpTarget {
  const endpoint = { host: "127.0.0.1", port };
  const usual = { interface: undefined, localAddress: undefined, multicastTtl: 1, multicastLoop: false };
  return { name: "bench", endpoint, rateMbitPerSecond: 10_000, ...usual };
}
