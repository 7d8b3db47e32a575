// A stretch of one-way cable that a test can cut: takes datagrams on a free loopback port (IPv4) and hands them on.
import { createSocket, type Socket } from "node:dgram";

export class UdpRelay implements AsyncDisposable {
  /** Copies of what it has handed on. */
  readonly recorded: Buffer[] = [];
  /** Datagrams that came while it was cut. */
  dropped = 0;
  #isCut = false;

  private constructor(
    readonly port: number,
    private readonly sockets: readonly Socket[],
  ) {}

  static async start(toPort: number, toFamily: "IPv4" | "IPv6" = "IPv4"): Promise<UdpRelay> {
    const socket = createSocket("udp4");
    const out = toFamily === "IPv6" ? createSocket("udp6") : socket;
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    socket.setRecvBufferSize(4_194_304);
    const relay = new UdpRelay(socket.address().port, [...new Set([socket, out])]);
    socket.on("message", (datagram) => {
      if (relay.#isCut) {
        relay.dropped++;
        return;
      }
      relay.recorded.push(datagram);
      out.send(datagram, toPort, toFamily === "IPv6" ? "::1" : "127.0.0.1");
    });
    return relay;
  }

  cut(): void {
    this.#isCut = true;
  }

  mend(): void {
    this.#isCut = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) await new Promise<void>((resolve) => socket.close(resolve));
  }
}
