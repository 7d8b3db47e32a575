// A broker of MQTT 3.1.1 that takes any session and subscription and then says what the test tells it to, be it allowed
// or not. Mosquitto would never say it.
import { createServer, type Server, type Socket } from "node:net";
import { type Packet, parser } from "mqtt-packet";

export class FakeBroker implements AsyncDisposable {
  /** What clients sent, in order. */
  readonly packets: Packet[] = [];
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async start(): Promise<FakeBroker> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string")
      throw new Error("cannot start a broker: it has no port");
    const broker = new FakeBroker(server, address.port);
    server.on("connection", (socket: Socket) => broker.#serve(socket));
    return broker;
  }

  /** Says it to every client. */
  say(bytes: Uint8Array): void {
    for (const socket of this.#sockets) socket.write(bytes);
  }

  count(command: Packet["cmd"]): number {
    return this.packets.filter(({ cmd }) => cmd === command).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    const input = parser({ protocolVersion: 4 });
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (bytes: Buffer) => input.parse(bytes));
    input.on("packet", (packet: Packet) => {
      this.packets.push(packet);
      if (packet.cmd === "connect") socket.write(Buffer.from([0x20, 2, 0, 0]));
      if (packet.cmd === "pingreq") socket.write(Buffer.from([0xd0, 0]));
      if (packet.cmd !== "subscribe") return;
      const id = packet.messageId ?? 0;
      const grants = packet.subscriptions.map(({ qos }) => qos);
      socket.write(Buffer.from([0x90, 2 + grants.length, id >> 8, id & 0xff, ...grants]));
    });
  }
}

/** A PUBLISH of QoS 1 with these bytes as its topic, whatever they are. */
export function craftPublish(packetId: number, topic: Uint8Array, payload: string): Buffer {
  const body = Buffer.concat([
    Buffer.from([topic.length >> 8, topic.length & 0xff]),
    topic,
    Buffer.from([packetId >> 8, packetId & 0xff]),
    Buffer.from(payload),
  ]);
  if (body.length > 127) throw new Error("cannot craft a PUBLISH of more than 127 bytes");
  return Buffer.concat([Buffer.from([0x32, body.length]), body]);
}
