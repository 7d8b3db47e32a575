// The profile of a target: the schema of one targets.d/NAME.toml, and loading it with the files it names.
// Refuses a type it doesn't know, wildcards in topic_prefix, and a missing client id: two targets that share one
// by accident would throw each other off the broker.

import { basename } from "node:path";
import * as z from "zod";
import {
  checked,
  choice,
  isName,
  localTopicFilter,
  name,
  text,
  wholeNumber,
} from "../../shared/config/leaf.ts";
import {
  loadSession,
  type MqttSession,
  type SessionMaterial,
  sessionShape,
  toSession,
} from "../../shared/config/mqtt-session.ts";
import type { Review } from "../../shared/config/review.ts";
import { quoteText } from "../../shared/config/show-value.ts";
import { list, table, typedTable } from "../../shared/config/table.ts";
import type { Partially } from "../../shared/config/validate.ts";
import type { Qos } from "../../shared/message.ts";
import { checkTopicName } from "../../shared/mqtt/topic.ts";
import { planShape, reviewPlan, toPlan, toStatus } from "./profile-plan.ts";
import type { TargetPlan } from "./targets/plan.ts";
import type { StatusSettings } from "./targets/status-beacon.ts";

export type MqttTarget = MqttSession & {
  readonly name: string;
  readonly type: "mqtt";
  /** The profile's file, absolute. */
  readonly file: string;
  /** Put before each topic as it is; empty for none. */
  readonly topicPrefix: string;
  readonly qosMax: Qos;
  readonly retain: "forward" | "strip";
  readonly inflightMax: number;
  /** Only messages whose topic (without prefix) matches one of them are forwarded. */
  readonly topics: readonly string[];
  readonly plan: TargetPlan;
  readonly status: StatusSettings | undefined;
};

/** Grows by one type with each kind of target. */
export type TargetProfile = MqttTarget;

const PREFIX = 'must be empty or the beginning of a topic without wildcards, such as "plant-7/"';

const mqttTable = table({
  name: name()
    .optional()
    .describe("Name of the target in logs, counters and the ledger. Default: the name of the file."),
  type: z.literal("mqtt").describe("Publishes to an MQTT broker."),
  ...sessionShape(),
  client_id: text(256).describe("MQTT client id. No other client of the broker may have it."),
  topic_prefix: checked(z.string({ error: PREFIX }).max(1024, { error: PREFIX }), PREFIX, (prefix) => {
    const problem = prefix === "" ? undefined : checkTopicName(prefix);
    return problem === undefined ? undefined : `${quoteText(prefix)} ${problem}`;
  })
    .default("")
    .describe("Put before each topic as it is."),
  qos_max: z
    .literal([0, 1, 2], { error: "must be 0, 1 or 2" })
    .default(2)
    .describe("Messages of a higher QoS are published with this one. Below 1 the broker confirms nothing."),
  retain: choice(["forward", "strip"])
    .default("forward")
    .describe('"forward" publishes with the retain flag that came along, "strip" always without.'),
  inflight_max: wholeNumber(1, 65_535)
    .default(100)
    .describe("Messages that may be published before the first is acknowledged."),
  topics: list("topic filters", localTopicFilter(), 1, 256)
    .default(["#"])
    .describe(
      "Only messages whose topic matches one of these are forwarded; the rest is counted as filtered.",
    ),
  ...planShape(),
});

export const profileSchema = typedTable([mqttTable]);
type ProfileTable = z.output<typeof profileSchema>;

/** Checks the keys of a profile against each other and reads its files. */
export function loadProfile(review: Review, profile: Partially<ProfileTable>): SessionMaterial {
  if (profile.name === undefined && !Object.hasOwn(review.document.table, "name")) {
    const fromFile = nameFromFile(review.document.file);
    const problem = `is missing, and ${quoteText(fromFile)} of the file name is no name`;
    if (!isName(fromFile))
      review.add(["name"], problem, "must be 1 to 64 of the characters A-Z a-z 0-9 . _ -");
  }
  const topics = profile.topics ?? [];
  review.requireUnique(topics.map((value, index) => ({ path: ["topics", index], value })));
  reviewPlan(review, profile);
  return loadSession(review, [], profile);
}

export function toProfile(review: Review, value: ProfileTable, material: SessionMaterial): TargetProfile {
  return {
    ...toSession(value, value.client_id, material),
    name: value.name ?? nameFromFile(review.document.file),
    type: value.type,
    file: review.file,
    topicPrefix: value.topic_prefix,
    qosMax: value.qos_max,
    retain: value.retain,
    inflightMax: value.inflight_max,
    topics: value.topics,
    plan: toPlan(value),
    status: toStatus(value),
  };
}

export function nameFromFile(file: string): string {
  return basename(file, ".toml");
}
