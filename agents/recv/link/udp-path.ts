// One UDP path: a bound socket that is only ever read. Asks for a large receive buffer and says what was granted,
// because what the kernel cannot hold while the agent is busy is lost. Joins the group when its address is one.
// Refuses an address or an interface that this machine does not have, and one that another program reads.
import { lookup } from "node:dns/promises";
import { isIPv4 } from "node:net";
import { formatEndpoint } from "../../../shared/config/endpoint.ts";
import { bindToInterface, joinGroup, setReceiveBufferBytes } from "../../../shared/native/socket-options.ts";
import type { UdpRecvPath } from "../path-config.ts";
import { DatagramReader } from "./datagram-reader.ts";
import type { PathInput } from "./path-input.ts";

export type UdpWishes = Pick<UdpRecvPath, "address" | "interface" | "receiveBufferBytes">;

/** Binds and begins to read. Throws an Error with a sentence for a person when the address cannot be bound. */
export async function openUdpReceiver(
  wishes: UdpWishes,
  onDatagram: (datagram: Buffer) => void,
  onError: (error: Error) => void,
): Promise<PathInput & { readonly receiveBufferBytes: number }> {
  const text = formatEndpoint(wishes.address);
  const resolved = await lookup(wishes.address.host).catch((error: Error) => {
    throw new Error(`cannot resolve ${text}: ${error.message}`);
  });
  const scope = wishes.address.host.split("%")[1];
  const hostname = restoreScope(resolved.address, scope);
  const socket = await bind(hostname, wishes.address.port, onDatagram, onError).catch(
    (error: NodeJS.ErrnoException) => {
      throw new Error(`cannot bind ${text}: ${ERRORS[error.code ?? ""] ?? error.message}`);
    },
  );
  const fail = (why: string) => {
    socket.close();
    return new Error(why);
  };
  const { fd } = socket as unknown as { readonly fd: number };
  const granted = setReceiveBufferBytes(fd, wishes.receiveBufferBytes);
  if (wishes.interface !== undefined) {
    const why = bindToInterface(fd, wishes.interface);
    if (why !== undefined) throw fail(`cannot bind ${text} to interface ${wishes.interface}: ${why}`);
  }
  if (isGroup(hostname)) {
    const why = joinGroup(fd, hostname, wishes.interface ?? scope);
    if (why !== undefined) throw fail(`cannot join the multicast group ${wishes.address.host}: ${why}`);
  }
  const bound = socket.address;
  const reader = await DatagramReader.open(fd, { datagram: onDatagram, failed: onError });
  if (reader !== undefined) socket.close();
  return {
    address: formatEndpoint({ host: restoreScope(bound.address, scope), port: bound.port }),
    receiveBufferBytes: granted ?? 0,
    close: () => (reader ?? socket).close(),
  };
}

/** An async function, because Bun throws at once when the address is taken, in place of rejecting. */
async function bind(
  hostname: string,
  port: number,
  onDatagram: (datagram: Buffer) => void,
  onError: (error: Error) => void,
) {
  return await Bun.udpSocket({
    hostname,
    port,
    binaryType: "buffer",
    socket: {
      data: (_socket, datagram) => onDatagram(datagram),
      error: (_socket, error) => onError(error),
    },
  });
}

/** Name resolution and the kernel give a link-local address back without the interface it belongs to. */
function restoreScope(address: string, scope: string | undefined): string {
  return scope === undefined || address.includes("%") || isIPv4(address) ? address : `${address}%${scope}`;
}

function isGroup(address: string): boolean {
  if (!isIPv4(address)) return /^ff/i.test(address);
  const first = Number(address.split(".")[0]);
  return first >= 224 && first <= 239;
}

const ERRORS: Record<string, string> = {
  EADDRINUSE: "another program has it",
  EADDRNOTAVAIL: "this machine does not have that address",
  EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE",
};
