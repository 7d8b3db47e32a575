// An MQTT client without manners: it sends what it is told, allowed or not, and notes what comes back. MQTT.js would stop
// most of it before a fake could.
import { readFileSync } from "node:fs";
import { connect, type TLSSocket } from "node:tls";
import {
  generate,
  type IConnectPacket,
  type IPublishPacket,
  type Packet,
  type Parser,
  parser,
} from "mqtt-packet";
import type { CertificateFiles } from "../support/certificates.ts";
import { waitFor } from "../support/wait.ts";

export type RawClientOptions = {
  readonly port: number;
  readonly caFile: string;
  readonly certificate?: CertificateFiles | undefined;
  readonly alpn?: readonly string[];
  readonly servername?: string;
  readonly address?: string;
};

const PATIENCE_MS = 10_000;

export class RawClient implements Disposable {
  readonly received: Packet[] = [];
  closed = false;
  #version: 4 | 5 = 4;
  #parser: Parser = parser({ protocolVersion: 4 });
  #packetId = 0;

  private constructor(private readonly socket: TLSSocket) {
    socket.on("close", () => {
      this.closed = true;
    });
    socket.on("error", () => {});
  }

  /** Opens TLS; rejects when the handshake fails. */
  static async open(options: RawClientOptions): Promise<RawClient> {
    const { certificate, alpn = [] } = options;
    const socket = connect({
      host: options.address ?? "127.0.0.1",
      port: options.port,
      ca: readFileSync(options.caFile),
      servername: options.servername ?? "localhost",
      ...(alpn.length > 0 ? { ALPNProtocols: [...alpn] } : {}),
      ...(certificate === undefined
        ? {}
        : { cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) }),
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("closed during the handshake")));
    });
    return new RawClient(socket);
  }

  /** Sends CONNECT and returns the code of CONNACK, or "closed" when there is none. */
  async connect(changes: Partial<IConnectPacket> = {}): Promise<number | "closed"> {
    this.#version = changes.protocolVersion === 5 ? 5 : 4;
    this.#parser = parser({ protocolVersion: this.#version });
    this.#parser.on("packet", (packet: Packet) => this.received.push(packet));
    this.#parser.on("error", () => this.socket.destroy());
    this.socket.on("data", (bytes: Buffer) => this.#parser.parse(bytes));
    this.send({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: this.#version,
      clean: true,
      keepalive: 60,
      clientId: "raw",
      ...changes,
    });
    const connack = await this.#await("CONNACK", () => this.received.find(({ cmd }) => cmd === "connack"));
    if (connack?.cmd !== "connack") return "closed";
    return (this.#version === 5 ? connack.reasonCode : connack.returnCode) ?? 0;
  }

  send(packet: Packet): void {
    this.write(generate(packet, { protocolVersion: this.#version }));
  }

  write(bytes: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** Sends PUBLISH and returns its number. */
  publish(changes: Partial<IPublishPacket> = {}): number {
    this.#packetId += 1;
    const packetId = this.#packetId;
    const publish = { topic: "a/b", payload: "x", qos: 1, retain: false, dup: false, ...changes } as const;
    this.send({ cmd: "publish", ...publish, messageId: packetId });
    return packetId;
  }

  /** PUBLISH, then what comes of it: the code of PUBACK, or how the connection ended. */
  async publishAndWait(changes: Partial<IPublishPacket> = {}): Promise<number | string> {
    const packetId = this.publish(changes);
    const answer = await this.#await("an answer to PUBLISH", () => {
      return this.received.find(({ cmd, messageId }) => cmd === "puback" && messageId === packetId);
    });
    return answer?.cmd === "puback" ? (answer.reasonCode ?? 0) : this.farewell();
  }

  /** How the server ended it: "closed", or with the code of its DISCONNECT. */
  async farewell(): Promise<string> {
    await waitFor("the end of the connection", PATIENCE_MS, () => this.closed);
    const last = this.received.find(({ cmd }) => cmd === "disconnect");
    return last?.cmd === "disconnect" ? `closed 0x${(last.reasonCode ?? 0).toString(16)}` : "closed";
  }

  count(command: Packet["cmd"]): number {
    return this.received.filter(({ cmd }) => cmd === command).length;
  }

  /** Whether everything sent so far has been handled: PINGREQ comes after it, PINGRESP therefore too. */
  async settle(): Promise<void> {
    const before = this.count("pingresp");
    this.send({ cmd: "pingreq" });
    await waitFor("PINGRESP", PATIENCE_MS, () => this.closed || this.count("pingresp") > before);
  }

  /** The first bytes that come, as text: for what is not MQTT. */
  readText(): Promise<string> {
    return new Promise((resolve) => {
      this.socket.once("data", (bytes: Buffer) => resolve(bytes.toString("latin1")));
      this.socket.once("close", () => resolve(""));
    });
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  async #await(what: string, probe: () => Packet | undefined): Promise<Packet | undefined> {
    await waitFor(what, PATIENCE_MS, () => probe() !== undefined || this.closed);
    return probe();
  }
}
