// The sending end of the bare link: blocks sealed and coded as the send agent does it, or plain datagrams of the same
// size from the same socket. Sends only what the receiver has room for, so that the fastest loss-free speed is measured.
import { openUdpSender, type UdpSender, type UdpTarget } from "../../agents/send/link/udp-path.ts";
import { splitContent } from "../../shared/framing/block.ts";
import { BlockEncoder } from "../../shared/framing/encoder.ts";
import { KIND_MESSAGES } from "../../shared/framing/header.ts";
import { readMicroseconds } from "./clock.ts";
import { LINK, type LinkWishes } from "./link-shape.ts";
import { connectWire } from "./wire.ts";
import { serve } from "./worker.ts";

/** Datagrams handed to the kernel in one call, as in the send agent. */
const BURST_DATAGRAMS = 32;
/** The kernel does not always say when a full socket has room again. */
const RETRY_MS = 5;
/** No credit for so long means that datagrams were lost: the receiver's tally will say so. */
const STALL_MS = 1000;

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
    const socket = await openUdpSender(describePath(port), () => wake());
    const next = sealed ? sealBlocks(datagramBytes) : plainBursts(datagramBytes);
    const window = LINK.windowBytes / datagramBytes;
    let datagrams = 0;
    let units = 0;
    const startUs = readMicroseconds();
    let sentUs = startUs;
    const stalled = () => readMicroseconds() - sentUs > STALL_MS * 1000;
    while (readMicroseconds() - startUs < seconds * 1e6 && !stalled()) {
      const batch = next();
      for (let at = 0; at < batch.length && !stalled(); ) {
        if (datagrams - credited < window) {
          const written = burst(socket, batch, at);
          at += written;
          datagrams += written;
          sentUs = readMicroseconds();
          if (written > 0) continue;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, RETRY_MS);
        });
      }
      units += sealed ? 1 : batch.length;
    }
    socket.close();
    credits.end();
    return { startUs, datagrams, units };
  },
});

function burst(socket: UdpSender, batch: readonly Buffer[], at: number): number {
  const { written, error } = socket.write(batch.slice(at, at + BURST_DATAGRAMS));
  if (error !== undefined) throw new Error(error);
  return written;
}

function plainBursts(datagramBytes: number): () => Buffer[] {
  const datagram = Buffer.from(crypto.getRandomValues(new Uint8Array(datagramBytes)));
  const batch = Array.from({ length: BURST_DATAGRAMS }, () => datagram);
  return () => batch;
}

function sealBlocks(datagramBytes: number): () => Buffer[] {
  const encoder = new BlockEncoder({
    ...LINK.identity,
    datagramBytes,
    repairPercent: 10,
    repairSymbolsMin: 1,
  });
  const content = crypto.getRandomValues(new Uint8Array(LINK.contentBytes));
  let sequence = 0;
  return () => {
    const blocks = splitContent(sequence++, 1, content, LINK.contentBytes);
    return blocks.flatMap((block) => encoder.encode(KIND_MESSAGES, 0, block));
  };
}

function describePath(port: number): UdpTarget {
  const endpoint = { host: "127.0.0.1", port };
  const usual = { interface: undefined, localAddress: undefined, multicastTtl: 1, multicastLoop: false };
  return { name: "bench", endpoint, ...usual };
}
