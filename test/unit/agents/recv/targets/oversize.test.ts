// What becomes of a message that is too large: compressed, in parts, or refused with a reason that says all.
import { expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import type { Judgement, Outgoing } from "../../../../../agents/recv/targets/outcome.ts";
import {
  type Form,
  type OversizePolicy,
  PARTS_MAX,
  reduceOversize,
} from "../../../../../agents/recv/targets/oversize.ts";
import type { Message } from "../../../../../shared/message.ts";
import { makeMessage } from "./messages.ts";

const REFUSAL = { outcome: "lost/oversize", detail: "too large" } as const;

/** Takes a topic, payload and properties of so many bytes together. */
function reduce(
  policy: OversizePolicy,
  message: Message,
  bytesMax: number,
  hasProperties = true,
): { judgement: Judgement; asked: number } {
  let asked = 0;
  const judge = (each: Message, form: Form): Judgement => {
    asked++;
    expect(form).toBe(policy === "compress" ? "gzip" : "part");
    const properties = (each.properties?.userProperties ?? []).flat().join("");
    const bytes = each.topic.length + each.payload.length + properties.length;
    return bytes <= bytesMax ? { publish: each } : { outcome: "lost/oversize", detail: `${bytes} bytes` };
  };
  return { judgement: reduceOversize(message, REFUSAL, { policy, hasProperties, judge }), asked };
}

function published(judgement: Judgement): Outgoing[] {
  if ("outcome" in judgement) throw new Error(judgement.detail);
  return [judgement.publish, ...(judgement.publish.rest ?? [])];
}

function counting(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => index % 251));
}

const TEXT = makeMessage({
  topic: "plant/x",
  payload: Buffer.from("température ".repeat(500)),
  retain: true,
  properties: { payloadFormat: 1, contentType: "text/plain", userProperties: [["unit", "°C"]] },
});

test("reduceOversize() leaves a message alone that is to be a dead letter, and one without a payload", () => {
  expect(reduce("dead-letter", TEXT, 1000)).toEqual({ judgement: REFUSAL, asked: 0 });
  const empty = makeMessage({ topic: "x".repeat(2000) });
  for (const policy of ["compress", "split"] as const)
    expect(reduce(policy, empty, 1000).judgement).toEqual(REFUSAL);
});

test("reduceOversize() compresses, says so in a property, and claims no UTF-8 any more", () => {
  const [first, ...more] = published(reduce("compress", TEXT, 1000).judgement);
  expect(more).toEqual([]);
  expect(gunzipSync(first?.payload as Uint8Array)).toEqual(Buffer.from(TEXT.payload));
  expect(first).toMatchObject({
    topic: "plant/x",
    lane: "plant/x",
    retain: true,
    properties: {
      contentType: "text/plain",
      userProperties: [
        ["unit", "°C"],
        ["tidegate-format", "utf-8"],
        ["content-encoding", "gzip"],
      ],
    },
  });
  expect(first?.properties).not.toHaveProperty("payloadFormat");
});

test("reduceOversize() says it in one more level of the topic where there are no properties, and keeps the order of the topic", () => {
  const [first] = published(reduce("compress", TEXT, 1000, false).judgement);
  expect([first?.topic, first?.lane]).toEqual(["plant/x/tidegate-gzip", "plant/x"]);
});

test("reduceOversize() refuses what is too large compressed, too, and does not compress what nothing could make small enough", () => {
  const noise = makeMessage({ payload: crypto.getRandomValues(new Uint8Array(5000)) });
  const { judgement, asked } = reduce("compress", noise, 1000);
  expect(judgement).toEqual({
    ...REFUSAL,
    detail: expect.stringMatching(/^too large; compressed: \d{4} bytes$/),
  });
  expect(asked).toBe(2);
  expect(reduce("compress", makeMessage({ payload: new Uint8Array(2_000_000) }), 1000).asked).toBe(1);
});

for (const hasProperties of [true, false]) {
  test(`reduceOversize() splits into parts that fit, in order, and wastes nothing (${hasProperties ? "properties" : "topic level"})`, () => {
    for (const length of [1001, 4000, 6000, 64_000]) {
      const message = { ...TEXT, payload: counting(length) };
      const parts = published(reduce("split", message, 1000, hasProperties).judgement);
      expect(Buffer.concat(parts.map(({ payload }) => payload)).equals(message.payload)).toBe(true);
      const sizes = parts.map(({ payload }) => payload.length);
      expect(new Set(sizes.slice(0, -1)).size).toBeLessThanOrEqual(1);
      // The longest mark there can be is reserved, so that the last part is marked as the first.
      expect(sizes[0]).toBeGreaterThan(900);
      const names = parts.map(({ topic, properties }) =>
        hasProperties
          ? properties?.userProperties?.at(-1)?.join("-")
          : topic.slice(topic.lastIndexOf("/") + 1),
      );
      const [, id] = /^tidegate-part-([0-9a-f]{16})-/.exec(names[0] ?? "") ?? [];
      expect(names).toEqual(parts.map((_, index) => `tidegate-part-${id}-${index + 1}-${parts.length}`));
      for (const part of parts) expect([part.retain, part.lane, part.qos]).toEqual([false, "plant/x", 1]);
    }
  });
}

test("reduceOversize() gives the parts of a message that is sent again the same names, and those of another one others", () => {
  const nameOf = (message: Message) =>
    published(reduce("split", message, 1000).judgement)[0]?.properties?.userProperties?.at(-1);
  const message = makeMessage({ payload: counting(3000) });
  expect(nameOf(message)).toEqual(nameOf({ ...message }));
  const others = [
    { ...message, topic: "plant/line1/other" },
    { ...message, acceptedMs: message.acceptedMs + 1 },
    { ...message, payload: counting(3001) },
  ];
  for (const other of others) expect(nameOf(other)).not.toEqual(nameOf(message));
});

test("reduceOversize() makes at most so many parts, and none when topic or properties are the trouble", () => {
  const room =
    1000 - "plant/line1/temperature".length - "tidegate-part".length - `${"0".repeat(16)}-4096-4096`.length;
  const most = makeMessage({ payload: new Uint8Array(room * PARTS_MAX) });
  expect(published(reduce("split", most, 1000).judgement)).toHaveLength(PARTS_MAX);
  const more = makeMessage({ payload: new Uint8Array(room * PARTS_MAX + 1) });
  expect(reduce("split", more, 1000).judgement).toEqual({
    ...REFUSAL,
    detail: `too large; it would make ${PARTS_MAX + 1} parts, over ${PARTS_MAX}`,
  });
  const long = makeMessage({ topic: "x".repeat(1001), payload: counting(10) });
  expect(reduce("split", long, 1000)).toMatchObject({
    judgement: { ...REFUSAL, detail: expect.stringMatching(/^too large; in parts: \d+ bytes$/) },
    asked: 1,
  });
});
