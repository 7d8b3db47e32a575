// Tests of shared/sparkplug/rewrite.ts: what is asked for changes, and not one other byte.
import { expect, test } from "bun:test";
import { parseMetric, readBoolean, readLong } from "../../../../shared/sparkplug/payload.ts";
import {
  encodeMetric,
  encodePayload,
  rewritePayload,
  setLong,
  setName,
  setTimestamp,
} from "../../../../shared/sparkplug/rewrite.ts";
import { Random } from "../../../sim/random.ts";
import { decode, encode, makePayload, parse, Twin } from "./samples.ts";

function metricOf(raw: Uint8Array) {
  const metric = parseMetric(raw);
  if (typeof metric === "string") throw new Error(metric);
  return metric;
}

test("rewritePayload() changes seq and timestamp and nothing else, of 1,000 random payloads", () => {
  for (let seed = 0; seed < 1000; seed++) {
    const bytes = makePayload(new Random(seed));
    const changed = rewritePayload(parse(bytes), { seq: 200, timestamp: 5n });
    expect(decode(changed)).toEqual({ ...decode(bytes), seq: "200", timestamp: "5" });
    // Written back as it was read, all of it is there again but the numbers that were written long.
    const { seq, timestamp } = parse(bytes);
    const back = rewritePayload(parse(changed), { seq: seq ?? null, timestamp: timestamp ?? null });
    expect(decode(back)).toEqual(decode(bytes));
    const unknown = (payload: Uint8Array) =>
      parse(payload)
        .spans.filter(({ number }) => number > 5)
        .map(({ start, end }) => [...payload.slice(start, end)]);
    expect(unknown(changed)).toEqual(unknown(bytes));
  }
});

test("rewritePayload() puts other metrics in the place of some, and leaves the others bit by bit", () => {
  const bytes = encode({
    timestamp: 1,
    metrics: [
      { name: "a", intValue: 1 },
      { name: "bdSeq", datatype: 4, longValue: 3 },
      { name: "c", templateValue: { metrics: [{ name: "m" }] } },
    ],
    seq: 9,
  } as never);
  const payload = parse(bytes);
  const changed = rewritePayload(payload, {
    metrics: (metric) =>
      metric.name === "a" ? null : metric.name === "bdSeq" ? setLong(metric.raw, 77n) : metric.raw,
    moreMetrics: [encodeMetric({ name: "d", timestamp: 4n, value: "text" })],
    seq: null,
  });
  const parsed = parse(changed);
  expect(parsed.seq).toBeUndefined();
  expect(parsed.metrics.map(({ name }) => name)).toEqual(["bdSeq", "c", "d"]);
  expect(parsed.metrics[0] && readLong(parsed.metrics[0])).toBe(77n);
  expect(Buffer.from(parsed.metrics[1]?.raw ?? []).equals(payload.metrics[2]?.raw as Uint8Array)).toBe(true);
});

test("setName(), setLong() and setTimestamp() replace, or add what was not there", () => {
  const plain = parse(encode({ metrics: [{ alias: 7, timestamp: 2, intValue: 1, isNull: true }] } as never));
  const raw = plain.metrics[0]?.raw as Uint8Array;
  expect(metricOf(setName(raw, "line/speed")).name).toBe("line/speed");
  expect(metricOf(setName(setName(raw, "x"), "y")).name).toBe("y");
  expect(metricOf(setName(raw, "y")).alias).toBe(7n);
  expect(readLong(metricOf(setLong(raw, 255n)))).toBe(255n);
  expect(metricOf(setLong(raw, 255n)).isNull).toBe(false);
  expect(metricOf(setTimestamp(raw, 2n ** 40n)).timestamp).toBe(2n ** 40n);
});

test("encodePayload() writes what the Eclipse decoder reads", () => {
  const metrics = [
    encodeMetric({ name: "Node Control/Rebirth", timestamp: 12n, value: true }),
    encodeMetric({ name: "bdSeq", timestamp: 12n, value: 300n }),
  ];
  const bytes = encodePayload(12n, metrics, undefined);
  expect(decode(bytes)).toEqual({
    timestamp: "12",
    metrics: [
      { name: "Node Control/Rebirth", timestamp: "12", datatype: 11, booleanValue: true },
      { name: "bdSeq", timestamp: "12", datatype: 4, longValue: "300" },
    ],
  });
  expect(Object.hasOwn(Twin.decode(bytes), "seq")).toBe(false);
  expect(parse(bytes).metrics[0] && readBoolean(parse(bytes).metrics[0] as never)).toBe(true);
});
