// What the MQTT broker of an Azure Event Grid namespace takes of a message, known before it is sent. Pure. A profile may
// override each number, for Microsoft moves them.
import type { Message } from "../../../../shared/message.ts";
import { countPacketBytes, measurePublish } from "../../../../shared/mqtt/publish-encode.ts";
import { checkTopicName } from "../../../../shared/mqtt/topic.ts";

export type EventGridLimits = {
  /** The whole PUBLISH: the broker announces it as its maximum packet size. */
  readonly messageBytesMax: number;
  readonly topicBytesMax: number;
  readonly topicSegmentsMax: number;
  readonly contentTypeBytesMax: number;
  /** Names and values of all user properties together. */
  readonly userPropertiesBytesMax: number;
  readonly retainedBytesMax: number;
  readonly qosMax: 0 | 1;
  /** Off unless the profile says so: older namespaces close the connection over one retained message. */
  readonly retainAllowed: boolean;
};

/** "Quotas and limits in Azure Event Grid namespaces", MQTT broker. */
export const EVENT_GRID_LIMITS: EventGridLimits = {
  messageBytesMax: 524_288,
  topicBytesMax: 256,
  topicSegmentsMax: 15,
  contentTypeBytesMax: 256,
  userPropertiesBytesMax: 32_768,
  retainedBytesMax: 65_536,
  qosMax: 1,
  retainAllowed: false,
};

/** What one session may have unacknowledged and may send. Both of a pair hold; the bytes usually come first. */
export const EVENT_GRID_PACE = {
  publishesPerSecond: 1000,
  bytesPerSecond: 1_000_000,
  inflightMax: 1000,
  inflightBytesMax: 65_536,
} as const;

export const EVENT_GRID_KEEP_ALIVE_SECONDS_MAX = 1160;

export type EventGridRefusal =
  | "invalid-topic"
  | "topic-reserved"
  | "topic-too-long"
  | "topic-too-deep"
  | "oversize"
  | "content-type-too-long"
  | "user-properties-too-long"
  | "qos-too-high"
  | "retain-not-allowed"
  | "retain-oversize";

/** Why Event Grid would refuse this message as it is, or undefined when it takes it. */
export function judgeForEventGrid(
  message: Message,
  limits: EventGridLimits = EVENT_GRID_LIMITS,
): EventGridRefusal | undefined {
  const { topic, properties } = message;
  if (checkTopicName(topic) !== undefined) return "invalid-topic";
  if (topic.startsWith("$")) return "topic-reserved";
  const topicBytes = Buffer.byteLength(topic);
  if (topicBytes > limits.topicBytesMax) return "topic-too-long";
  if (topic.split("/").length > limits.topicSegmentsMax) return "topic-too-deep";
  const contentTypeBytes = Buffer.byteLength(properties?.contentType ?? "");
  if (contentTypeBytes > limits.contentTypeBytesMax) return "content-type-too-long";
  const userProperties = properties?.userProperties ?? [];
  const userBytes = countUserBytes(userProperties);
  if (userBytes > limits.userPropertiesBytesMax) return "user-properties-too-long";
  const sizes = measurePublish(5, message);
  const packetBytes = sizes === undefined ? Number.POSITIVE_INFINITY : countPacketBytes(sizes, message.qos);
  if (packetBytes > limits.messageBytesMax) return "oversize";
  if (message.qos > limits.qosMax) return "qos-too-high";
  if (message.retain && !limits.retainAllowed) return "retain-not-allowed";
  if (message.retain && packetBytes > limits.retainedBytesMax) return "retain-oversize";
  return undefined;
}

function countUserBytes(pairs: readonly (readonly [string, string])[]): number {
  let bytes = 0;
  for (const [name, value] of pairs) bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  return bytes;
}
