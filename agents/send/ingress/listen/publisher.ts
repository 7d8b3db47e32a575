// Takes the PUBLISH packets of one connection [MQTT5 3.3, 4.3]: parsed in place from the socket's bytes, given to the
// intake, and acknowledged when the journal has them. Refused messages are booked by name like all others: over the size limit,
// a topic that is none, a topic the client may not publish to. What the client was told it must not do ends its connection.
import { EmbeddedMessage, type MessageProperties, type Qos } from "../../../../shared/message.ts";
import { type ProtocolVersion, pickMessageProperties } from "../../../../shared/mqtt/connect-packet.ts";
import { breach, type Flaw, isFlaw, malformed } from "../../../../shared/mqtt/flaw.ts";
import { decodeProperties, PROPERTY, propertySet } from "../../../../shared/mqtt/properties.ts";
import { REASON, type ReasonCode } from "../../../../shared/mqtt/reason-code.ts";
import { ACK } from "../../../../shared/mqtt/server-packets.ts";
import { checkTopicName } from "../../../../shared/mqtt/topic.ts";
import { OWN_TOPICS } from "../../../../shared/sparkplug/snapshot.ts";
import type { LossReason } from "../../intake.ts";
import type { Notes } from "../../journal.ts";
import type { Permit } from "./access.ts";
import type { Hub, HubClient } from "./hub.ts";
import type { Session, SessionClient } from "./session.ts";
import { TokenBucket } from "./token-bucket.ts";

const PUBLISH_PROPERTIES = propertySet(
  PROPERTY.payloadFormat,
  PROPERTY.messageExpiry,
  PROPERTY.contentType,
  PROPERTY.responseTopic,
  PROPERTY.correlationData,
  PROPERTY.topicAlias,
  PROPERTY.userProperty,
);
const DOLLAR = 0x24;
/** The rule under which topics that begin with "$" are booked. */
const DOLLAR_RULE = "dollar-topics";

type Owner = HubClient &
  SessionClient & { rest(cause: "window" | "journal" | "rate", wanted: boolean): void };

export class Publisher {
  readonly #hub: Hub;
  readonly #owner: Owner;
  readonly #session: Session;
  readonly #version: ProtocolVersion;
  readonly #permit: Permit | undefined;
  readonly #source: string;
  readonly #rate: TokenBucket | undefined;
  #aliases: Map<number, string> | undefined;
  /** Messages of this connection that wait for the journal. */
  #uncommitted = 0;
  /** Of them those of QoS 1: they and the session's identifiers count against the receive maximum. */
  #openOnce = 0;
  messages = 0;

  constructor(
    hub: Hub,
    owner: Owner,
    session: Session,
    version: ProtocolVersion,
    permit: Permit | undefined,
  ) {
    this.#hub = hub;
    this.#owner = owner;
    this.#session = session;
    this.#version = version;
    this.#permit = permit;
    this.#source = hub.config.name;
    const { messagesPerSecondMax } = hub.config;
    this.#rate =
      messagesPerSecondMax > 0 ? new TokenBucket(messagesPerSecondMax, hub.rim.steady()) : undefined;
  }

