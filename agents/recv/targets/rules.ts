// What a target of type "mqtt" does to a message before it publishes it: filter, expire, rename, lower the QoS.
// Pure; refuses what the broker has said it would refuse, so that one message cannot end the connection.
import type { Message, MessageProperties, Qos } from "../../../shared/message.ts";
import { checkTopicName, matchTopic } from "../../../shared/mqtt/topic.ts";
import type { Judgement } from "./runner.ts";

export type TargetRules = {
  readonly topics: readonly string[];
  readonly topicPrefix: string;
  readonly qosMax: Qos;
  readonly retain: "forward" | "strip";
};

/** What the broker has announced when it accepted the session [MQTT5 3.2.2.3]. */
export type BrokerLimits = {
  readonly qosMax: Qos;
  readonly retainAvailable: boolean;
  readonly packetBytesMax: number | undefined;
};

/** Fixed header, packet id, lengths and property identifiers of a PUBLISH, generously. */
const PACKET_HEADER_BYTES = 32;

export function judgeMessage(
  message: Message,
  ageMs: number,
  rules: TargetRules,
  limits: BrokerLimits,
): Judgement {
  if (!rules.topics.some((filter) => matchTopic(filter, message.topic)))
    return { outcome: "filtered/topics" };
  const properties = ageProperties(message.properties, ageMs);
  if (properties === "expired") return { outcome: "lost/expired" };
  const topic = rules.topicPrefix + message.topic;
  const problem = rules.topicPrefix === "" ? undefined : checkTopicName(topic);
  if (problem !== undefined)
    return { outcome: "lost/invalid-topic", detail: `the topic with topic_prefix before it ${problem}` };
  const publish: Message = {
    ...message,
    topic,
    qos: Math.min(message.qos, rules.qosMax, limits.qosMax) as Qos,
    retain: message.retain && rules.retain === "forward" && limits.retainAvailable,
    properties,
  };
  const packetBytes = countPacketBytes(publish);
  if (limits.packetBytesMax !== undefined && packetBytes > limits.packetBytesMax) {
    const detail = `about ${packetBytes} bytes, and the broker takes ${limits.packetBytesMax}`;
    return { outcome: "lost/oversize", detail };
  }
  return { publish };
}

/** The message expiry interval less the time that has passed [MQTT-3.3.2-6]. */
function ageProperties(
  properties: MessageProperties | undefined,
  ageMs: number,
): MessageProperties | undefined | "expired" {
  const lifetime = properties?.messageExpirySeconds;
  if (properties === undefined || lifetime === undefined) return properties;
  const left = lifetime - Math.floor(ageMs / 1000);
  return left <= 0 ? "expired" : { ...properties, messageExpirySeconds: left };
}

function countPacketBytes({ topic, payload, properties }: Message): number {
  let bytes = PACKET_HEADER_BYTES + Buffer.byteLength(topic) + payload.length;
  if (properties?.contentType !== undefined) bytes += Buffer.byteLength(properties.contentType);
  for (const [name, value] of properties?.userProperties ?? []) {
    bytes += 5 + Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  return bytes;
}
