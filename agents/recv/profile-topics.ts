// The keys that say which messages a target gets and under which topics: topics, [[rule]], topic_prefix, qos_max,
// retain. The same for every type of target. Refuses rules that no schema of one value can judge: two of one name, a
// topic that asks for a level its rule has no name for, a drop that renames.
import * as z from "zod";
import { checked, choice, localTopicFilter, name, text } from "../../shared/config/leaf.ts";
import type { Review } from "../../shared/config/review.ts";
import { quoteText } from "../../shared/config/show-value.ts";
import { list, table, tables } from "../../shared/config/table.ts";
import type { Partially } from "../../shared/config/validate.ts";
import type { Qos } from "../../shared/message.ts";
import { checkTopicName } from "../../shared/mqtt/topic.ts";
import { parseTopicPattern, parseTopicTemplate } from "../../shared/mqtt/topic-pattern.ts";
import type { TopicRule, TopicRuleSettings } from "./targets/topic-rules.ts";

const PREFIX = 'must be empty or the beginning of a topic without wildcards, such as "plant-7/"';
const MATCH = 'must be a topic filter, with {names} for levels if you like, such as "plant/{line}/#"';
const RULES_MAX = 256;

export type TopicDefaults = {
  /** The highest that the target takes. */
  readonly qosMax: Qos;
  readonly retain: "forward" | "strip";
};

/** A function, not a constant: each schema needs its own descriptions and defaults. */
export function topicsShape({ qosMax, retain }: TopicDefaults) {
  const levels = ([0, 1, 2] as const).filter((qos) => qos <= qosMax);
  const qos = () => z.literal(levels, { error: `must be ${levels.slice(0, -1).join(", ")} or ${qosMax}` });
  const keep = () => choice(["forward", "strip"]);
  return {
    topics: list("topic filters", localTopicFilter(), 1, 256)
      .default(["#"])
      .describe(
        "Only messages whose topic matches one of these are forwarded; the rest is counted as filtered.",
      ),
    topic_prefix: checked(z.string({ error: PREFIX }).max(1024, { error: PREFIX }), PREFIX, (prefix) => {
      const problem = prefix === "" ? undefined : checkTopicName(prefix);
      return problem === undefined ? undefined : `${quoteText(prefix)} ${problem}`;
    })
      .default("")
      .describe("Put before each topic as it is, after the rules."),
    qos_max: qos()
      .default(qosMax)
      .describe("Messages of a higher QoS are published with this one. Below 1 the broker confirms nothing."),
    retain: keep()
      .default(retain)
      .describe('"forward" publishes with the retain flag that came along, "strip" always without.'),
    rule: tables(
      "rule",
      table({
        name: name()
          .optional()
          .describe('Name of the rule in counters. Default: "rule-1", "rule-2" and so on.'),
        match: checked(text(1024), MATCH, (value) => {
          const parsed = parseTopicPattern(value);
          return typeof parsed === "string" ? `${quoteText(value)} ${parsed}` : undefined;
        }).describe(
          'Topics that the rule is for. A {name} stands for one level, as "+" does: "plant/{line}/{sensor}/#".',
        ),
        topic: text(1024)
          .optional()
          .describe(
            'The topic instead, filled from the names: "dt/{sensor}"; {#} is what "#" stood for, {topic} the whole topic.',
          ),
        action: choice(["forward", "drop"])
          .default("forward")
          .describe('"drop" keeps these messages back, counted as filtered under the name of the rule.'),
        qos_max: qos().optional().describe("As qos_max above, for these messages only."),
        retain: keep().optional().describe("As retain above, for these messages only."),
      }),
      0,
      RULES_MAX,
    )
      .default([])
      .describe("What is done with some topics. Of several rules that match, the first counts."),
  };
}

const topicsTable = table(topicsShape({ qosMax: 2, retain: "forward" }));
type TopicsTable = z.output<typeof topicsTable>;

/** Checks these keys against each other. */
export function reviewTopics(review: Review, profile: Partially<TopicsTable>): void {
  review.requireUnique((profile.topics ?? []).map((value, index) => ({ path: ["topics", index], value })));
  const rules = profile.rule ?? [];
  review.requireUnique(
    rules.map((rule, index) => ({
      path: ["rule", index, "name"],
      value: rule && ruleName(rule.name, index),
    })),
  );
  for (const [index, rule] of rules.entries()) {
    if (rule?.topic === undefined) continue;
    const at = ["rule", index, "topic"];
    if (rule.action === "drop") review.add(at, 'is given beside action = "drop"', "must be left out");
    const pattern = rule.match === undefined ? "" : parseTopicPattern(rule.match);
    if (typeof pattern === "string") continue;
    const template = parseTopicTemplate(rule.topic, pattern);
    if (typeof template !== "string") continue;
    const allowed = "must be a topic made of text and the {names} of its match";
    review.add(at, `${quoteText(rule.topic)} ${template}`, allowed);
  }
}

export function toTopicRules(profile: TopicsTable): TopicRuleSettings {
  return {
    topics: profile.topics,
    topicPrefix: profile.topic_prefix,
    qosMax: profile.qos_max as Qos,
    retain: profile.retain,
    rules: profile.rule.map((rule, index): TopicRule => {
      const match = parseTopicPattern(rule.match);
      // The schema and the review have parsed the same texts before: reaching this is a bug.
      if (typeof match === "string") throw new Error(`cannot use match: ${match}`);
      const topic = rule.topic === undefined ? undefined : parseTopicTemplate(rule.topic, match);
      if (typeof topic === "string") throw new Error(`cannot use topic: ${topic}`);
      const { action, qos_max: qosMax, retain } = rule;
      return {
        name: ruleName(rule.name, index),
        match,
        topic,
        action,
        qosMax: qosMax as Qos | undefined,
        retain,
      };
    }),
  };
}

function ruleName(given: string | undefined, index: number): string {
  return given ?? `rule-${index + 1}`;
}
