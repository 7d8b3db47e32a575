// Tests of shared/sparkplug/merge.ts and table.ts: a metric after DATA is what a host application would have for it, compared
// on the objects of the Eclipse decoder; and what nobody named is there bit by bit.
import { describe, expect, test } from "bun:test";
import { encodeBytesField, encodeVarintField } from "../../../../shared/sparkplug/fields.ts";
import { mergeMetric } from "../../../../shared/sparkplug/merge.ts";
import { MetricTable } from "../../../../shared/sparkplug/table.ts";
import { Random } from "../../../sim/random.ts";
import { encode, makeMetric, parse, Twin } from "./samples.ts";

type Json = Record<string, unknown>;

function raw(metric: Json): Uint8Array {
  return parse(encode({ metrics: [metric] } as never)).metrics[0]?.raw as Uint8Array;
}

function show(bytes: Uint8Array): Json {
  return Twin.Metric.toObject(Twin.Metric.decode(bytes), { longs: String, bytes: String });
}

const merge = (base: Json, update: Json) => show(mergeMetric(raw(base), raw(update)));

describe("mergeMetric()", () => {
  test("keeps name, alias, type and metadata, and takes value, time and flags", () => {
    const birth = {
      name: "t",
      alias: 5,
      timestamp: 1,
      datatype: 10,
      metadata: { description: "d" },
      doubleValue: 1.5,
    };
    expect(merge(birth, { alias: 5, timestamp: 2, doubleValue: 2.5, isTransient: true })).toEqual({
      ...birth,
      alias: "5",
      timestamp: "2",
      doubleValue: 2.5,
      isTransient: true,
    });
  });

  test("null takes the place of a value, and a value that of null", () => {
    const birth = { name: "t", datatype: 3, intValue: 4 };
    expect(merge(birth, { name: "t", isNull: true })).toEqual({ name: "t", datatype: 3, isNull: true });
    expect(merge({ name: "t", datatype: 3, isNull: true }, { name: "t", intValue: 9 })).toEqual({
      name: "t",
      datatype: 3,
      intValue: 9,
    });
  });

  test("properties: by key, nested sets whole, and a Quality that is not told again is gone", () => {
    const value = (number: number) => ({ type: 3, intValue: number });
    const birth = {
      name: "t",
      properties: { keys: ["low", "Quality", "high"], values: [value(1), value(0), value(3)] },
    };
    expect(merge(birth, { name: "t", intValue: 1 }).properties).toEqual({
      keys: ["low", "high"],
      values: [value(1), value(3)],
    });
    const update = {
      name: "t",
      properties: { keys: ["high", "Quality", "unit"], values: [value(9), value(500), value(7)] },
    };
    expect(merge(birth, update).properties).toEqual({
      keys: ["low", "Quality", "high", "unit"],
      values: [value(1), value(500), value(9), value(7)],
    });
    const onlyQuality = { name: "t", properties: { keys: ["Quality"], values: [value(0)] } };
    expect(merge(onlyQuality, { name: "t", intValue: 1 })).toEqual({ name: "t", intValue: 1 });
  });

  test("templates: member by member, also in templates within, parameters by name", () => {
    const birth = {
      name: "motor1",
      datatype: 19,
      templateValue: {
        version: "2",
        templateRef: "motor",
        isDefinition: false,
        metrics: [
          { name: "rpm", datatype: 3, intValue: 100 },
          {
            name: "bearing",
            datatype: 19,
            templateValue: {
              metrics: [
                { name: "temp", datatype: 9, floatValue: 20.5 },
                { name: "wear", intValue: 1 },
              ],
            },
          },
        ],
        parameters: [
          { name: "serial", type: 12, stringValue: "A" },
          { name: "site", type: 12, stringValue: "B" },
        ],
      },
    };
    const update = {
      name: "motor1",
      templateValue: {
        metrics: [{ name: "bearing", templateValue: { metrics: [{ name: "temp", floatValue: 31.5 }] } }],
        parameters: [{ name: "site", type: 12, stringValue: "C" }],
      },
    };
    const template = merge(birth, update).templateValue as Json;
    expect(template).toEqual({
      version: "2",
      templateRef: "motor",
      isDefinition: false,
      metrics: [
        { name: "rpm", datatype: 3, intValue: 100 },
        {
          name: "bearing",
          datatype: 19,
          templateValue: {
            metrics: [
              { name: "temp", datatype: 9, floatValue: 31.5 },
              { name: "wear", intValue: 1 },
            ],
          },
        },
      ],
      parameters: [
        { name: "serial", type: 12, stringValue: "A" },
        { name: "site", type: 12, stringValue: "C" },
      ],
    });
  });

  test("keeps fields that it does not know, and takes newer ones of the same number", () => {
    const field20 = (byte: number) => Uint8Array.from([0xa2, 0x01, 1, byte]);
    const field21 = (byte: number) => Uint8Array.from([0xaa, 0x01, 1, byte]);
    const base = Uint8Array.from([...raw({ name: "t", intValue: 1 }), ...field20(7), ...field21(8)]);
    const update = Uint8Array.from([...raw({ name: "t", intValue: 2 }), ...field21(9)]);
    const merged = Buffer.from(mergeMetric(base, update));
    expect(merged.includes(field20(7))).toBe(true);
    expect(merged.includes(field21(9))).toBe(true);
    expect(merged.includes(field21(8))).toBe(false);
  });

  test("always gives a metric that can be read, of 5,000 random pairs", () => {
    const random = new Random(3);
    for (let round = 0; round < 5000; round++) {
      const base = makeMetric(random);
      const update = makeMetric(random);
      const merged = mergeMetric(raw(base), raw(update));
      const value = [
        "intValue",
        "longValue",
        "floatValue",
        "doubleValue",
        "booleanValue",
        "stringValue",
        "bytesValue",
        "datasetValue",
      ];
      const [ours, theirs] = [show(merged), show(raw(update))];
      for (const key of value) expect(ours[key]).toEqual(theirs[key] as never);
      expect(ours.name).toBe((base.name ?? update.name) as never);
    }
  });
});

