// What every target does to a message before it publishes it: filter, expire, rename, lower the QoS.
// Pure; refuses what the broker has said it would refuse, so that one message cannot end the connection.
import { changeMessage, type Message, type MessageProperties, type Qos } from "../../../shared/message.ts";
import { countPacketBytes, measurePublish } from "../../../shared/mqtt/publish-encode.ts";
import type { Judgement } from "./outcome.ts";
import type { TopicRules } from "./topic-rules.ts";

/** What the broker has announced when it accepted the session [MQTT5 3.2.2.3]. */
export type BrokerLimits = {
  readonly qosMax: Qos;
  readonly retainAvailable: boolean;
  readonly packetBytesMax: number | undefined;
};

/** Where it goes and as what; whether it is too large is asked afterwards. */
export function routeMessage(
  message: Message,
  ageMs: number,
  rules: TopicRules,
  limits: BrokerLimits,
): Judgement {
  const route = rules.route(message.topic);
  if ("outcome" in route) return route;
  const properties = ageProperties(message.properties, ageMs);
  if (properties === "expired") return { outcome: "lost/expired" };
  const qos = Math.min(message.qos, route.qosMax, limits.qosMax) as Qos;
  const retain = message.retain && route.keepsRetain && limits.retainAvailable;
  const isSame =
    route.topic === message.topic &&
    qos === message.qos &&
    retain === message.retain &&
    properties === message.properties;
  const publish = isSame ? message : changeMessage(message, { topic: route.topic, qos, retain, properties });
  return { publish };
}

/** What of the size the broker has announced, which it does in MQTT 5 only. */
export function judgeSize(message: Message, { packetBytesMax }: BrokerLimits): Judgement {
  if (packetBytesMax === undefined) return { publish: message };
  const sizes = measurePublish(5, message);
  const packetBytes = sizes === undefined ? 0 : countPacketBytes(sizes, message.qos);
  if (packetBytes <= packetBytesMax) return { publish: message };
  return { outcome: "lost/oversize", detail: `${packetBytes} bytes, and the broker takes ${packetBytesMax}` };
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
