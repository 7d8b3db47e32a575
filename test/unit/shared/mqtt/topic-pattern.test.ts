import { expect, test } from "bun:test";
import {
  fillTopic,
  parseTopicPattern,
  parseTopicTemplate,
  type TopicPattern,
  type TopicTemplate,
} from "../../../../shared/mqtt/topic-pattern.ts";

function fill(patternText: string, templateText: string, topic: string): string | undefined {
  const pattern = parseTopicPattern(patternText) as TopicPattern;
  const template = parseTopicTemplate(templateText, pattern) as TopicTemplate;
  return fillTopic(pattern, template, topic);
}

test("fillTopic() puts named levels, the rest and the whole topic where the text wants them", () => {
  const cases: [pattern: string, template: string, topic: string, filled: string | undefined][] = [
    ["plant/{1}/{2}", "dt/{2}", "plant/a/b", "dt/b"],
    ["plant/{1}/{2}", "dt/{2}/{1}/{2}", "plant/a/b", "dt/b/a/b"],
    ["plant/{line}/#", "dt/{line}/{#}", "plant/7/x/y", "dt/7/x/y"],
    ["plant/#", "dt/{#}", "plant", "dt"],
    ["plant/#", "{#}", "plant/x", "x"],
    ["#", "all/{topic}", "a/b", "all/a/b"],
    ["#", "all/{#}", "a/b", "all/a/b"],
    ["plant/+/{s}", "x{s}y", "plant/a/b", "xby"],
    ["plant/{1}", "dt/{1}", "plant/", "dt/"],
    ["plant/{1}", "dt/{1}", "plant/a/b", undefined],
    ["{1}/b", "x", "$SYS/b", undefined],
    ["größe/{1}", "{1}", "größe/ä ö", "ä ö"],
  ];
  for (const [pattern, template, topic, filled] of cases)
    expect([pattern, template, topic, fill(pattern, template, topic)]).toEqual([
      pattern,
      template,
      topic,
      filled,
    ]);
});

test("parseTopicPattern() says what is wrong", () => {
  expect(parseTopicPattern("plant/{a}/{a}")).toBe("has the name {a} twice");
  expect(parseTopicPattern("plant/x{a}")).toContain('has "x{a}"');
  expect(parseTopicPattern("plant/{}")).toContain('has "{}"');
  expect(parseTopicPattern("{topic}/a")).toContain("{topic}");
  for (const text of ["", "a/#/b", "a+/b", "a/b#"]) expect(typeof parseTopicPattern(text)).toBe("string");
});

test("parseTopicTemplate() refuses names that the pattern has not, and stray braces", () => {
  const pattern = parseTopicPattern("plant/{line}") as TopicPattern;
  expect(parseTopicTemplate("dt/{sensor}", pattern)).toContain("{sensor}");
  expect(parseTopicTemplate("dt/{#}", pattern)).toContain("{#}");
  expect(parseTopicTemplate("dt/{line", pattern)).toContain("brace");
  expect(parseTopicTemplate("dt/line}", pattern)).toContain("brace");
});
