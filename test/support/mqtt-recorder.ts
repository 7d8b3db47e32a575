// A relay between one agent and its broker that writes down every PUBLISH of QoS 1 and its PUBACK, in both directions, in
// the order in which they went over the wire. A broker that is killed may forget what it has acknowledged; what it did
// acknowledge, and what it was acknowledged, stands here.
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Packet, parser } from "mqtt-packet";

/** to-agent: the broker publishes, the agent acknowledges. */
export type Way = "to-agent" | "to-broker";

/** One message on one connection. Times are of performance.now(). */
export type Sighting = {
  readonly number: number;
  readonly way: Way;
  /** Counts the agent's connections from 0. */
  readonly connection: number;
  readonly dup: boolean;
  readonly publishedMs: number;
  ackedMs: number | undefined;
  /** The place of its PUBACK among all, in the order of the wire. */
  ackedAt: number | undefined;
};

/** Takes connections at `port` and carries them to a broker; payloads begin with their number (makePayload). */
export class MqttRecorder implements AsyncDisposable {
  readonly sightings: Sighting[] = [];
  /** Packets that it could not read: nothing it says is worth anything then. */
  readonly faults: string[] = [];
  acks = 0;
  #connections = 0;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  private constructor(private readonly brokerPort: number) {}

  static async start(brokerPort: number): Promise<MqttRecorder> {
    const recorder = new MqttRecorder(brokerPort);
    const server = createServer({ allowHalfOpen: true }, (agent) => recorder.#carry(agent));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    if (address !== null && typeof address === "object") recorder.#port = address.port;
    recorder.#server = server;
    return recorder;
  }

  get port(): number {
    return this.#port;
  }

  get connections(): number {
    return this.#connections;
  }

  /** Grows with everything that happens. */
  get events(): number {
    return this.sightings.length + this.acks + this.#connections;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #carry(agent: Socket): void {
    const connection = this.#connections++;
    const broker = connect({ port: this.brokerPort, host: "127.0.0.1", allowHalfOpen: true });
    const open = { "to-agent": new Map<number, Sighting>(), "to-broker": new Map<number, Sighting>() };
    for (const [from, to, way] of [
      [agent, broker, "to-broker"],
      [broker, agent, "to-agent"],
    ] as const) {
      this.#sockets.add(from);
      const packets = parser({ protocolVersion: 5 });
      packets.on("packet", (packet) => this.#note(packet, way, connection, open));
      packets.on("error", (error) => this.faults.push(`${way}: ${error.message}`));
      from.setNoDelay(true);
      from.on("data", (bytes) => {
        // First the note: what has reached the other side always stands here.
        packets.parse(Buffer.from(bytes));
        if (!to.write(bytes)) from.pause();
      });
      to.on("drain", () => from.resume());
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.end();
        // Whoever is left may have nothing more to say for hours.
        from.destroy();
      });
    }
  }

  #note(packet: Packet, way: Way, connection: number, open: Record<Way, Map<number, Sighting>>): void {
    if (packet.cmd === "publish" && packet.qos === 1) {
      const sighting: Sighting = {
        number: Buffer.from(packet.payload).readUInt32BE(),
        way,
        connection,
        dup: packet.dup,
        publishedMs: performance.now(),
        ackedMs: undefined,
        ackedAt: undefined,
      };
      open[way].set(packet.messageId ?? 0, sighting);
      this.sightings.push(sighting);
    }
    // A code of 0x80 and above is a refusal: then nothing was taken.
    if (packet.cmd === "puback" && (packet.reasonCode ?? 0) < 0x80) {
      const answered = open[way === "to-agent" ? "to-broker" : "to-agent"];
      const sighting = answered.get(packet.messageId ?? 0);
      if (sighting === undefined) this.faults.push(`PUBACK ${packet.messageId} answers nothing`);
      else {
        answered.delete(packet.messageId ?? 0);
        sighting.ackedMs = performance.now();
        sighting.ackedAt = this.acks++;
      }
    }
  }
}
