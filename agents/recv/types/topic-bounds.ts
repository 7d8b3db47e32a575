// Finds at `check` what would otherwise be found by a heap of dead letters: filters and rules that can make no topic that the
// target takes, because even the shortest is too deep or too long for it, or begins with what it reserves.
import type { Review } from "../../../shared/config/review.ts";
import { readValue } from "../../../shared/config/schema-faults.ts";
import { quoteText } from "../../../shared/config/show-value.ts";
import type { Partially } from "../../../shared/config/validate.ts";
import { parseTopicPattern, parseTopicTemplate } from "../../../shared/mqtt/topic-pattern.ts";

export type TopicBounds = {
  /** Whose, for the sentence. */
  readonly service: string;
  readonly levelsMax: number;
  readonly bytesMax: number;
  /** Topics that begin with "$" are its own. */
  readonly reservesDollar: boolean;
};

type TopicKeys = {
  readonly topics: readonly string[];
  readonly topic_prefix: string;
  readonly rule: readonly {
    readonly match: string;
    readonly topic?: string | undefined;
    readonly action: string;
  }[];
};

/** Notes a fault for each; values that have a fault of their own are left alone. */
export function reviewTopicBounds(review: Review, profile: Partially<TopicKeys>, bounds: TopicBounds): void {
  const { topics = [], topic_prefix: prefix = "", rule: rules = [] } = profile;
  const note = (path: readonly (string | number)[], shortest: string) => {
    const problem = judge(prefix + shortest, bounds);
    if (problem === undefined) return;
    // Where the topics are not written down it is the prefix that is.
    const isWritten = readValue(review.document, path) !== undefined;
    review.add(isWritten ? path : ["topic_prefix"], ...problem);
  };
  for (const [index, rule] of rules.entries()) {
    if (rule?.match === undefined || rule.action === "drop") continue;
    const pattern = parseTopicPattern(rule.match);
    if (typeof pattern === "string") continue;
    if (rule.topic === undefined) {
      note(["rule", index, "match"], shorten(pattern.filter));
      continue;
    }
    const template = parseTopicTemplate(rule.topic, pattern);
    if (typeof template === "string") continue;
    const pieces = template.map((piece) => {
      if (typeof piece === "string") return piece;
      return piece.from === "topic" ? shorten(pattern.filter) : "";
    });
    note(["rule", index, "topic"], pieces.join(""));
  }
  // A rule that takes all, or gives them other names, is what counts then.
  if (rules.length > 0) return;
  for (const [index, filter] of topics.entries())
    if (filter !== undefined) note(["topics", index], shorten(filter));
}

/** The shortest topic that matches: nothing for a wildcard. */
function shorten(filter: string): string {
  return filter.replace(/\/?#$/, "").replaceAll("+", "");
}

function judge(topic: string, bounds: TopicBounds): [problem: string, allowed: string] | undefined {
  const { service, levelsMax, bytesMax, reservesDollar } = bounds;
  const levels = topic.split("/").length;
  if (levels > levelsMax)
    return [
      `makes topics of at least ${levels} levels`,
      `must make topics of at most ${levelsMax}, for ${service} takes no deeper ones`,
    ];
  const bytes = Buffer.byteLength(topic);
  if (bytes > bytesMax)
    return [
      `makes topics of at least ${bytes} bytes`,
      `must make topics of at most ${bytesMax}, for ${service} takes no longer ones`,
    ];
  if (reservesDollar && topic.startsWith("$"))
    return [`makes topics like ${quoteText(topic)}`, `must not begin with "$", which ${service} reserves`];
  return undefined;
}