  /** Takes the body bytes[start, end) of a PUBLISH whose fixed header began with `firstByte`. */
  take(firstByte: number, bytes: Buffer, start: number, end: number): Flaw | undefined {
    const qos = ((firstByte >> 1) & 3) as Qos;
    if (start + 2 > end) return malformed("PUBLISH ends before its topic");
    const topicEnd = start + 2 + ((bytes[start] as number) << 8) + (bytes[start + 1] as number);
    const headEnd = qos === 0 ? topicEnd : topicEnd + 2;
    if (headEnd > end) return malformed("PUBLISH ends inside its topic or packet identifier");
    const packetId = qos === 0 ? 0 : ((bytes[topicEnd] as number) << 8) | (bytes[topicEnd + 1] as number);
    if (qos !== 0 && packetId === 0) return breach("PUBLISH has the packet identifier 0"); // [MQTT-2.2.1-3]
    let payloadStart = headEnd;
    let properties: MessageProperties | undefined;
    let alias: number | undefined;
    if (this.#version === 5) {
      if (bytes[headEnd] === 0 && headEnd < end) payloadStart = headEnd + 1;
      else {
        const decoded = decodeProperties(bytes, headEnd, end, PUBLISH_PROPERTIES);
        if (isFlaw(decoded)) return decoded;
        payloadStart = decoded.end;
        properties = pickMessageProperties(decoded.properties);
        alias = decoded.properties?.topicAlias;
        const responseTopic = decoded.properties?.responseTopic;
        if (responseTopic !== undefined && checkTopicName(responseTopic) !== undefined)
          return breach("the response topic is not a topic name"); // [MQTT-3.3.2-14]
      }
    }
    const topic = this.#readTopic(bytes, start + 2, topicEnd, alias);
    if (typeof topic !== "string") {
      const why = `invalid topic in ${end - start} bytes`;
      this.#hub.keeper.refuse(this.#source, "invalid-topic", why, end - payloadStart, qos, NOTHING);
      return topic;
    }
    if (qos === 2 && this.#isKnown(packetId)) return undefined;
    if (qos !== 0) {
      const flaw = this.#checkWindow();
      if (flaw !== undefined) return flaw;
    }
    this.messages++;
    if (this.#rate !== undefined && !this.#rate.take(this.#hub.rim.steady())) this.#owner.rest("rate", true);
    const size = end - payloadStart;
    if (this.#permit !== undefined && !this.#permit.allows(topic))
      this.#refuse("not-authorized", REASON.notAuthorized, topic, qos, packetId, size);
    else if (topic.startsWith(OWN_TOPICS))
      this.#refuse("reserved-topic", REASON.topicNameInvalid, topic, qos, packetId, size);
    else if (size > this.#hub.messageBytesMax)
      this.#refuse("oversize", REASON.quotaExceeded, topic, qos, packetId, size);
    else if (topic.charCodeAt(0) === DOLLAR && this.#hub.config.dollarTopics === "keep-back")
      this.#setAside(qos, packetId);
    else {
      const acceptedMs = this.#hub.rim.clock();
      const retain = (firstByte & 1) !== 0;
      const message = new EmbeddedMessage(
        topic,
        bytes,
        payloadStart,
        size,
        qos,
        retain,
        properties,
        acceptedMs,
      );
      if (qos === 0) this.#hub.keeper.accept(this.#source, message);
      else {
        const settle = this.#expect(qos, packetId, REASON.success, size);
        this.#hub.keeper.accept(this.#source, message, settle, this.#noteId(qos, packetId));
      }
    }
    return undefined;
  }

  /** A PUBLISH over the largest packet. MQTT 5 clients were told; the others are acknowledged, or they would send it for ever. */
  refuseOversize(firstByte: number, head: Buffer, packetBytes: number): Flaw | undefined {
    const qos = ((firstByte >> 1) & 3) as Qos;
    const why = `PUBLISH has ${packetBytes} bytes, must have ${this.#hub.publishBytesMax} at most`;
    if (this.#version === 5) {
      this.#hub.keeper.refuse(this.#source, "oversize", "", packetBytes, qos, NOTHING);
      return { code: REASON.packetTooLarge, why };
    }
    const topicEnd = head.length < 2 ? 2 : 2 + head.readUInt16BE(0);
    if (topicEnd + (qos === 0 ? 0 : 2) > head.length) return malformed("PUBLISH ends inside its topic");
    const packetId = qos === 0 ? 0 : head.readUInt16BE(topicEnd);
    if (qos !== 0 && packetId === 0) return breach("PUBLISH has the packet identifier 0");
    const reading = this.#hub.topics.read(head, 2, topicEnd);
    if (qos === 2 && this.#isKnown(packetId)) return undefined;
    const topic = typeof reading === "string" ? reading : "";
    this.#refuse("oversize", REASON.quotaExceeded, topic, qos, packetId, packetBytes);
    return undefined;
  }

  tick(nowMs: number): void {
    if (this.#rate?.waitMs(nowMs) === 0) this.#owner.rest("rate", false);
  }

  /** The topic, by name or by alias [MQTT5 3.3.2.3.4]. */
  #readTopic(bytes: Buffer, start: number, end: number, alias: number | undefined): string | Flaw {
    if (alias !== undefined && (alias === 0 || alias > this.#hub.config.topicAliasMaximum))
      return { code: REASON.topicAliasInvalid, why: `the topic alias is ${alias}` }; // [MQTT-3.3.2-8, -9]
    if (start === end && this.#version === 5) {
      const known = alias === undefined ? undefined : this.#aliases?.get(alias);
      return known ?? breach("PUBLISH has neither a topic nor a known topic alias");
    }
    const reading = this.#hub.topics.read(bytes, start, end);
    if (typeof reading !== "string") return malformed(`the topic is no topic name: ${reading.fault}`); // [MQTT-3.3.2-1, -2]
    if (alias !== undefined) {
      this.#aliases ??= new Map();
      this.#aliases.set(alias, reading);
    }
    return reading;
  }

  /** Whether a QoS 2 packet identifier is under way already; if so, all has been done [MQTT-4.3.3-10]. */
  #isKnown(packetId: number): boolean {
    const state = this.#session.idState(packetId);
    if (state === undefined) return false;
    // While it waits for the journal, the PUBREC comes with the commit.
    if (state !== "taken") this.#owner.acknowledge(ACK.pubrec, packetId, 0);
    return true;
  }

  #checkWindow(): Flaw | undefined {
    const { receiveMaximum } = this.#hub.config;
    if (this.#version === 5 && this.#openOnce + this.#session.idCount >= receiveMaximum) {
      const why = `over ${receiveMaximum} messages are not acknowledged`;
      return { code: REASON.receiveMaximumExceeded, why };
    }
    return undefined;
  }

  #refuse(
    reason: LossReason,
    code: ReasonCode,
    topic: string,
    qos: Qos,
    packetId: number,
    payloadBytes: number,
  ): void {
    if (qos === 0) {
      this.#hub.keeper.refuse(this.#source, reason, topic, payloadBytes, qos, NOTHING);
      return;
    }
    // Before MQTT 5 there is no way to say no: it is acknowledged like any other [MQTT-3.3.5-2].
    const told = this.#version === 5 ? code : REASON.success;
    const settle = this.#expect(qos, packetId, told, 0);
    const notes = told === REASON.success ? this.#noteId(qos, packetId) : undefined;
    this.#hub.keeper.refuse(this.#source, reason, topic, payloadBytes, qos, settle, notes);
  }

  #setAside(qos: Qos, packetId: number): void {
    const settle = qos === 0 ? NOTHING : this.#expect(qos, packetId, REASON.success, 0);
    this.#hub.keeper.setAside(this.#source, DOLLAR_RULE, qos, settle, this.#noteId(qos, packetId));
  }

  #noteId(qos: Qos, packetId: number): Notes | undefined {
    return qos === 2 ? this.#session.idNote(packetId) : undefined;
  }

  /** What is to be done once the message is settled. Until then it counts against the window. */
  #expect(qos: Qos, packetId: number, code: number, bytes: number): () => void {
    this.#uncommitted++;
    if (this.#hub.addWaiting(bytes, this.#owner)) this.#owner.rest("journal", true);
    if (this.#uncommitted >= this.#hub.config.receiveMaximum) this.#owner.rest("window", true);
    if (qos === 2) {
      this.#session.setId(packetId, "taken");
      return () => {
        this.#settle(bytes);
        this.#hub.book.settleId(this.#session, packetId, code);
      };
    }
    this.#openOnce++;
    return () => {
      this.#openOnce--;
      this.#settle(bytes);
      this.#owner.acknowledge(ACK.puback, packetId, code);
    };
  }

  #settle(bytes: number): void {
    this.#uncommitted--;
    this.#hub.subtractWaiting(bytes);
    if (this.#uncommitted < this.#hub.config.receiveMaximum) this.#owner.rest("window", false);
  }
}

function NOTHING(): void {}
