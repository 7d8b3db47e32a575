// What targets of brokers that keep to the MQTT specification do in their own way: they go where the broker sends them, and
// keep to the size that the profile says it takes. MQTT 3.1.1 has no way for the broker to say it.
import { countPacketBytes, measurePublish } from "../../../shared/mqtt/publish-encode.ts";
import type { MqttTarget } from "../types/mqtt.ts";
import type { Dialect } from "./dialect.ts";

export function createPlainDialect({ messageBytesMax, mqttVersion, followsReference }: MqttTarget): Dialect {
  if (messageBytesMax === undefined) return { followsReference };
  const version = mqttVersion === "5" ? 5 : 4;
  return {
    followsReference,
    judge(message) {
      const sizes = measurePublish(version, message);
      const bytes = sizes === undefined ? Number.POSITIVE_INFINITY : countPacketBytes(sizes, message.qos);
      if (bytes <= messageBytesMax) return { publish: message };
      return {
        outcome: "lost/oversize",
        detail: `${bytes} bytes, and limits.message_bytes_max is ${messageBytesMax}`,
      };
    },
  };
}
