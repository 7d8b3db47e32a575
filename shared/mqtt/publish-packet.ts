// Decodes an inbound PUBLISH [MQTT5 3.3, MQTT 3.1.1 3.3]. Three outcomes: the message; a refusal, when a publisher
// behind the broker sent what MQTT forbids and the broker let it through (the session must survive that, or one
// such message would end every connection for ever); or malformed, when the stream itself can't be trusted.

import type { MessageProperties, Qos } from "../message.ts";
import { decodePublishProperties } from "./publish-properties.ts";
import { decodeText } from "./text.ts";

export type RefusalReason =
  | "topic-empty"
  | "topic-text"
  | "topic-wildcard"
  | "property-text"
  | "payload-format"
  | "oversize";

export type PublishFields = {
  readonly topic: string;
  /** A view of the received bytes: they stay as they are, but keeping it keeps the whole chunk. */
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 1 to 65,535; 0 for QoS 0. */
  readonly packetId: number;
  readonly properties: MessageProperties | undefined;
};
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

const WILDCARD = /[+#]/;

/** Decodes the body bytes[start, end) of a PUBLISH whose fixed header began with `firstByte`. */
export function decodePublish(
  version: 4 | 5,
  firstByte: number,
  bytes: Buffer,
  start: number,
  end: number,
): PublishDecoding {
  const head = decodePublishHead(firstByte, bytes, start, end);
  if (typeof head === "string") return { kind: "malformed", reason: head };
  const { qos, packetId, topic, end: headEnd } = head;
  const dup = isMarkedDup(firstByte);
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
    return { kind: "refused", refusal: { reason: reason ?? "topic-text", topic, qos, dup, packetId } };
  }
  return {
    kind: "publish",
    fields: {
      topic,
      payload: bytes.subarray(payloadStart, end),
      qos,
      retain: (firstByte & 1) !== 0,
      dup,
      packetId,
      properties,
    },
  };
}

/** What is known of a PUBLISH too large to keep, from the first bytes of its body. */
export function decodeOversizePublish(firstByte: number, head: Buffer): PublishRefusal | string {
  const decoded = decodePublishHead(firstByte, head, 0, head.length);
  if (typeof decoded === "string") return decoded;
  const { topic, qos, packetId } = decoded;
  return { reason: "oversize", topic, qos, dup: isMarkedDup(firstByte), packetId };
}

const isMarkedDup = (firstByte: number) => (firstByte & 8) !== 0;

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
): PublishHead | string {
  const qos = ((firstByte >> 1) & 3) as Qos;
  if (start + 2 > end) return "PUBLISH ends before its topic";
  const topicStart = start + 2;
  const topicEnd = topicStart + bytes.readUInt16BE(start);
  const headEnd = qos === 0 ? topicEnd : topicEnd + 2;
  if (headEnd > end) return "PUBLISH ends inside its topic or packet identifier";
  const packetId = qos === 0 ? 0 : bytes.readUInt16BE(topicEnd);
  if (qos !== 0 && packetId === 0) return "PUBLISH has the packet identifier 0";
  const topic = decodeText(bytes, topicStart, topicEnd);
  let problem: RefusalReason | undefined;
  if (topic === undefined) problem = "topic-text";
  else if (topic === "") problem = "topic-empty";
  else if (WILDCARD.test(topic)) problem = "topic-wildcard";
  return { qos, packetId, topic, problem, end: headEnd };
}
