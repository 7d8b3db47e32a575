// The types "mqtt", "hivemq-cloud" and "emqx-cloud": brokers that keep to the MQTT specification. The clouds among them
// have other defaults, so that a profile need not know their limits.
import * as z from "zod";
import {
  loadSession,
  type SessionMaterial,
  sessionShape,
  toSession,
} from "../../../shared/config/mqtt-session.ts";
import type { Review } from "../../../shared/config/review.ts";
import { table } from "../../../shared/config/table.ts";
import type { Partially } from "../../../shared/config/validate.ts";
import type { BrokerTarget } from "../targets/broker-target.ts";
import { baseShape, connectionsShape, PLAIN_BASE, reviewBase, toBase } from "./base.ts";

export type MqttTarget = BrokerTarget & { readonly type: "mqtt" | "hivemq-cloud" | "emqx-cloud" };

/** EMQX Cloud Serverless takes 10 publishes a second of a client (docs: create/restriction). */
const EMQX_BASE = { ...PLAIN_BASE, messagesPerSecond: 10, connections: 4 };

export const mqttTable = table({
  type: z.literal("mqtt").describe("Publishes to an MQTT broker."),
  ...sessionShape(),
  ...connectionsShape(PLAIN_BASE),
  ...baseShape(PLAIN_BASE),
});

export const hivemqCloudTable = table({
  type: z.literal("hivemq-cloud").describe("Publishes to a HiveMQ Cloud cluster: TLS, user and password."),
  ...sessionShape(),
  ...connectionsShape(PLAIN_BASE),
  ...baseShape(PLAIN_BASE),
});

export const emqxCloudTable = table({
  type: z
    .literal("emqx-cloud")
    .describe(
      "Publishes to EMQX Cloud, paced by default for its Serverless plan: 10 messages a second of a client.",
    ),
  ...sessionShape(),
  ...connectionsShape(EMQX_BASE),
  ...baseShape(EMQX_BASE),
});

export type MqttTable = z.output<typeof mqttTable | typeof hivemqCloudTable | typeof emqxCloudTable>;

/** Checks the keys against each other and reads the files. */
export function loadMqtt(review: Review, profile: Partially<MqttTable>): SessionMaterial {
  reviewBase(review, profile);
  if (profile.type !== "mqtt" && profile.url !== undefined && !/^(mqtts|wss):/.test(profile.url)) {
    review.add(["url"], "has no TLS, which this cloud demands", "must be mqtts:// or wss://");
  }
  return loadSession(review, [], profile);
}

export function toMqttTarget(
  review: Review,
  nameDefault: string,
  value: MqttTable,
  material: SessionMaterial,
): MqttTarget {
  return {
    ...toSession(value, value.client_id, material),
    ...toBase(review, nameDefault, value),
    type: value.type,
  };
}
