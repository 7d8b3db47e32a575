// One MQTT connection of a fake: from CONNECT to its end. It knows MQTT; what is allowed it asks the vendor's rules.
import { generate, type IConnectPacket, type Packet } from "mqtt-packet";
import type { Alarm } from "./clock.ts";
import { type PacketFault, PacketReader, type RawPacket } from "./packets.ts";
import { PublishDesk } from "./publish-desk.ts";
import { describeConnect, describePacket } from "./records.ts";
import type { Closing } from "./rules.ts";
import type { PacketServer } from "./server.ts";
import type { Wire } from "./wire.ts";

export class Session {
  /** Of CONNECT; absent before it. */
  connect: IConnectPacket | undefined;
  clientId = "";
  name = "";
  /** Whatever the vendor wants to remember about it. */
  readonly notes = new Map<string, unknown>();
  readonly #reader: PacketReader;
  readonly #waiting: RawPacket[] = [];
  readonly #desk: PublishDesk;
  #working = false;
  #ended = false;
  #heardAtMs: number;
  #silence: Alarm | undefined;
  #expiry: Alarm | undefined;
  /** What is said when the credentials expire; absent when they don't. */
  #farewell: Closing | undefined;

  constructor(
    readonly id: number,
    readonly wire: Wire,
    private readonly server: PacketServer,
  ) {
    this.#reader = new PacketReader(server.rules.packetBytesMax);
    this.#desk = new PublishDesk(this, server);
    this.#heardAtMs = server.clock.now();
    wire.onBytes = (bytes) => this.#receive(bytes);
    wire.onClose = () => this.#end("client");
  }

