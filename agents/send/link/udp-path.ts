// One UDP path: an unconnected socket that is only ever written to. An unconnected socket gets no ICMP errors from the
// far side, and a kernel filter drops whatever is addressed to it, so that not one byte of the link reaches the agent.
// Refuses an interface that is not there; one that goes later is looked for again.
import { lookup } from "node:dns/promises";
import { isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { formatEndpoint } from "../../../shared/config/endpoint.ts";
import {
  bindToInterface,
  dropAllInput,
  readSendBufferBytes,
  setSegmentBytes,
  setSendBufferBytes,
} from "../../../shared/native/socket-options.ts";
import type { UdpSendPath } from "../path-config.ts";
import { isBroadcast, isMulticast } from "./address-kind.ts";
import { DatagramBursts } from "./datagram-bursts.ts";
import type { PathWriter } from "./path-writer.ts";

/** Bytes around a datagram on Ethernet: preamble 8, header 14, checksum 4, gap 12, then IP and UDP. */
export function wireOverheadBytes(family: 4 | 6): number {
  return 38 + (family === 6 ? 40 : 20) + 8;
}

export type UdpTarget = Pick<
  UdpSendPath,
  "name" | "endpoint" | "interface" | "localAddress" | "multicastTtl" | "multicastLoop" | "rateMbitPerSecond"
>;

export type UdpSender = PathWriter & {
  readonly overheadBytes: number;
  /** False when the kernel filter could not be set: the agent still never looks at what arrives. */
  readonly deaf: boolean;
  /** What the kernel holds until the network card takes it, and what the rate asks for. */
  readonly sendBufferBytes: number | undefined;
  readonly sendBufferBytesWanted: number;
};

/** The kernel should hold the longest burst of the pacer, see docs/speeds.md. */
const BUFFER_MS = 4;
const BUFFER_BYTES_MIN = 65_536;
const BUFFER_BYTES_MAX = 4_194_304;

function wantedBuffer(mbitPerSecond: number): number {
  const bytes = Math.ceil(((mbitPerSecond * 1_000_000) / 8 / 1000) * BUFFER_MS);
  return Math.min(BUFFER_BYTES_MAX, Math.max(BUFFER_BYTES_MIN, bytes));
}

/** A socket whose interface is gone refuses everything from then on: it is made anew at most this often. */
const REOPEN_MS = 1000;
const GONE = new Set(["ENODEV", "EADDRNOTAVAIL", "EBADF"]);

/**
 * Opens the socket for one destination. `onDrain` is called when a full send buffer has room again.
 * Throws an Error with a sentence for a person.
 */
export async function openUdpSender(path: UdpTarget, onDrain: () => void): Promise<UdpSender> {
  const text = formatEndpoint(path.endpoint);
  const { address, family } = await lookup(path.endpoint.host).catch((error: Error) => {
    throw new Error(`cannot resolve the endpoint ${text} of path ${path.name}: ${error.message}`);
  });
  let socket = await openSocket(path, address, onDrain);
  let reopenedMs = performance.now();
  let closed = false;
  const reopen = () => {
    if (closed || performance.now() - reopenedMs < REOPEN_MS) return;
    reopenedMs = performance.now();
    openSocket(path, address, onDrain).then(
      (fresh) => {
        const old = closed ? fresh : socket;
        if (!closed) socket = fresh;
        old.close();
      },
      () => {}, // The old socket goes on telling why nothing leaves.
    );
  };
  return {
    overheadBytes: wireOverheadBytes(family === 6 ? 6 : 4),
    deaf: socket.deaf,
    sendBufferBytes: socket.sendBufferBytes,
    sendBufferBytesWanted: wantedBuffer(path.rateMbitPerSecond),
    write: (datagrams) => {
      try {
        return { written: socket.send(datagrams, path.endpoint.port, address) };
      } catch (error) {
        if (GONE.has((error as NodeJS.ErrnoException).code ?? "")) reopen();
        return { written: 0, error: error instanceof Error ? error.message : String(error) };
      }
    },
    close: () => {
      closed = true;
      socket.close();
    },
  };
}

/**
 * From this speed on the kernel cuts datagrams out of a block, because calling it for each would cost more than all else. On the
 * wire it is the same; but until it is cut a block is lost as a whole, on a virtual network or in a full queue, say.
 */
const CUT_FROM_MBIT_PER_SECOND = 1000;

function cutter(fd: number, path: UdpTarget): ((bytes: number) => boolean) | undefined {
  return path.rateMbitPerSecond < CUT_FROM_MBIT_PER_SECOND
    ? undefined
    : (bytes) => setSegmentBytes(fd, bytes);
}

// The runtime throws at once for an address that this host does not have.
async function bind(path: UdpTarget, address: string, onDrain: () => void) {
  try {
    return await Bun.udpSocket({
      hostname: path.localAddress ?? (isIPv4(address) ? "0.0.0.0" : "::"),
      socket: { drain: onDrain, error: () => {} },
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot use the local address ${path.localAddress} of path ${path.name}: ${why}`);
  }
}

async function openSocket(path: UdpTarget, address: string, onDrain: () => void) {
  const socket = await bind(path, address, onDrain);
  const { fd } = socket as unknown as { readonly fd: number };
  const deaf = dropAllInput(fd) === undefined;
  const unbound = path.interface === undefined ? undefined : bindToInterface(fd, path.interface);
  if (unbound !== undefined) {
    socket.close();
    throw new Error(`cannot bind path ${path.name} to interface ${path.interface}: ${unbound}`);
  }
  if (isBroadcast(address, networkInterfaces())) socket.setBroadcast(true);
  if (isMulticast(address)) {
    socket.setMulticastTTL(path.multicastTtl);
    socket.setMulticastLoopback(path.multicastLoop);
  }
  // The kernel counts what it keeps beside the payload, too, and so shows and needs twice as much.
  const wanted = wantedBuffer(path.rateMbitPerSecond);
  if ((readSendBufferBytes(fd) ?? 0) < 2 * wanted) setSendBufferBytes(fd, wanted);
  const shown = readSendBufferBytes(fd);
  const bursts = new DatagramBursts((packets) => socket.sendMany(packets as never), cutter(fd, path));
  return {
    deaf,
    sendBufferBytes: shown === undefined ? undefined : Math.floor(shown / 2),
    send: (datagrams: readonly Buffer[], port: number, host: string) => bursts.send(datagrams, port, host),
    close: () => socket.close(),
  };
}
