// What every target does to a message before it publishes it: filter, expire, rename, lower the QoS.
// Pure; refuses what the broker has said it would refuse, so that one message cannot end the connection.
import type { Message, MessageProperties, Qos } from "../../../shared/message.ts";
import { countPacketBytes, measurePublish } from "../../../shared/mqtt/publish-encode.ts";
import type { Judgement } from "./outcome.ts";
import type { TopicRules } from "./topic-rules.ts";

/** What the broker has announced when it accepted the session [MQTT5 3.2.2.3]. */
export type BrokerLimits = {
  readonly qosMax: Qos;
  readonly retainAvailable: boolean;
  readonly packetBytesMax: number | undefined;
};

export function judgeMessage(
  message: Message,
  ageMs: number,
  rules: TopicRules,
  limits: BrokerLimits,
): Judgement {
  const route = rules.route(message.topic);
  if ("outcome" in route) return route;
  const properties = ageProperties(message.properties, ageMs);
  if (properties === "expired") return { outcome: "lost/expired" };
  const publish: Message = {
    ...message,
    topic: route.topic,
    qos: Math.min(message.qos, route.qosMax, limits.qosMax) as Qos,
    retain: message.retain && route.keepsRetain && limits.retainAvailable,
    properties,
  };
  // A broker only says what it takes in MQTT 5.
  const sizes = limits.packetBytesMax === undefined ? undefined : measurePublish(5, publish);
  const packetBytes = sizes === undefined ? 0 : countPacketBytes(sizes, publish.qos);
  if (limits.packetBytesMax !== undefined && packetBytes > limits.packetBytesMax) {
    const detail = `${packetBytes} bytes, and the broker takes ${limits.packetBytesMax}`;
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