  get isMqtt5(): boolean {
    return this.connect?.protocolVersion === 5;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Says why, where MQTT has a way to, and closes. */
  close({ reason, code, serverReference }: Closing): void {
    if (this.#ended) return;
    if (code !== undefined && this.isMqtt5)
      this.send({
        cmd: "disconnect",
        reasonCode: code,
        ...(serverReference && { properties: { serverReference } }),
      });
    this.#end(reason);
    this.wire.close();
  }

  send(packet: Packet): void {
    this.wire.write(generate(packet, { protocolVersion: this.connect?.protocolVersion ?? 4 }));
  }

  /** Ends it when the credentials do. */
  expireAt(atMs: number, closing: Closing): void {
    this.#expiry?.cancel();
    this.#expiry = this.server.clock.setAlarm(atMs, () => this.close(closing));
    this.#farewell = closing;
  }

  /** Ends it as if its credentials had expired, if they can. */
  expireNow(): void {
    if (this.#farewell !== undefined) this.close(this.#farewell);
  }

  #receive(bytes: Buffer): void {
    if (this.#ended) return;
    this.#heardAtMs = this.server.clock.now();
    for (const read of this.#reader.push(bytes)) {
      if ("fault" in read) {
        this.#waiting.length = 0;
        return this.#refuseBytes(read);
      }
      this.#waiting.push(read);
    }
    void this.#work();
  }

  #refuseBytes({ fault }: PacketFault): void {
    this.close({ reason: fault, code: fault.startsWith("packet of") ? 0x95 : 0x81 });
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    for (let next = this.#waiting.shift(); next !== undefined && !this.#ended; next = this.#waiting.shift()) {
      const delayMs =
        this.connect === undefined ? 0 : (this.server.rules.delayMs?.(next.raw.length, this) ?? 0);
      if (delayMs > 0) {
        this.wire.pause();
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        this.wire.resume();
        if (this.#ended) break;
      }
      this.#handle(next);
    }
    this.#working = false;
  }

  #handle({ packet, raw }: RawPacket): void {
    if (packet.cmd === "connect") {
      if (this.connect !== undefined) return this.close({ reason: "second CONNECT", code: 0x82 });
      return this.#admit(packet, raw);
    }
    if (this.connect === undefined) return this.close({ reason: "no CONNECT" });
    if (packet.cmd === "publish") return this.#desk.handle(packet, raw);
    const atMs = this.server.clock.now();
    const fields = describePacket(packet);
    this.server.records.add({ kind: "other", connection: this.id, atMs, command: packet.cmd, fields, raw });
    switch (packet.cmd) {
      case "pingreq":
        return this.send({ cmd: "pingresp" });
      case "disconnect":
        this.#end("client DISCONNECT");
        return this.wire.close();
      case "subscribe": {
        const granted = this.server.rules.subscribe(packet, this);
        if ("reason" in granted) return this.close(granted);
        return this.send({ cmd: "suback", messageId: packet.messageId ?? 0, granted: [...granted] });
      }
      case "unsubscribe":
        return this.send({
          cmd: "unsuback",
          messageId: packet.messageId ?? 0,
          granted: packet.unsubscriptions.map(() => 0),
        });
      case "auth": {
        const renewed = this.server.rules.auth?.(packet, this) ?? { reason: "unexpected AUTH", code: 0x82 };
        if ("reason" in renewed) return this.close(renewed);
        this.expireAt(renewed.expiresAtMs, renewed.expiry);
        const { authenticationMethod } = packet.properties ?? {};
        const properties = authenticationMethod === undefined ? {} : { authenticationMethod };
        return this.send({ cmd: "auth", reasonCode: 0, properties });
      }
      default:
        return packet.cmd === "puback"
          ? undefined
          : this.close({ reason: `unexpected ${packet.cmd}`, code: 0x82 });
    }
  }

  #admit(packet: IConnectPacket, raw: Buffer): void {
    this.connect = packet;
    this.clientId = packet.clientId;
    const { clock, records, faults, rules } = this.server;
    const forced = faults.takeRefusal();
    const admission =
      forced === undefined
        ? rules.admit(packet, this.wire.peer, raw)
        : { admit: false as const, reason: "refused by the test", ...forced };
    records.add({
      kind: "connect",
      connection: this.id,
      atMs: clock.now(),
      peer: this.wire.peer,
      fields: describeConnect(packet),
      raw,
      outcome: admission.admit ? "accepted" : admission.reason,
    });
    if (!admission.admit) {
      const { code, reason, serverReference } = admission;
      if (code !== undefined)
        this.send({
          ...{ cmd: "connack", sessionPresent: false, returnCode: code, reasonCode: code },
          ...(this.isMqtt5 && serverReference && { properties: { serverReference } }),
        });
      this.#end(reason);
      return this.wire.close();
    }
    this.name = admission.name;
    this.clientId = admission.clientId ?? packet.clientId;
    this.server.enter(this);
    const properties = this.isMqtt5 ? { properties: admission.properties ?? {} } : {};
    this.send({ cmd: "connack", sessionPresent: false, returnCode: 0, reasonCode: 0, ...properties });
    this.#watchSilence(admission.keepAliveSeconds);
    if (admission.expiresAtMs !== undefined)
      this.expireAt(admission.expiresAtMs, admission.expiry ?? { reason: "credentials expired" });
  }

  /** One and a half times the keep alive without a packet [MQTT5 3.1.2.10]. */
  #watchSilence(keepAliveSeconds: number): void {
    if (keepAliveSeconds === 0) return;
    const limitMs = keepAliveSeconds * 1500;
    const check = (): void => {
      const dueMs = this.#heardAtMs + limitMs;
      if (this.server.clock.now() >= dueMs) return this.close(this.server.rules.keepAlive);
      this.#silence = this.server.clock.setAlarm(dueMs, check);
    };
    check();
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#silence?.cancel();
    this.#expiry?.cancel();
    this.#waiting.length = 0;
    this.server.leave(this);
    this.server.records.add({ kind: "close", connection: this.id, atMs: this.server.clock.now(), reason });
  }
}
