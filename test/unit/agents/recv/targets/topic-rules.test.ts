import { describe, expect, test } from "bun:test";
import { type TopicRuleSettings, TopicRules } from "../../../../../agents/recv/targets/topic-rules.ts";
import { parseTopicPattern, type TopicPattern } from "../../../../../shared/mqtt/topic-pattern.ts";

const PLAIN: TopicRuleSettings = { topics: ["#"], rules: [], topicPrefix: "", qosMax: 1, retain: "forward" };
const TOPICS = ["a", "plant/x/y", "/", "ä/b", "$SYS/uptime", "$tidegate/x", "$share/a/b", "a$b"];

describe("TopicRules.route()", () => {
  test("says the same of a topic where nothing is changed as where a rule could have been meant", () => {
    const match = parseTopicPattern("no/such/topic") as TopicPattern;
    const rule = {
      match,
      topic: undefined,
      action: "drop",
      name: "r",
      qosMax: undefined,
      retain: undefined,
    } as const;
    for (const retain of ["forward", "strip"] as const) {
      const plain = new TopicRules({ ...PLAIN, retain });
      const ruled = new TopicRules({ ...PLAIN, retain, rules: [rule] });
      for (const topic of TOPICS) expect([topic, plain.route(topic)]).toEqual([topic, ruled.route(topic)]);
    }
  });

  test("keeps the product's own topics, and those of the broker, from the target", () => {
    const rules = new TopicRules(PLAIN);
    expect(rules.route("a/b")).toEqual({ topic: "a/b", qosMax: 1, keepsRetain: true });
    expect(rules.route("$tidegate/x")).toEqual({ outcome: "filtered/tidegate-internal" });
    expect(rules.route("$SYS/uptime")).toEqual({ outcome: "filtered/topics" });
  });
});
