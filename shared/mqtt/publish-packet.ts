// Decodes an inbound PUBLISH [MQTT5 3.3, MQTT 3.1.1 3.3]. Three outcomes: the message; a refusal, when a publisher
// behind the broker sent what MQTT forbids and the broker let it through (the session must survive that, or one
// such message would end every connection for ever); or malformed, when the stream itself can't be trusted.

import type { MessageProperties, Qos } from "../message.ts";
import { decodePublishProperties } from "./publish-properties.ts";
import { decodeText } from "./text.ts";
import { decodeTopic, type TopicCache, type TopicFault } from "./topic-cache.ts";

export type RefusalReason =
  | "topic-empty"
  | "topic-text"
  | "topic-wildcard"
  | "property-text"
  | "payload-format"
  | "oversize";

export class PublishFields {
  readonly topic: string;
  /** The received bytes, of which [payloadStart, payloadEnd) is the payload: they stay as they are, and keeping this keeps them all. */
  readonly bytes: Buffer;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 1 to 65,535; 0 for QoS 0. */
  readonly packetId: number;
  readonly properties: MessageProperties | undefined;

  constructor(
    topic: string,
    bytes: Buffer,
    payloadStart: number,
    payloadEnd: number,
    firstByte: number,
    packetId: number,
    properties: MessageProperties | undefined,
  ) {
    this.topic = topic;
    this.bytes = bytes;
    this.payloadStart = payloadStart;
    this.payloadEnd = payloadEnd;
    this.qos = qosOf(firstByte);
    this.retain = (firstByte & 1) !== 0;
    this.dup = isMarkedDup(firstByte);
    this.packetId = packetId;
    this.properties = properties;
  }

  /** A view of the received bytes. */
  get payload(): Uint8Array {
    return this.bytes.subarray(this.payloadStart, this.payloadEnd);
  }
}
export type PublishRefusal = {
  readonly reason: RefusalReason;
  /** As far as it could be read. */
  readonly topic: string | undefined;
  readonly qos: Qos;
  readonly dup: boolean;
  readonly packetId: number;
};
export type PublishDecoding =
  | { readonly kind: "publish"; readonly fields: PublishFields }
  | { readonly kind: "refused"; readonly refusal: PublishRefusal }
  | { readonly kind: "malformed"; readonly reason: string };

const PROBLEMS: Record<TopicFault, RefusalReason> = {
  text: "topic-text",
  empty: "topic-empty",
  wildcard: "topic-wildcard",
};

/** Decodes the body bytes[start, end) of a PUBLISH whose fixed header began with `firstByte`. */
export function decodePublish(
  version: 4 | 5,
  firstByte: number,
  bytes: Buffer,
  start: number,
  end: number,
  topics?: TopicCache,
): PublishDecoding {
  const head = decodePublishHead(firstByte, bytes, start, end, topics);
  if (typeof head === "string") return { kind: "malformed", reason: head };
  const { qos, packetId, topic, end: headEnd } = head;
  let reason: RefusalReason | undefined = head.problem;
  let properties: MessageProperties | undefined;
  let payloadStart = headEnd;
  if (version === 5) {
    const decoding = decodePublishProperties(bytes, headEnd, end);
    if (decoding.kind === "malformed") return { kind: "malformed", reason: `PUBLISH: ${decoding.reason}` };
    if (decoding.kind === "refused") reason ??= decoding.reason;
    else properties = decoding.properties;
    payloadStart = decoding.end;
  }
  if (reason !== undefined || topic === undefined) {
    const dup = isMarkedDup(firstByte);
    return { kind: "refused", refusal: { reason: reason ?? "topic-text", topic, qos, dup, packetId } };
  }
  const fields = new PublishFields(topic, bytes, payloadStart, end, firstByte, packetId, properties);
  return { kind: "publish", fields };
}

/** What is known of a PUBLISH too large to keep, from the first bytes of its body. */
export function decodeOversizePublish(firstByte: number, head: Buffer): PublishRefusal | string {
  const decoded = decodePublishHead(firstByte, head, 0, head.length);
  if (typeof decoded === "string") return decoded;
  const { topic, qos, packetId } = decoded;
  return { reason: "oversize", topic, qos, dup: isMarkedDup(firstByte), packetId };
}

const isMarkedDup = (firstByte: number) => (firstByte & 8) !== 0;
const qosOf = (firstByte: number) => ((firstByte >> 1) & 3) as Qos;

type PublishHead = {
  readonly qos: Qos;
  readonly packetId: number;
  readonly topic: string | undefined;
  readonly problem: RefusalReason | undefined;
  readonly end: number;
};

function decodePublishHead(
  firstByte: number,
  bytes: Buffer,
  start: number,
  end: number,
  topics?: TopicCache,
): PublishHead | string {
  const qos = qosOf(firstByte);
  if (start + 2 > end) return "PUBLISH ends before its topic";
  const topicStart = start + 2;
  const topicEnd = topicStart + bytes.readUInt16BE(start);
  const headEnd = qos === 0 ? topicEnd : topicEnd + 2;
  if (headEnd > end) return "PUBLISH ends inside its topic or packet identifier";
  const packetId = qos === 0 ? 0 : bytes.readUInt16BE(topicEnd);
  if (qos !== 0 && packetId === 0) return "PUBLISH has the packet identifier 0";
  const reading = topics?.read(bytes, topicStart, topicEnd) ?? decodeTopic(bytes, topicStart, topicEnd);
  if (typeof reading === "string") return { qos, packetId, topic: reading, problem: undefined, end: headEnd };
  const topic = decodeText(bytes, topicStart, topicEnd);
  return { qos, packetId, topic, problem: PROBLEMS[reading.fault], end: headEnd };
}
