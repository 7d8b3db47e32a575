// A stretch of wire between an agent and its broker that writes down what both say: which messages were delivered and
// which of them acknowledged. So that a test can tell what an agent lost from what a killed broker has forgotten.
// Payloads begin with a number of four bytes; a message is known by it.
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Packet, parser } from "mqtt-packet";

export type Delivery = { readonly number: number; readonly dup: boolean; readonly connection: number };

export class MqttWire implements AsyncDisposable {
  /** PUBLISH packets in their order: from the broker, where the agent subscribes; to it, where it publishes. */
  readonly deliveries: Delivery[] = [];
  /** Numbers of the messages whose PUBACK went the other way. */
  readonly acknowledged = new Set<number>();
  /** Bytes that have passed. */
  bytes = 0;
  connections = 0;
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly brokerPort: number,
    private readonly publisher: "broker" | "agent",
    readonly port: number,
  ) {}

  static async start(brokerPort: number, publisher: "broker" | "agent"): Promise<MqttWire> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    const wire = new MqttWire(server, brokerPort, publisher, port);
    server.on("connection", (socket: Socket) => wire.#join(socket));
    return wire;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  #join(agent: Socket): void {
    const connection = ++this.connections;
    const broker = connect({ host: "127.0.0.1", port: this.brokerPort });
    const numbers = new Map<number, number>();
    const fromAgent = this.#listen("agent", connection, numbers);
    const fromBroker = this.#listen("broker", connection, numbers);
    this.#pass(agent, broker, fromAgent);
    this.#pass(broker, agent, fromBroker);
  }

  /** What has been read is written down before it is handed on: nobody can act on what is not in the book. */
  #pass(from: Socket, to: Socket, listen: (chunk: Buffer) => void): void {
    this.#sockets.add(from);
    from.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length;
      listen(chunk);
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => from.resume());
    from.on("end", () => to.end());
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }

  #listen(side: "agent" | "broker", connection: number, numbers: Map<number, number>) {
    const input = parser({ protocolVersion: 5 });
    input.on("packet", (packet: Packet) => {
      if (packet.cmd === "publish" && side === this.publisher && typeof packet.payload !== "string") {
        const number = packet.payload.length < 4 ? -1 : packet.payload.readUInt32BE();
        this.deliveries.push({ number, dup: packet.dup, connection });
        if (packet.messageId !== undefined) numbers.set(packet.messageId, number);
      }
      if (packet.cmd === "puback" && side !== this.publisher) {
        const number = numbers.get(packet.messageId ?? 0);
        if (number !== undefined) this.acknowledged.add(number);
      }
    });
    input.on("error", () => {});
    return (chunk: Buffer) => void input.parse(chunk);
  }
}
