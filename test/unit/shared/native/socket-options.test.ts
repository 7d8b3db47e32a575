import { expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { dropAllInput } from "../../../../shared/native/socket-options.ts";

/** A port of loopback that nobody listens on, so that the kernel answers each datagram with an ICMP error. */
async function findDeadPort(type: "udp4" | "udp6"): Promise<number> {
  const socket = createSocket(type);
  await new Promise<void>((resolve) => socket.bind(0, resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

test.each([
  ["udp4", "0.0.0.0", "127.0.0.1"],
  ["udp6", "::", "::1"],
] as const)(
  "dropAllInput() keeps ICMP errors from a %s socket: each write is taken",
  async (type, own, host) => {
    const port = await findDeadPort(type);
    const socket = await Bun.udpSocket({ hostname: own, socket: { error: () => {} } });
    expect(dropAllInput((socket as unknown as { fd: number }).fd)).toBeUndefined();
    for (let round = 0; round < 50; round++) {
      expect(socket.sendMany([Buffer.from("a"), port, host, Buffer.from("b"), port, host])).toBe(2);
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.close();
  },
);
