// Tests of phrases.ts: what is said has our numbers, what every birth must have, and everything else as it came.
import { expect, test } from "bun:test";
import {
  phraseBirth,
  phraseData,
  phraseDeath,
  phraseDeviceDeath,
  phraseDeviceRebirth,
  phraseRebirth,
  phraseValues,
} from "../../../../../../agents/recv/targets/sparkplug/phrases.ts";
import { begin } from "../../../../../../shared/sparkplug/birth.ts";
import { type Payload, parsePayload } from "../../../../../../shared/sparkplug/payload.ts";
import { decodeSparkplug, encodeSparkplug } from "../../../../../support/sparkplug-book.ts";

function parse(payload: object): Payload {
  const parsed = parsePayload(encodeSparkplug(payload));
  if (typeof parsed === "string") throw new Error(parsed);
  return parsed;
}

const A = { name: "a", alias: 1, timestamp: 100, datatype: 3, intValue: 7 };

test("a birth has seq 0, our bdSeq in the place of the other one, and what every birth must have", () => {
  const own = { name: "bdSeq", timestamp: 100, datatype: 8, longValue: 200 };
  const rebirth = { name: "Node Control/Rebirth", timestamp: 100, datatype: 11, booleanValue: false };
  const full = { timestamp: 100, metrics: [A, own, rebirth], seq: 7, uuid: "u" };
  expect(decodeSparkplug(phraseBirth(parse(full), 3))).toEqual({
    timestamp: "100",
    metrics: [
      { ...A, alias: "1", timestamp: "100" },
      { ...own, timestamp: "100", longValue: "3" },
      { ...rebirth, timestamp: "100" },
    ],
    seq: "0",
    uuid: "u",
  });
  const bare = parse({ timestamp: 100, metrics: [A], seq: 9 });
  for (const bytes of [phraseBirth(bare, 3), phraseRebirth(begin(bare, 0), 3, 500)]) {
    const decoded = decodeSparkplug(bytes);
    expect(decoded.seq).toBe("0");
    expect(decoded.metrics).toMatchObject([
      { name: "a", intValue: 7 },
      { name: "bdSeq", datatype: 4, longValue: "3" },
      { name: "Node Control/Rebirth", datatype: 11, booleanValue: false },
    ]);
  }
  expect(decodeSparkplug(phraseRebirth(begin(bare, 0), 3, 500)).timestamp).toBe("500");
});

test("data has our seq, flags what is history and leaves out what nobody knows, all else as it came", () => {
  const data = parse({
    timestamp: 100,
    metrics: [{ alias: 1, intValue: 1 }, { alias: 2, intValue: 2, isHistorical: false }, { alias: 3 }],
    seq: 9,
  });
  expect(decodeSparkplug(phraseData(data, 255, ["as-is", "history", "unresolved"]))).toEqual({
    timestamp: "100",
    metrics: [
      { alias: "1", intValue: 1 },
      { alias: "2", intValue: 2, isHistorical: true },
    ],
    seq: "255",
  });
});

test("values of a snapshot go by alias where there is one, without name and type", () => {
  const { metrics } = parse({ metrics: [A, { name: "b", datatype: 3, intValue: 8 }] });
  expect(decodeSparkplug(phraseValues(metrics, 4, 500)).metrics).toEqual([
    { alias: "1", timestamp: "100", intValue: 7 },
    { name: "b", datatype: 3, intValue: 8 },
  ]);
});

test("a death of a node has bdSeq and no seq, one of a device has a seq and no metrics; a device is born with ours", () => {
  expect(decodeSparkplug(phraseDeath(5, 500))).toEqual({
    timestamp: "500",
    metrics: [{ name: "bdSeq", timestamp: "500", datatype: 4, longValue: "5" }],
  });
  expect(decodeSparkplug(phraseDeviceDeath(6, 500))).toEqual({ timestamp: "500", seq: "6" });
  const born = decodeSparkplug(
    phraseDeviceRebirth(begin(parse({ timestamp: 100, metrics: [A], seq: 1 }), 0), 8, 500),
  );
  expect([born.seq, born.timestamp]).toEqual(["8", "500"]);
});
