// A relay of TCP connections on loopback, as the host software of an appliance is one, which a test can break.
import { connect, createServer, type Server, type Socket } from "node:net";

/** Takes connections and carries what they bring to a port, and nothing back. */
export class TcpRelay implements AsyncDisposable {
  /** Carried so far. */
  bytes = 0;
  /** Whether it talks to who connects, as a hostile or broken one may. */
  talksBack = false;
  /** What it has said. */
  bytesBack = 0;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  private constructor(private readonly target: number) {}

  static async start(target: number): Promise<TcpRelay> {
    const relay = new TcpRelay(target);
    await relay.accept(0);
    return relay;
  }

  get port(): number {
    return this.#port;
  }

  /** Listens (again). */
  async accept(port: number): Promise<void> {
    const server = createServer((near) => this.#carry(near));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
    const address = server.address();
    if (address !== null && typeof address === "object") this.#port = address.port;
    this.#server = server;
  }

  /** Ends what there is, and listens no more. */
  refuse(): void {
    this.#server?.close();
    this.closeAll();
  }

  /** Ends every connection as an appliance does that is restarted: what is under way is lost. */
  closeAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.refuse();
  }

  #carry(near: Socket): void {
    const far = connect(this.target, "127.0.0.1");
    if (this.talksBack) this.#talk(near, 20_000);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    near.on("data", (bytes) => {
      this.bytes += bytes.length;
      if (this.talksBack && !near.writableNeedDrain) this.#talk(near, 1000);
      far.write(bytes);
    });
  }

  #talk(near: Socket, bytes: number): void {
    near.write(Buffer.alloc(bytes, "answer me "));
    this.bytesBack += bytes;
  }
}
