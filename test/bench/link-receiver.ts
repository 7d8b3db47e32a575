// The receiving end of the bare link: the recv agent's own receiver, or a mere count of datagrams. Tells the sender over
// a connection beside the link how far it is.
import { Receiver } from "../../agents/recv/link/receiver.ts";
import { emptyLinkState } from "../../agents/recv/link/session.ts";
import { openUdpReceiver } from "../../agents/recv/link/udp-path.ts";
import { setReceiveBufferBytes } from "../../shared/native/socket-options.ts";
import { findFreeUdpPort } from "../support/ports.ts";
import { readMicroseconds } from "./clock.ts";
import { LINK, type LinkWishes } from "./link-shape.ts";
import { listenWire, type Wire } from "./wire.ts";
import { serve } from "./worker.ts";

export type LinkTally = {
  readonly datagrams: number;
  /** Datagrams, or contents delivered in order. */
  readonly units: number;
  readonly bytes: number;
  readonly faults: readonly string[];
  readonly lastUs: number;
};

/** Credits given for the whole window. */
const CREDITS_PER_WINDOW = 8;
const IDLE_MS = 1000;

let credits: Wire | undefined;
let datagrams = 0;
let units = 0;
let bytes = 0;
let lastUs = 0;
const faults = new Map<string, number>();

function noteFault(what: string, count: number): void {
  faults.set(what, (faults.get(what) ?? 0) + count);
}

function openReceiver(): (datagram: Buffer) => void {
  const { linkId, linkKeys } = LINK.identity;
  const options = { linkId, linkKeys, patienceMs: 1000, assemblyBytesMax: 67_108_864 };
  const receiver = new Receiver(
    { ...options, holdBytesMax: 67_108_864, contentBytesMax: 1_048_576 },
    emptyLinkState(),
    {
      recover: () => noteFault("recovered", 1),
      deliver: (_, { content }) => {
        units++;
        bytes += content.length;
      },
      gap: (_, { count }) => noteFault("gap", count),
      heartbeat: () => {},
      journalChanged: () => {},
      sinceKnown: () => {},
      epochChanged: () => {},
      restored: (symbols) => noteFault("restored", symbols),
      // Repair symbols of a block that is whole already: what coding costs when nothing is lost.
      refused: (reason, _, count) => reason === "surplus" || noteFault(reason, count),
    },
  );
  return (datagram) => receiver.receive(datagram, 0, Date.now());
}

/** As the recv agent opens a path. */
async function openPath(port: number, take: (datagram: Buffer) => void): Promise<number> {
  const { receiveBufferBytes } = LINK;
  const path = { address: { host: "127.0.0.1", port }, interface: undefined, receiveBufferBytes };
  const socket = await openUdpReceiver(path, take, (error) => noteFault(error.message, 1));
  return socket.receiveBufferBytes;
}

/** As any program in Bun would, but for the receive buffer. */
async function openBare(port: number, take: (datagram: Buffer) => void): Promise<number> {
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    port,
    binaryType: "buffer",
    socket: { data: (_, datagram) => take(datagram) },
  });
  const { fd } = socket as unknown as { readonly fd: number };
  return setReceiveBufferBytes(fd, LINK.receiveBufferBytes) ?? 0;
}

serve({
  open: async (request) => {
    const { sealed, datagramBytes } = request as unknown as LinkWishes;
    const take = sealed
      ? openReceiver()
      : (datagram: Buffer) => {
          units++;
          bytes += datagram.length;
        };
    const step = Math.max(1, Math.floor(LINK.windowBytes / datagramBytes / CREDITS_PER_WINDOW));
    const credit = Buffer.alloc(4);
    const port = await findFreeUdpPort();
    const receiveBufferBytes = await (sealed ? openPath : openBare)(port, (datagram) => {
      take(datagram);
      lastUs = readMicroseconds();
      if (++datagrams % step !== 0) return;
      credit.writeUInt32BE(datagrams);
      credits?.write(credit);
    });
    const { port: creditPort } = listenWire((wire) => {
      credits = wire;
      wire.write(Buffer.alloc(4));
      return { data: () => {}, drained: () => {}, closed: () => {} };
    });
    return { port, creditPort, receiveBufferBytes };
  },
  collect: ({ expected }) =>
    new Promise<LinkTally>((resolve) => {
      const timer = setInterval(() => {
        if (datagrams < (expected as number) && readMicroseconds() - lastUs < IDLE_MS * 1000) return;
        clearInterval(timer);
        resolve({ datagrams, units, bytes, lastUs, faults: [...faults].map(([what, n]) => `${what} ${n}`) });
      }, 5);
    }),
});
