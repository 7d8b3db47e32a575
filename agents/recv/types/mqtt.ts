// The types "mqtt", "hivemq-cloud" and "emqx-cloud": brokers that keep to the MQTT specification. The clouds among them
// have other defaults, so that a profile need not know their limits.
import * as z from "zod";
import { choice, wholeNumber } from "../../../shared/config/leaf.ts";
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
import { LETS_ENCRYPT_ROOTS, readRoots } from "../targets/roots.ts";
import { baseShape, connectionsShape, PLAIN_BASE, reviewBase, toBase } from "./base.ts";

export type MqttTarget = BrokerTarget & {
  readonly type: "mqtt" | "hivemq-cloud" | "emqx-cloud";
  /** A whole PUBLISH; undefined = what the broker announces, which it does in MQTT 5 only. */
  readonly messageBytesMax: number | undefined;
  readonly followsReference: boolean;
};

/** EMQX Cloud Serverless takes 10 publishes a second of a client (docs: create/restriction). */
const EMQX_BASE = { ...PLAIN_BASE, messagesPerSecond: 10, connections: 4 };
/** As the same page has it; the broker would end an MQTT 3.1.1 connection over more. */
const EMQX_MESSAGE_BYTES_MAX = 1_048_576;

function brokerShape(messageBytesMax: number) {
  return {
    server_reference: choice(["follow", "ignore"])
      .default("follow")
      .describe(
        'When an MQTT 5 broker sends its clients to another server: "follow" connects there (same scheme, same login; with TLS the certificate must be of the other name), "ignore" stays at url.',
      ),
    limits: table({
      message_bytes_max: wholeNumber(0, 268_435_460)
        .default(messageBytesMax)
        .describe("A whole PUBLISH; 0 is what the broker announces, which it does in MQTT 5 only."),
    })
      .prefault({})
      .describe("What the broker takes. What is beyond it is up to `oversize`."),
  };
}

export const mqttTable = table({
  type: z.literal("mqtt").describe("Publishes to an MQTT broker."),
  ...sessionShape(),
  ...connectionsShape(PLAIN_BASE),
  ...baseShape(PLAIN_BASE),
  ...brokerShape(0),
});

export const hivemqCloudTable = table({
  type: z
    .literal("hivemq-cloud")
    .describe(
      "Publishes to a HiveMQ Cloud cluster: TLS by Let's Encrypt (ISRG Root X1 and X2), user and password.",
    ),
  ...sessionShape(),
  ...connectionsShape(PLAIN_BASE),
  ...baseShape(PLAIN_BASE),
  ...brokerShape(0),
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
  ...brokerShape(EMQX_MESSAGE_BYTES_MAX),
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
  const session = toSession(value, value.client_id, material);
  const roots = value.type === "hivemq-cloud" ? readRoots(LETS_ENCRYPT_ROOTS) : undefined;
  return {
    ...session,
    tls: session.tls && { ...session.tls, caPem: session.tls.caPem ?? roots },
    ...toBase(review, nameDefault, value),
    type: value.type,
    messageBytesMax: value.limits.message_bytes_max || undefined,
    followsReference: value.server_reference === "follow",
  };
}