describe("MetricTable", () => {
  const birth = () =>
    parse(
      encode({
        timestamp: 100,
        metrics: [
          { name: "a", alias: 1, timestamp: 90, datatype: 3, intValue: 1 },
          { name: "b", alias: 2, datatype: 3, intValue: 2 },
        ],
      } as never),
    );
  const data = (...metrics: Json[]) => parse(encode({ timestamp: 200, metrics } as never)).metrics;
  const table = () => new MetricTable(birth().metrics, birth().timestamp);
  const apply = (to: MetricTable, metric: Json, onlyNewer = false) =>
    to.apply(data(metric)[0] as never, 200n, onlyNewer);

  test("finds metrics by alias and by name, and tells them in the order of the birth", () => {
    const metrics = table();
    expect(apply(metrics, { alias: 2, timestamp: 150, intValue: 20 })).toBe("applied");
    expect(apply(metrics, { name: "a", timestamp: 151, intValue: 10 })).toBe("applied");
    expect(metrics.render().map(show)).toEqual([
      { name: "a", alias: "1", timestamp: "151", datatype: 3, intValue: 10 },
      { name: "b", alias: "2", timestamp: "150", datatype: 3, intValue: 20 },
    ]);
  });

  test("a name that is unknown is not taken for the alias beside it", () => {
    expect(apply(table(), { name: "zz", alias: 1, intValue: 1 })).toBe("unknown-metric");
    expect(apply(table(), { alias: 9, intValue: 1 })).toBe("unknown-metric");
    expect(apply(table(), { name: "", alias: 2, intValue: 1 })).toBe("applied");
  });

  test("history changes nothing", () => {
    const metrics = table();
    const before = metrics.render().map(show);
    expect(apply(metrics, { alias: 1, timestamp: 999, isHistorical: true, intValue: 77 })).toBe("historical");
    expect(metrics.render().map(show)).toEqual(before);
  });

  test("lends metrics the time of their payload", () => {
    const metrics = table();
    expect(show(metrics.render()[1] as Uint8Array).timestamp).toBe("100");
    apply(metrics, { alias: 2, intValue: 3 });
    expect(show(metrics.render()[1] as Uint8Array).timestamp).toBe("200");
  });

  test("with onlyNewer takes what is later, and not what is as old", () => {
    const metrics = table();
    expect(apply(metrics, { alias: 1, timestamp: 90, intValue: 5 }, true)).toBe("older");
    expect(apply(metrics, { alias: 1, timestamp: 91, intValue: 5 }, true)).toBe("applied");
    expect(apply(metrics, { alias: 1, timestamp: 80, intValue: 6 }, true)).toBe("older");
    expect(apply(metrics, { alias: 1, timestamp: 80, intValue: 6 })).toBe("applied");
  });

  test("holds no memory of the packet it came in, and says what it holds", () => {
    const metrics = table();
    for (const one of metrics.render()) expect(one.buffer.byteLength).toBe(one.length);
    const before = metrics.bytes;
    apply(metrics, { alias: 1, timestamp: 1000, stringValue: "x".repeat(1000) });
    expect(metrics.bytes).toBeGreaterThan(before + 1000);
    for (let round = 0; round < 100; round++) apply(metrics, { alias: 1, timestamp: 1001, intValue: round });
    expect(metrics.bytes).toBeLessThan(before + 100);
  });
});

