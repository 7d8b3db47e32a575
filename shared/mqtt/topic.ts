// Topic names and topic filters: what is valid [MQTT5 4.7, 4.8.2], and whether a filter matches a name.
// Refuses what no broker may accept: the empty string, over 65,535 bytes of UTF-8, U+0000, a lone surrogate,
// a wildcard in a name, a wildcard that doesn't fill its level, and a malformed "$share/group/filter".

const TOPIC_BYTES_MAX = 65_535;
const SHARE_PREFIX = "$share/";

/** Why `topic` is not a valid topic name, or undefined when it is one [MQTT5 4.7.1, 4.7.3]. */
export function checkTopicName(topic: string): string | undefined {
  const problem = checkTopicText(topic);
  if (problem !== undefined) return problem;
  const wildcard = topic.includes("+") ? "+" : topic.includes("#") ? "#" : undefined;
  if (wildcard !== undefined) return `has the wildcard "${wildcard}", which only a topic filter may have`;
  return undefined;
}

/** Why `filter` is not a valid topic filter, or undefined when it is one; "$share/group/filter" is understood. */
export function checkTopicFilter(filter: string): string | undefined {
  const problem = checkTopicText(filter);
  if (problem !== undefined) return problem;
  if (!filter.startsWith(SHARE_PREFIX)) return checkLevels(filter);
  const groupEnd = filter.indexOf("/", SHARE_PREFIX.length);
  const group =
    groupEnd < 0 ? filter.slice(SHARE_PREFIX.length) : filter.slice(SHARE_PREFIX.length, groupEnd);
  if (group === "") return 'has no group name after "$share/"';
  if (group.includes("+") || group.includes("#")) return `has a wildcard in its group name "${group}"`;
  if (groupEnd < 0 || groupEnd + 1 === filter.length) return `has no topic filter after "$share/${group}/"`;
  return checkLevels(filter.slice(groupEnd + 1));
}

/** The part of a filter that is compared with topics: "a/#" of "$share/group/a/#". */
export function dropShareGroup(filter: string): string {
  if (!filter.startsWith(SHARE_PREFIX)) return filter;
  return filter.slice(filter.indexOf("/", SHARE_PREFIX.length) + 1);
}

/**
 * Whether a valid filter matches a valid topic name. "a/#" matches "a" itself [MQTT5 4.7.1.2]; a filter that
 * begins with a wildcard matches no topic that begins with "$" [MQTT-4.7.2-1]. Compares in place: no splitting.
 */
export function matchTopic(filter: string, topic: string): boolean {
  const pattern = dropShareGroup(filter);
  if (topic.startsWith("$") && (pattern.startsWith("+") || pattern.startsWith("#"))) return false;
  let p = 0;
  let t = 0;
  for (;;) {
    const patternEnd = levelEnd(pattern, p);
    if (pattern.charCodeAt(p) === 0x23 /* # */) return true;
    const topicEnd = levelEnd(topic, t);
    if (pattern.charCodeAt(p) !== 0x2b /* + */) {
      if (patternEnd - p !== topicEnd - t || !topic.startsWith(pattern.slice(p, patternEnd), t)) return false;
    }
    const patternDone = patternEnd === pattern.length;
    if (topicEnd === topic.length) return patternDone || pattern.slice(patternEnd) === "/#";
    if (patternDone) return false;
    p = patternEnd + 1;
    t = topicEnd + 1;
  }
}

function levelEnd(text: string, from: number): number {
  const slash = text.indexOf("/", from);
  return slash < 0 ? text.length : slash;
}

function checkTopicText(text: string): string | undefined {
  if (text === "") return "is empty";
  if (text.includes("\0")) return "has the character U+0000";
  if (!text.isWellFormed()) return "has a lone surrogate, so it is not UTF-8";
  const bytes = Buffer.byteLength(text);
  if (bytes > TOPIC_BYTES_MAX) return `is ${bytes} bytes of UTF-8, must be at most ${TOPIC_BYTES_MAX}`;
  return undefined;
}

function checkLevels(filter: string): string | undefined {
  for (let from = 0; from <= filter.length; ) {
    const end = levelEnd(filter, from);
    const level = filter.slice(from, end);
    if (level.includes("#")) {
      if (level !== "#") return `has "#" inside the level "${level}"; "#" must be a whole level`;
      if (end !== filter.length) return 'has "#" before its last level';
    } else if (level.includes("+") && level !== "+") {
      return `has "+" inside the level "${level}"; "+" must be a whole level`;
    }
    from = end + 1;
  }
  return undefined;
}
