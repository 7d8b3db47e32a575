// Finds ports and tells when one answers. Only loopback. A free port may be taken by another program before
// it is used; whoever starts a server on it must be ready to try again.
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";

/** A TCP port that nobody listens on at this moment. */
export async function findFreeTcpPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("cannot find a free TCP port");
  return address.port;
}

/** A UDP port that nobody is bound to at this moment. */
export async function findFreeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(0, "127.0.0.1", resolve);
  });
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

/** Where a server listens: a TCP port of loopback, or a Unix socket. */
export type Door = { readonly port: number; readonly host?: string } | { readonly path: string };

/** Whether something accepts connections there. */
export function accepts(door: Door): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect("path" in door ? door : { host: "127.0.0.1", ...door });
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

export function acceptsTcp(port: number): Promise<boolean> {
  return accepts({ port });
}
