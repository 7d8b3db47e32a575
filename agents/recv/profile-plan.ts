// The keys that profiles of every type have for what could not go at once, and for the status that a target is told.
// Refuses newest-first together with drop-newest: the one wants the newest before all, the other gives it up first.
import * as z from "zod";
import { checked, choice, flag, text, wholeNumber } from "../../shared/config/leaf.ts";
import type { Review } from "../../shared/config/review.ts";
import { quoteText } from "../../shared/config/show-value.ts";
import { table } from "../../shared/config/table.ts";
import type { Partially } from "../../shared/config/validate.ts";
import { checkTopicName } from "../../shared/mqtt/topic.ts";
import type { TargetPlan } from "./targets/plan.ts";
import type { StatusSettings } from "./targets/status-beacon.ts";

const TOPIC = 'must be a topic without wildcards, such as "tidegate/plant-7/status"';

/** A function, not a constant: each schema needs its own descriptions. */
export function planShape(will: boolean) {
  return {
    backlog: choice(["oldest-first", "newest-first"])
      .default("oldest-first")
      .describe(
        'After an outage: "oldest-first" keeps the order of all messages, "newest-first" sends at once what comes now, and what waited behind it.',
      ),
    drain_per_second: wholeNumber(0, 1_000_000)
      .default(0)
      .describe("Messages a second of what waited during an outage; 0 is as fast as the broker takes them."),
    retention_hours: wholeNumber(0, 87_600)
      .default(0)
      .describe("Messages that have waited here for longer are lost as age; 0 is no limit."),
    overflow: choice(["drop-oldest", "drop-newest"])
      .default("drop-oldest")
      .describe("Which of the messages that this target lacks are given up when the spool is full."),
    status: table({
      topic: checked(text(1024), TOPIC, (topic) => {
        const problem = checkTopicName(topic);
        return problem === undefined ? undefined : `${quoteText(topic)} ${problem}`;
      }).describe("Where the status is published, as it is: topic_prefix is not put before it."),
      interval_seconds: wholeNumber(1, 86_400)
        .default(60)
        .describe("How often; besides, after each connection and change of the link's state."),
      retain: flag().default(true).describe("Published with the retain flag."),
      qos: z
        .literal([0, 1, 2], { error: "must be 0, 1 or 2" })
        .default(1)
        .describe("QoS of the status and of the last will."),
      will: flag()
        .default(will)
        .describe('Leaves the last will {"state":"offline"} on the same topic with the broker.'),
    })
      .optional()
      .describe(
        "The status of the link as JSON, published to this target. Without this table there is none.",
      ),
  };
}

const planTable = table(planShape(true));
type PlanTable = z.output<typeof planTable>;

/** Checks these keys against each other. */
export function reviewPlan(review: Review, profile: Partially<PlanTable>): void {
  if (profile.backlog !== "newest-first" || profile.overflow !== "drop-newest") return;
  review.add(["overflow"], 'is "drop-newest" beside backlog "newest-first"', 'must be "drop-oldest" there');
}

export function toPlan(profile: PlanTable): TargetPlan {
  return {
    backlog: profile.backlog,
    drainPerSecond: profile.drain_per_second,
    retentionHours: profile.retention_hours,
    overflow: profile.overflow,
  };
}

export function toStatus({ status }: PlanTable): StatusSettings | undefined {
  if (status === undefined) return undefined;
  const { topic, retain, qos, will } = status;
  return { topic, intervalSeconds: status.interval_seconds, retain, qos, will };
}
