// What a profile makes of topics: which messages go to its target, under which name, QoS and retain flag. The first rule
// that matches decides; without rules a prefix may be put before each topic. Decisions are remembered by topic. Pure.
import type { Qos } from "../../../shared/message.ts";
import { checkTopicName, matchTopic } from "../../../shared/mqtt/topic.ts";
import { fillTopic, type TopicPattern, type TopicTemplate } from "../../../shared/mqtt/topic-pattern.ts";
import { OWN_TOPICS } from "../../../shared/sparkplug/snapshot.ts";

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
const ROUTES_MAX = 131_072;
const DOLLAR = 0x24;

export class TopicRules {
  readonly #settings: TopicRuleSettings;
  /** All topics go on under their own names. */
  readonly #isPlain: boolean;
  readonly #routes = new Map<string, Route>();

  constructor(settings: TopicRuleSettings) {
    this.#settings = settings;
    const { topics, rules, topicPrefix } = settings;
    this.#isPlain = topics.includes("#") && rules.length === 0 && topicPrefix === "";
  }

  route(topic: string): Route {
    // "#" does not match those that begin with "$" [MQTT-4.7.2-1].
    if (this.#isPlain && topic.charCodeAt(0) !== DOLLAR) {
      const { qosMax, retain } = this.#settings;
      return { topic, qosMax, keepsRetain: retain === "forward" };
    }
    const known = this.#routes.get(topic);
    if (known !== undefined) return known;
    const route = this.#find(topic);
    if (this.#routes.size >= ROUTES_MAX) this.#routes.clear();
    this.#routes.set(topic, route);
    return route;
  }

  #find(topic: string): Route {
    // Between the two agents: no broker is to see them, whatever the rules say.
    if (topic.startsWith(OWN_TOPICS)) return { outcome: "filtered/tidegate-internal" };
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
