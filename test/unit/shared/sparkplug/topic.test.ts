// Tests of shared/sparkplug/topic.ts and state.ts: every form of topic and state there and back, and refusals by name.
import { expect, test } from "bun:test";
import { formatState, parseState } from "../../../../shared/sparkplug/state.ts";
import {
  formatTopic,
  isSparkplugTopic,
  parseTopic,
  type SparkplugTopic,
} from "../../../../shared/sparkplug/topic.ts";

test.each(["NBIRTH", "NDEATH", "NDATA", "NCMD"] as const)(
  "parseTopic() and formatTopic() agree on %s",
  (type) => {
    const topic: SparkplugTopic = {
      type,
      group: "plant 7",
      node: "line/1".replace("/", "-"),
      device: undefined,
    };
    expect(formatTopic(topic)).toBe(`spBv1.0/plant 7/${type}/line-1`);
    expect(parseTopic(formatTopic(topic))).toEqual(topic);
    expect(parseTopic(`${formatTopic(topic)}/device`)).toBe("levels");
  },
);

test.each(["DBIRTH", "DDEATH", "DDATA", "DCMD"] as const)(
  "parseTopic() and formatTopic() agree on %s",
  (type) => {
    const topic: SparkplugTopic = { type, group: "STATE", node: "ü", device: "d" };
    expect(parseTopic(formatTopic(topic))).toEqual(topic);
    expect(parseTopic(`spBv1.0/g/${type}/n`)).toBe("levels");
    expect(parseTopic(`spBv1.0/g/${type}/n/d/e`)).toBe("levels");
  },
);

test("parseTopic() knows the STATE of both specifications", () => {
  expect(parseTopic("spBv1.0/STATE/scada")).toEqual({ type: "STATE", host: "scada", format: "3.0" });
  expect(parseTopic("STATE/scada")).toEqual({ type: "STATE", host: "scada", format: "2.2" });
  expect(formatTopic({ type: "STATE", host: "scada", format: "2.2" })).toBe("STATE/scada");
  expect(formatTopic({ type: "STATE", host: "scada", format: "3.0" })).toBe("spBv1.0/STATE/scada");
});

test.each([
  ["spBv1.0/g/NBORTH/n", "message-type"],
  ["spBv1.0/g/NBIRTH", "levels"],
  ["spBv1.0/g", "levels"],
  ["spBv1.0//NBIRTH/n", "empty-level"],
  ["spBv1.0/g/NBIRTH/n/", "empty-level"],
  ["spBv1.0/g/NBIRTH/+", "wildcard"],
  [`spBv1.0/g/NBIRTH/${"n".repeat(1025)}`, "too-long"],
] as const)("parseTopic() refuses %s", (topic, reason) => {
  expect(parseTopic(topic)).toBe(reason);
});

test("isSparkplugTopic() leaves other topics alone", () => {
  expect(
    ["spBv1.0/g/x", "STATE/h", "spAv1.0/g/NBIRTH/n", "STATE/a/b", "plant/STATE"].map(isSparkplugTopic),
  ).toEqual([true, true, false, false, false]);
});

test("formatState() and parseState() agree, and refuse what is neither", () => {
  expect(formatState("3.0", true, 1668114759262).toString()).toBe(
    '{"online":true,"timestamp":1668114759262}',
  );
  expect(parseState("3.0", formatState("3.0", false, 12))).toEqual({ isOnline: false, timestampMs: 12 });
  expect(parseState("2.2", formatState("2.2", true, 12))).toEqual({ isOnline: true, timestampMs: undefined });
  expect(parseState("2.2", Buffer.from("online"))).toBe("state-word");
  for (const text of ["ONLINE", '{"online":true}', '{"online":1,"timestamp":2}', "null", "{"])
    expect(parseState("3.0", Buffer.from(text))).toBe("state-json");
  expect(parseState("3.0", Buffer.alloc(2000, 0x20))).toBe("state-size");
});
