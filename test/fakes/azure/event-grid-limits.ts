// The limits of Event Grid's MQTT broker, kept apart from the product's own table on purpose. A test may lower one to meet
// it sooner.
import type { IPublishPacket } from "mqtt-packet";
import type { Closing } from "../server/rules.ts";

export const EVENT_GRID_QUOTAS = {
  messageBytes: 512 * 1024,
  topicBytes: 256,
  topicSegments: 15,
  inflight: 1000,
  inflightBytes: 64 * 1024,
  publishesPerSecond: 1000,
  bytesPerSecond: 1_000_000,
  userPropertyBytes: 32 * 1024,
  contentTypeBytes: 256,
  retainedBytes: 64 * 1024,
  topicAliases: 10,
  connectsPerSecond: 1,
  keepAliveSecondsMax: 1160,
  sessionsPerName: 1,
};

/** Why this PUBLISH ends the connection, if it does, whoever sent it. */
export function findPublishFault(
  packet: IPublishPacket,
  bytes: number,
  quotas: typeof EVENT_GRID_QUOTAS,
  retainAvailable: boolean,
): Closing | undefined {
  const close = (reason: string, code: number): Closing => ({ reason, code });
  const { topic, properties, retain } = packet;
  if (packet.qos === 2) return close("QoS 2", 0x9b);
  if (bytes > quotas.messageBytes) return close("message too large", 0x95);
  if (topic.startsWith("$") || Buffer.byteLength(topic) > quotas.topicBytes) return close("topic", 0x90);
  if (topic.split("/").length > quotas.topicSegments) return close("topic too deep", 0x90);
  if (Buffer.byteLength(properties?.contentType ?? "") > quotas.contentTypeBytes)
    return close("content type", 0x97);
  if (countUserBytes(properties?.userProperties ?? {}) > quotas.userPropertyBytes)
    return close("user properties", 0x97);
  if (retain && !retainAvailable) return close("retain", 0x9a);
  if (retain && bytes > quotas.retainedBytes) return close("retained message too large", 0x97);
  return undefined;
}

function countUserBytes(properties: Readonly<Record<string, string | string[]>>): number {
  return Object.entries(properties)
    .flatMap(([name, values]) =>
      [values].flat().map((value) => Buffer.byteLength(name) + Buffer.byteLength(value)),
    )
    .reduce((sum, each) => sum + each, 0);
}

export function matchFilter(filter: string, topic: string): boolean {
  const levels = topic.split("/");
  const pattern = filter.split("/");
  const open = pattern.at(-1) === "#";
  const fixed = open ? pattern.slice(0, -1) : pattern;
  if (open ? levels.length < fixed.length : levels.length !== fixed.length) return false;
  return fixed.every((level, at) => level === "+" || level === levels[at]);
}
