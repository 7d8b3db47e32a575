// The topic filters that cover all a target may ever publish to, from the rules of its profile: what its access list in
// the cloud has to allow, and no more. Pure.
import type { TopicTemplate } from "../../../shared/mqtt/topic-pattern.ts";
import type { TopicRuleSettings } from "./topic-rules.ts";

/** As MQTT topic filters, without repeats; a filter that has a part of a level for "+" ends there with "#". */
export function findPublishedFilters(
  { topics, rules, topicPrefix }: TopicRuleSettings,
  hasMarkLevel = false,
): string[] {
  const own = rules.some(({ match }) => match.filter === "#") ? [] : topics;
  const filters = [
    ...own,
    ...rules
      .filter(({ action }) => action === "forward")
      .map(({ match, topic }) => (topic === undefined ? match.filter : widen(topic, match.filter))),
  ];
  const all = filters.map((filter) => topicPrefix + filter);
  // Of what was compressed or split, the mark is one more level; "#" has it already.
  const marked = hasMarkLevel
    ? all.filter((filter) => !/(^|\/)#$/.test(filter)).map((filter) => `${filter}/+`)
    : [];
  return [...new Set([...all, ...marked])];
}

/** "dt/{sensor}/{#}" covers "dt/+/#". */
function widen(template: TopicTemplate, matched: string): string {
  const text = template
    .map((piece) =>
      typeof piece === "string" ? piece : piece.from === "topic" ? matched : piece.from === "#" ? "#" : "+",
    )
    .join("");
  const levels: string[] = [];
  for (const level of text.split("/")) {
    if (level === "#" || (level !== "+" && /[+#]/.test(level))) return [...levels, "#"].join("/");
    levels.push(level);
  }
  return levels.join("/");
}
