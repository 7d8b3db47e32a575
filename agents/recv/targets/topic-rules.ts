// What a profile makes of topics: which messages go to its target, under which name, QoS and retain flag. The first rule
// that matches decides; without rules a prefix may be put before each topic. Decisions are remembered by topic. Pure.
import type { Qos } from "../../../shared/message.ts";
import { checkTopicName, matchTopic } from "../../../shared/mqtt/topic.ts";
import { fillTopic, type TopicPattern, type TopicTemplate } from "../../../shared/mqtt/topic-pattern.ts";

export type TopicRule = {
  readonly match: TopicPattern;
  /** undefined = under its own name. */
  readonly topic: TopicTemplate | undefined;
  /** "drop": counted as filtered, under the rule's name. */
  readonly action: "forward" | "drop";
  readonly name: string;
  readonly qosMax: Qos | undefined;
  readonly retain: "forward" | "strip" | undefined;
};

export type TopicRuleSettings = {
  /** Only messages whose topic matches one of them are forwarded. */
  readonly topics: readonly string[];
  readonly rules: readonly TopicRule[];
  /** Put before each topic, rewritten or not. */
  readonly topicPrefix: string;
  readonly qosMax: Qos;
  readonly retain: "forward" | "strip";
};

/** How a topic goes on, or why not. */
export type Route =
  | { readonly topic: string; readonly qosMax: Qos; readonly keepsRetain: boolean }
  | { readonly outcome: `filtered/${string}` | "lost/invalid-topic"; readonly detail?: string };

/** Topics whose route is remembered. */
const ROUTES_MAX = 50_000;

export class TopicRules {
  readonly #settings: TopicRuleSettings;
  readonly #routes = new Map<string, Route>();

  constructor(settings: TopicRuleSettings) {
    this.#settings = settings;
  }

  route(topic: string): Route {
    const known = this.#routes.get(topic);
    if (known !== undefined) return known;
    const route = this.#find(topic);
    if (this.#routes.size >= ROUTES_MAX) this.#routes.clear();
    this.#routes.set(topic, route);
    return route;
  }

  #find(topic: string): Route {
    const { topics, rules, topicPrefix, qosMax, retain } = this.#settings;
    if (!topics.some((filter) => matchTopic(filter, topic))) return { outcome: "filtered/topics" };
    const rule = rules.find(({ match }) => matchTopic(match.filter, topic));
    if (rule?.action === "drop") return { outcome: `filtered/${rule.name}` };
    const own = rule?.topic === undefined ? topic : (fillTopic(rule.match, rule.topic, topic) ?? topic);
    const renamed = topicPrefix + own;
    const problem = renamed === topic ? undefined : checkTopicName(renamed);
    if (problem !== undefined)
      return { outcome: "lost/invalid-topic", detail: `the topic that the profile makes of it ${problem}` };
    return {
      topic: renamed,
      qosMax: Math.min(qosMax, rule?.qosMax ?? qosMax) as Qos,
      keepsRetain: (rule?.retain ?? retain) === "forward",
    };
  }
}
