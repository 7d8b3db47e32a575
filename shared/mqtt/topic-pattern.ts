// Topic filters with names for their levels, and texts that are filled from them: "plant/{line}/{sensor}/#" takes
// "plant/7/t1/raw/x" apart, "dt/{sensor}/{#}" makes "dt/t1/raw/x" of it. A name stands for one whole level, "+" for one
// that nobody needs, "#" for all that follow, "{topic}" for the whole topic as it came. Pure.
// Refuses names that are used twice, wildcards inside a level, and a text that asks for what its pattern has not.

import { checkTopicFilter, matchTopic } from "./topic.ts";

export type TopicPattern = {
  /** The same as an MQTT topic filter, with "+" for each name. */
  readonly filter: string;
  /** Names of levels and where they stand, from 0. */
  readonly names: ReadonlyMap<string, number>;
  /** Where "#" stands; undefined without one. */
  readonly restAt: number | undefined;
};

/** A text in pieces: what stands there, or what is to be put there. */
export type TopicTemplate = readonly (string | { readonly from: string })[];

const LEVEL_NAME = /^\{([A-Za-z0-9_]{1,32})\}$/;
const REST = "#";
const TOPIC = "topic";

/** The pattern, or what is wrong with the text. */
export function parseTopicPattern(text: string): TopicPattern | string {
  const names = new Map<string, number>();
  const levels = text.split("/");
  for (const [index, level] of levels.entries()) {
    const name = LEVEL_NAME.exec(level)?.[1];
    if (name === undefined && /[{}]/.test(level))
      return `has "${level}", which is no {name} of a whole level`;
    if (name === undefined) continue;
    if (name === TOPIC) return "has the name {topic}, which stands for the whole topic";
    if (names.has(name)) return `has the name {${name}} twice`;
    names.set(name, index);
  }
  const filter = levels.map((level) => (LEVEL_NAME.test(level) ? "+" : level)).join("/");
  const problem = checkTopicFilter(filter);
  if (problem !== undefined) return problem;
  return { filter, names, restAt: levels.at(-1) === REST ? levels.length - 1 : undefined };
}

/** The pieces, or what is wrong with the text; `pattern` is the one it will be filled from. */
export function parseTopicTemplate(text: string, pattern: TopicPattern): TopicTemplate | string {
  const pieces: (string | { from: string })[] = [];
  for (const piece of text.split(/(\{[^{}]*\})/)) {
    if (piece === "") continue;
    if (!piece.startsWith("{")) {
      if (/[{}]/.test(piece)) return "has a brace that belongs to no {name}";
      pieces.push(piece);
      continue;
    }
    const from = piece.slice(1, -1);
    const isKnown =
      from === TOPIC || (from === REST ? pattern.restAt !== undefined : pattern.names.has(from));
    if (!isKnown) return `has ${piece}, which the topics it is for have no name for`;
    pieces.push({ from });
  }
  return pieces;
}

/** The text for a topic that matches the pattern; undefined when it does not match. */
export function fillTopic(pattern: TopicPattern, template: TopicTemplate, topic: string): string | undefined {
  if (!matchTopic(pattern.filter, topic)) return undefined;
  const levels = topic.split("/");
  let filled = "";
  for (const piece of template) {
    if (typeof piece === "string") filled += piece;
    else if (piece.from === TOPIC) filled += topic;
    else if (piece.from === REST) {
      const rest = levels.slice(pattern.restAt);
      // "plant/#" matches "plant", too [MQTT5 4.7.1.2]: then nothing follows, and no slash either.
      if (rest.length > 0) filled += rest.join("/");
      else if (filled.endsWith("/")) filled = filled.slice(0, -1);
    } else filled += levels[pattern.names.get(piece.from) as number] ?? "";
  }
  return filled;
}