describe("mergeMetric() takes time and space in proportion to what it is given", () => {
  const members = (count: number, value: number) =>
    Array.from({ length: count }, (_, index) => ({ name: `m${index}`, intValue: value }));

  test("templates with tens of thousands of members", () => {
    const birth = {
      name: "t",
      datatype: 19,
      templateValue: { templateRef: "x", metrics: members(40_000, 1) },
    };
    const update = { name: "t", templateValue: { templateRef: "x", metrics: members(40_000, 2) } };
    const merged = mergeMetric(raw(birth), raw(update));
    expect(Buffer.from(merged).equals(raw({ ...birth, ...update }))).toBe(true);
  });

  test("thousands of unknown fields", () => {
    const unknown = (first: number) =>
      Buffer.concat(Array.from({ length: 40_000 }, (_, index) => encodeVarintField(first + index, 1)));
    const merged = mergeMetric(unknown(1000), unknown(100_000));
    expect(merged.length).toBe(unknown(1000).length + unknown(100_000).length);
  });

  test.each([
    ["templates", { templateValue: { templateRef: "y".repeat(50_000), metrics: members(3, 1) } }, 18],
    [
      "properties",
      { properties: { keys: ["k"], values: [{ type: 12, stringValue: "v".repeat(50_000) }] } },
      9,
    ],
  ])("thousands of %s in one metric", (_, content, field) => {
    const large = raw({ name: "t", ...content });
    const many = Buffer.concat(Array.from({ length: 5000 }, () => encodeBytesField(field, "")));
    for (const [base, update] of [
      [large, many],
      [many, large],
    ] as const)
      expect(mergeMetric(base, update).length).toBeLessThan(large.length + many.length + 100);
  });

  test("a member that is told twice is the last one told", () => {
    const template = (...metrics: Json[]) => ({ name: "t", templateValue: { templateRef: "x", metrics } });
    const told = merge(
      template({ name: "a", intValue: 1 }, { name: "b", intValue: 1 }),
      template({ name: "b", intValue: 2 }, { name: "c", intValue: 3 }, { name: "b", intValue: 4 }),
    );
    expect(told.templateValue).toEqual({
      templateRef: "x",
      metrics: [
        { name: "a", intValue: 1 },
        { name: "b", intValue: 4 },
        { name: "c", intValue: 3 },
      ],
    });
  });

  test("a message that names a large template again and again", () => {
    const large = { name: "t", alias: 1, datatype: 19, templateValue: { templateRef: "y".repeat(500_000) } };
    const table = new MetricTable([parse(encode({ metrics: [large] } as never)).metrics[0] as never], 1n);
    const again = { alias: 1, templateValue: { metrics: [{ name: "m", intValue: 1 }] } };
    const message = parse(encode({ timestamp: 2, metrics: Array(100).fill(again) } as never));
    const applied = table.applyAll(message);
    expect(applied.indexOf("unknown-metric")).toBe(67);
    expect(applied.filter((each) => each === "applied")).toHaveLength(67);
    expect(table.applyAll(message).slice(0, 3)).toEqual(["applied", "applied", "applied"]);
  });
});
