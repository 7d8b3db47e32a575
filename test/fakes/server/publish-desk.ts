// What a session does with PUBLISH: finds the topic behind an alias, counts what is unacknowledged, asks the vendor's rules
// and the test's faults, records what became of it, and acknowledges.
import type { IPublishPacket } from "mqtt-packet";
import { describePublish, type PublishEvent } from "./records.ts";
import type { PublishVerdict } from "./rules.ts";
import type { PacketServer } from "./server.ts";
import type { Session } from "./session.ts";

export class PublishDesk {
  readonly #aliases = new Map<number, string>();
  /** Bytes of what is not acknowledged, by packet number. */
  readonly #inflight = new Map<number, number>();

  constructor(
    private readonly session: Session,
    private readonly server: PacketServer,
  ) {}

  handle(packet: IPublishPacket, raw: Buffer): void {
    const topic = this.#resolveTopic(packet);
    const event: PublishEvent = this.server.records.add({
      kind: "publish",
      connection: this.session.id,
      atMs: this.server.clock.now(),
      topic: topic ?? "",
      payload: Buffer.from(packet.payload as Buffer),
      fields: describePublish(packet),
      raw,
      outcome: "",
    });
    const verdict = this.#judge(topic, packet, raw.length);
    event.outcome = verdict.act === "take" ? "taken" : verdict.reason;
    if (verdict.act === "close") return this.session.close(verdict);
    if (verdict.act === "discard") return;
    if (verdict.act === "refuse") return this.#acknowledge(packet, raw.length, 0, verdict.code ?? 0);
    this.#take({ ...packet, topic: topic ?? "" }, event, verdict.afterMs ?? 0);
  }

  #take(packet: IPublishPacket, event: PublishEvent, afterMs: number): void {
    const fault = this.server.faults.takePublishFault(event.payload);
    if (fault === "close" || fault === "discard") {
      event.outcome = `${fault} by the test`;
      return fault === "close" ? this.session.close({ reason: event.outcome }) : undefined;
    }
    this.server.rules.taken?.(packet, this.session);
    if (fault !== undefined) return this.session.close({ reason: `${fault} by the test` });
    this.#acknowledge(packet, event.raw.length, afterMs, 0);
  }

  #acknowledge(packet: IPublishPacket, bytes: number, afterMs: number, reasonCode: number): void {
    const { faults, rules } = this.server;
    const messageId = packet.messageId ?? 0;
    const finish = (): void => {
      this.#inflight.delete(messageId);
      if (this.session.ended) return;
      if (packet.qos === 1) this.session.send({ cmd: "puback", messageId, reasonCode });
      rules.acknowledged?.(packet, this.session);
    };
    if (packet.qos === 1) this.#inflight.set(messageId, bytes);
    const waitMs = faults.acknowledgeAfterMs + afterMs;
    if (faults.holdAcknowledgements) faults.held.push(finish);
    else if (waitMs > 0) setTimeout(finish, waitMs);
    else finish();
  }

  #judge(topic: string | undefined, packet: IPublishPacket, bytes: number): PublishVerdict {
    const { rules } = this.server;
    if (topic === undefined) return { act: "close", reason: "topic alias", code: 0x94 };
    if (topic === "" || /[+#]/.test(topic)) return { act: "close", reason: "malformed topic", code: 0x90 };
    if (packet.qos > 0) {
      const waiting = [...this.#inflight.values()].reduce((sum, each) => sum + each, bytes);
      const verdict = rules.inflight?.(this.#inflight.size + 1, waiting);
      if (verdict !== undefined) return verdict;
    }
    return rules.publish({ ...packet, topic }, this.session, bytes);
  }

  /** Undefined when an alias is used that was not announced, or not given a topic before [MQTT5 3.3.2.3.4]. */
  #resolveTopic({ topic, properties }: IPublishPacket): string | undefined {
    const alias = this.session.isMqtt5 ? properties?.topicAlias : undefined;
    if (alias === undefined) return topic;
    if (alias === 0 || alias > this.server.rules.topicAliasMax) return undefined;
    if (topic === "") return this.#aliases.get(alias);
    this.#aliases.set(alias, topic);
    return topic;
  }
}
