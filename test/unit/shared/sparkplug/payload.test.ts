// Tests of shared/sparkplug/payload.ts, fields.ts and shape.ts: the same reading as the Eclipse project's own decoder, and no
// throw and no acceptance of what that decoder refuses.
import { describe, expect, test } from "bun:test";
import { encodeBytesField, encodeVarintField, joinBytes } from "../../../../shared/sparkplug/fields.ts";
import { mergeMetric } from "../../../../shared/sparkplug/merge.ts";
import { METRICS_MAX, parseMetric, parsePayload, readLong } from "../../../../shared/sparkplug/payload.ts";
import { rewritePayload } from "../../../../shared/sparkplug/rewrite.ts";
import { DEPTH_MAX } from "../../../../shared/sparkplug/shape.ts";
import { Random } from "../../../sim/random.ts";
import { encode, makePayload, parse, Twin } from "./samples.ts";

const big = (value: unknown) => (value === null || value === undefined ? undefined : BigInt(String(value)));

describe("parsePayload()", () => {
  test("reads what the Eclipse decoder reads, of 2,000 random payloads", () => {
    for (let seed = 0; seed < 2000; seed++) {
      const bytes = makePayload(new Random(seed));
      const ours = parse(bytes);
      const theirs = Twin.decode(bytes);
      const has = (object: object, key: string) => Object.hasOwn(object, key);
      expect(ours.timestamp).toBe(big(theirs.timestamp));
      expect(ours.seq).toBe(has(theirs, "seq") ? Number(theirs.seq) : undefined);
      expect(ours.uuid).toBe(has(theirs, "uuid") ? theirs.uuid : undefined);
      expect(ours.metrics.length).toBe(theirs.metrics.length);
      for (const [index, metric] of ours.metrics.entries()) {
        const twin = theirs.metrics[index] as (typeof theirs.metrics)[number];
        expect(metric.name).toBe(has(twin, "name") ? (twin.name ?? undefined) : undefined);
        expect(metric.alias).toBe(has(twin, "alias") ? big(twin.alias) : undefined);
        expect(metric.timestamp).toBe(has(twin, "timestamp") ? big(twin.timestamp) : undefined);
        expect(metric.datatype).toBe(has(twin, "datatype") ? (twin.datatype ?? undefined) : undefined);
        expect(metric.isHistorical).toBe(twin.isHistorical === true);
        expect(metric.isTransient).toBe(twin.isTransient === true);
        expect(metric.isNull).toBe(twin.isNull === true);
        expect(Twin.Metric.decode(metric.raw)).toEqual(twin as never);
      }
    }
  });

  test("gives back every byte when nothing is to change, of 2,000 random payloads", () => {
    for (let seed = 0; seed < 2000; seed++) {
      const bytes = makePayload(new Random(seed));
      expect(Buffer.from(rewritePayload(parse(bytes), {})).equals(bytes)).toBe(true);
    }
  });

  test("refuses a payload cut anywhere inside a field, and never throws", () => {
    const bytes = makePayload(new Random(7));
    const ends = new Set(parse(bytes).spans.map(({ end }) => end));
    for (let end = 1; end < bytes.length; end++) {
      const result = parsePayload(bytes.subarray(0, end));
      expect(typeof result === "string").toBe(!ends.has(end));
    }
  });

  test("never throws, and what it takes it gives back, of 20,000 damaged payloads", () => {
    const random = new Random(11);
    for (let round = 0; round < 20_000; round++) {
      const bytes = makePayload(random);
      if (bytes.length === 0) continue;
      for (let flips = 1 + random.below(4); flips > 0; flips--)
        bytes[random.below(bytes.length)] = random.below(256);
      const payload = parsePayload(bytes);
      if (typeof payload === "string") continue;
      // The Eclipse decoder is no judge here: it skips too far over numbers of six to nine bytes in fields of 32 bits.
      expect(Buffer.from(rewritePayload(payload, {})).equals(bytes)).toBe(true);
      for (const { raw } of payload.metrics) {
        const merged = parseMetric(mergeMetric(raw, raw));
        expect(typeof merged === "string" ? merged : merged.name).toBe(
          payload.metrics.find((one) => one.raw === raw)?.name,
        );
      }
    }
  });

  test.each([
    ["a field with the number 0", [0x00, 0x01], "field-number"],
    ["a group", [0x0b, 0x0c], "wire-type"],
    ["a wire type that does not exist", [0x0f], "wire-type"],
    ["a number of eleven bytes", [0x08, ...Array(10).fill(0x80), 0], "varint"],
    ["a number that ends in the middle", [0x08, 0x80], "truncated"],
    ["a length beyond the end", [0x12, 0x05, 0x00], "truncated"],
    ["a length beyond 32 bits", [0x12, 0xff, 0xff, 0xff, 0xff, 0x7f], "varint"],
    ["a timestamp that is text", [0x0a, 0x01, 0x31], "field-type"],
    ["metrics that are a number", [0x10, 0x01], "field-type"],
    ["a name that is not UTF-8", [0x12, 0x03, 0x0a, 0x01, 0xff], "text"],
    ["seq 256", [0x18, 0x80, 0x02], "seq-range"],
    ["a template that is cut off", [0x12, 0x05, 0x92, 0x01, 0x02, 0x12, 0x09], "truncated"],
  ] as const)("refuses %s", (_, bytes, reason) => {
    expect(parsePayload(Uint8Array.from(bytes))).toBe(reason);
  });

  test("takes templates within templates up to the depth that is allowed, and not one more", () => {
    const nest = (levels: number): Uint8Array => {
      let metric: Uint8Array = encodeBytesField(1, "innermost");
      for (let level = 0; level < levels; level++) metric = encodeBytesField(18, encodeBytesField(2, metric));
      return encodeBytesField(2, metric);
    };
    // Each template is two messages deep, and the metric itself is one.
    const levels = Math.floor((DEPTH_MAX - 1) / 2);
    expect(typeof parsePayload(nest(levels))).toBe("object");
    expect(parsePayload(nest(levels + 1))).toBe("too-deep");
    expect(parsePayload(nest(20_000))).toBe("too-deep");
  });

  test("refuses more metrics than anyone has", () => {
    const metric = Uint8Array.from([0x12, 0x00]);
    const many = new Uint8Array(2 * (METRICS_MAX + 1));
    for (let at = 0; at < many.length; at += 2) many.set(metric, at);
    expect(typeof parsePayload(many.subarray(2))).toBe("object");
    expect(parsePayload(many)).toBe("too-many-metrics");
  });

  test("reads numbers of 64 bits exactly", () => {
    for (const value of [
      0n,
      127n,
      128n,
      2n ** 49n - 1n,
      2n ** 49n,
      2n ** 53n + 1n,
      2n ** 63n,
      2n ** 64n - 1n,
    ]) {
      const metric = joinBytes([encodeVarintField(2, value), encodeVarintField(11, value)]);
      const [parsed] = parse(encodeBytesField(2, metric)).metrics;
      expect(parsed?.alias).toBe(value);
      expect(parsed && readLong(parsed)).toBe(value);
    }
  });

  test("knows a metric that is more than a value", () => {
    const kinds = [
      [{ name: "a", intValue: 1 }, false],
      [{ name: "a", datasetValue: { numOfColumns: 1 } }, false],
      [{ name: "a", properties: { keys: [], values: [] } }, true],
      [{ name: "a", metadata: { size: 1 } }, true],
      [{ name: "a", templateValue: {} }, true],
    ] as const;
    for (const [metric, isComposite] of kinds)
      expect(parse(encode({ metrics: [metric] as never })).metrics[0]?.isComposite).toBe(isComposite);
  });
});

test("parsePayload() refuses a payload with thousands of fields that nobody knows", () => {
  const field = [0x38, 0x00];
  const fields = (count: number) => Uint8Array.from(Array.from({ length: count }, () => field).flat());
  expect(parsePayload(fields(1001))).toBe("too-many-fields");
  expect(typeof parsePayload(fields(1000))).toBe("object");
});
