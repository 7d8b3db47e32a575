// The keys that profiles of every type have, and what the agent makes of them.
import * as z from "zod";
import { checked, choice, name, text, wholeNumber } from "../../../shared/config/leaf.ts";
import type { MqttSession } from "../../../shared/config/mqtt-session.ts";
import type { Review } from "../../../shared/config/review.ts";
import { quoteText } from "../../../shared/config/show-value.ts";
import { table } from "../../../shared/config/table.ts";
import type { Partially } from "../../../shared/config/validate.ts";
import { checkTopicName } from "../../../shared/mqtt/topic.ts";
import { planShape, reviewPlan, toPlan, toStatus } from "../profile-plan.ts";
import { reviewTopics, type TopicDefaults, topicsShape, toTopicRules } from "../profile-topics.ts";
import type { BrokerTarget } from "../targets/broker-target.ts";
import { OVERSIZE_POLICIES } from "../targets/oversize.ts";

const PROBE = 'must be a topic without wildcards, such as "tidegate/probe"';

export type BaseDefaults = TopicDefaults & {
  readonly inflightMax: number;
  readonly inflightCap: number;
  readonly connections: number;
  /** Of each connection; 0 = no limit. */
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
  /** Whether the status leaves a last will unless told. */
  readonly will: boolean;
};

export const PLAIN_BASE: BaseDefaults = {
  qosMax: 2,
  retain: "forward",
  inflightMax: 100,
  inflightCap: 65_535,
  connections: 1,
  messagesPerSecond: 0,
  bytesPerSecond: 0,
  will: true,
};

/** A function, not a constant: each schema needs its own descriptions and defaults. */
export function baseShape(defaults: BaseDefaults) {
  return {
    name: name()
      .optional()
      .describe("Name of the target in logs, counters and the ledger. Default: the name of the file."),
    ...topicsShape(defaults),
    inflight_max: wholeNumber(1, defaults.inflightCap)
      .default(defaults.inflightMax)
      .describe("Messages of a connection that may be published before the first is acknowledged."),
    ack_timeout_seconds: wholeNumber(0, 86_400)
      .default(120)
      .describe(
        "A message that the broker has not acknowledged for so long is sent again on a new connection, marked as a duplicate; 0 waits for ever.",
      ),
    messages_per_second: wholeNumber(0, 1_000_000)
      .default(defaults.messagesPerSecond)
      .describe("Messages a second that a connection publishes at most; 0 is no limit."),
    bytes_per_second: wholeNumber(0, 10_000_000_000)
      .default(defaults.bytesPerSecond)
      .describe("Bytes of topics and payloads a second that a connection publishes at most; 0 is no limit."),
    ...planShape(defaults.will),
    oversize: choice(OVERSIZE_POLICIES)
      .default("dead-letter")
      .describe(
        'A message that is too large for the target: "dead-letter" keeps it here; "compress" sends it gzipped, if that is enough; "split" sends it in numbered parts. How the other side undoes it: docs/targets.md.',
      ),
    probe: table({
      topic: checked(text(1024), PROBE, (topic) => {
        const problem = checkTopicName(topic);
        return problem === undefined ? undefined : `${quoteText(topic)} ${problem}`;
      }).describe("Where the probe is published; the rules of this profile apply to it."),
      qos: z
        .literal([0, 1], { error: "must be 0 or 1" })
        .default(1)
        .describe("QoS of the probe: with 0 nothing says that it has arrived."),
    })
      .optional()
      .describe("One message that `tidegate-recv doctor` publishes to see whether the target takes it."),
  };
}

/** For types whose topics may be shared by several connections. */
export function connectionsShape(defaults: BaseDefaults) {
  return {
    client_id: text(256).describe(
      "MQTT client id; no other client of the broker may have it. With several connections -1, -2 and so on is put behind it.",
    ),
    connections: wholeNumber(1, 64)
      .default(defaults.connections)
      .describe("Connections that share the topics; messages of one topic stay in order."),
  };
}

const baseTable = table(baseShape(PLAIN_BASE));
export type BaseTable = z.output<typeof baseTable>;

export function reviewBase(review: Review, profile: Partially<BaseTable>): void {
  reviewTopics(review, profile);
  reviewPlan(review, profile);
}

/** What of a target is not its session and not its type. */
export function toBase(
  review: Review,
  nameDefault: string,
  value: BaseTable & { readonly connections?: number },
): Omit<BrokerTarget, keyof MqttSession | "type"> {
  const rate = { messagesPerSecond: value.messages_per_second, bytesPerSecond: value.bytes_per_second };
  return {
    name: value.name ?? nameDefault,
    file: review.file,
    topics: toTopicRules(value),
    inflightMax: value.inflight_max,
    inflightBytesMax: undefined,
    ackTimeoutSeconds: value.ack_timeout_seconds,
    rate: rate.messagesPerSecond + rate.bytesPerSecond === 0 ? undefined : rate,
    connectionsMax: value.connections ?? 1,
    plan: toPlan(value),
    oversize: value.oversize,
    status: toStatus(value),
    probe: value.probe,
  };
}
