import { expect, test } from "bun:test";
import { checkTopicFilter, checkTopicName, matchTopic } from "../../../../shared/mqtt/topic.ts";
import { TopicFilterSet } from "../../../../shared/mqtt/topic-filter-set.ts";

const NAMES: [topic: string, reason: string | undefined][] = [
  ["a", undefined],
  ["/", undefined],
  ["a//b/", undefined],
  ["$SYS/x", undefined],
  ["größe/温度/😀", undefined],
  ["x".repeat(65_535), undefined],
  ["", "is empty"],
  ["x".repeat(65_536), "is 65536 bytes of UTF-8, must be at most 65535"],
  ["é".repeat(32_768), "is 65536 bytes of UTF-8, must be at most 65535"],
  ["a\0b", "has the character U+0000"],
  ["a\ud800b", "has a lone surrogate, so it is not UTF-8"],
  ["a/+", 'has the wildcard "+", which only a topic filter may have'],
  ["a#", 'has the wildcard "#", which only a topic filter may have'],
];
test.each(NAMES)("checkTopicName() judges %p", (topic, reason) => {
  expect(checkTopicName(topic)).toBe(reason as string);
});

const FILTERS: [filter: string, reason: string | undefined][] = [
  ["#", undefined],
  ["+", undefined],
  ["+/+/#", undefined],
  ["/+", undefined],
  ["a/+/b", undefined],
  ["$share/g/a/#", undefined],
  ["$share/g//", undefined],
  ["$share", undefined],
  ["", "is empty"],
  ["a/#/b", 'has "#" before its last level'],
  ["a#", 'has "#" inside the level "a#"; "#" must be a whole level'],
  ["a/b+/c", 'has "+" inside the level "b+"; "+" must be a whole level'],
  ["++", 'has "+" inside the level "++"; "+" must be a whole level'],
  ["$share/", 'has no group name after "$share/"'],
  ["$share//a", 'has no group name after "$share/"'],
  ["$share/g", 'has no topic filter after "$share/g/"'],
  ["$share/g/", 'has no topic filter after "$share/g/"'],
  ["$share/g+/a", 'has a wildcard in its group name "g+"'],
  ["$share/g/a#", 'has "#" inside the level "a#"; "#" must be a whole level'],
];
test.each(FILTERS)("checkTopicFilter() judges %p", (filter, reason) => {
  expect(checkTopicFilter(filter)).toBe(reason as string);
});

const MATCHES: [filter: string, topic: string, matches: boolean][] = [
  ["a", "a", true],
  ["a", "b", false],
  ["a", "a/b", false],
  ["a/b", "a", false],
  ["a/b", "a/bc", false],
  ["a/bc", "a/b", false],
  ["#", "a/b/c", true],
  ["#", "/", true],
  ["a/#", "a", true],
  ["a/#", "ab", false],
  ["a/#", "a/b/c", true],
  ["a/+/#", "a", false],
  ["a/+/#", "a/b", true],
  ["+/#", "a", true],
  ["+", "a", true],
  ["+", "/a", false],
  ["/+", "/a", true],
  ["+/+", "/a", true],
  ["+/+", "/", true],
  ["a/+", "a/", true],
  ["a/+", "a", false],
  ["a/+/c", "a/b/c", true],
  ["a/+/c", "a/b/d", false],
  ["#", "$SYS/a", false],
  ["+/a", "$SYS/a", false],
  ["$SYS/#", "$SYS/a", true],
  ["$SYS/+", "$SYS/a", true],
  ["a/#", "a/$SYS", true],
  ["$share/g/a/#", "a/b", true],
  ["$share/g/#", "$SYS/b", false],
];
test.each(MATCHES)(
  "matchTopic() and TopicFilterSet.has() answer %p for %p with %p",
  (filter, topic, matches) => {
    expect(matchTopic(filter, topic)).toBe(matches);
    const set = new TopicFilterSet();
    set.add(filter, true);
    expect(set.has(topic)).toBe(matches);
  },
);

test("TopicFilterSet agrees with matchTopic() on every short filter and topic", () => {
  const words = ["a", "b", "", "$s"];
  const levels = (parts: string[], depth: number): string[] =>
    depth === 1
      ? parts
      : [...parts, ...levels(parts, depth - 1).flatMap((l) => parts.map((w) => `${l}/${w}`))];
  const topics = levels(words, 3).filter((topic) => checkTopicName(topic) === undefined);
  const filters = levels([...words, "+", "#"], 3).filter((filter) => checkTopicFilter(filter) === undefined);
  const set = new TopicFilterSet<string>();
  for (const filter of filters) set.add(filter, filter);
  expect(set.size).toBe(filters.length);
  for (const topic of topics) {
    const expected = filters.filter((filter) => matchTopic(filter, topic));
    expect(set.all(topic)).toEqual(expected);
    expect(set.first(topic)).toBe(expected[0] as string);
  }
});

test("TopicFilterSet survives a topic of 65,535 levels", () => {
  const set = new TopicFilterSet<number>();
  set.add(Array(32_768).fill("+").join("/"), 1);
  set.add("/".repeat(65_535), 2);
  expect(set.all("/".repeat(32_767))).toEqual([1]);
  expect(set.all("/".repeat(65_535))).toEqual([2]);
});
