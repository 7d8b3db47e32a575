// One UDP path: a bound socket that is only ever read. Asks for a large receive buffer and says what was granted,
// because what the kernel cannot hold while the agent is busy is lost.
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";

export type UdpReceiver = {
  /** The bound address, e.g. "0.0.0.0:14550". */
  readonly address: string;
  /** Bytes of the receive buffer that the kernel granted (its own bookkeeping counted, so about twice the payload). */
  readonly receiveBufferBytes: number;
  close(): Promise<void>;
};

/** Binds and begins to read. Throws an Error with a sentence for a person when the address cannot be bound. */
export async function openUdpReceiver(
  address: { readonly host: string; readonly port: number },
  receiveBufferBytes: number,
  onDatagram: (datagram: Buffer) => void,
  onError: (error: Error) => void,
): Promise<UdpReceiver> {
  const text = `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
  const resolved = await lookup(address.host).catch((error: Error) => {
    throw new Error(`cannot resolve ${text}: ${error.message}`);
  });
  const socket = createSocket({ type: resolved.family === 6 ? "udp6" : "udp4", reuseAddr: false });
  socket.on("message", onDatagram);
  await new Promise<void>((resolve, reject) => {
    socket.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "another program has it" : error.message;
      reject(new Error(`cannot bind ${text}: ${why}`));
    });
    socket.bind(address.port, resolved.address, resolve);
  });
  socket.removeAllListeners("error");
  socket.on("error", onError);
  socket.setRecvBufferSize(receiveBufferBytes);
  const bound = socket.address();
  return {
    address: `${bound.family === "IPv6" ? `[${bound.address}]` : bound.address}:${bound.port}`,
    receiveBufferBytes: socket.getRecvBufferSize(),
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}
