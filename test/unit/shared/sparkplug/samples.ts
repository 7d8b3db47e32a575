// Sparkplug payloads for tests: from the Eclipse project's own JavaScript encoder, which is the twin of our reader, and random
// ones with everything that a payload may hold, unknown fields and numbers written long among them.
import proto from "sparkplug-payload/lib/sparkplugPayloadProto.js";
import { type Payload, parsePayload } from "../../../../shared/sparkplug/payload.ts";
import type { Random } from "../../../sim/random.ts";

export const Twin = proto.org.eclipse.tahu.protobuf.Payload;
export type TwinPayload = ConstructorParameters<typeof Twin>[0];

export function encode(payload: TwinPayload): Uint8Array {
  return new Uint8Array(Twin.encode(Twin.fromObject(payload as object)).finish());
}

export function decode(bytes: Uint8Array): Record<string, unknown> {
  return Twin.toObject(Twin.decode(bytes), { longs: String, bytes: String });
}

export function parse(bytes: Uint8Array): Payload {
  const payload = parsePayload(bytes);
  if (typeof payload === "string") throw new Error(`the payload is refused: ${payload}`);
  return payload;
}

type Json = Record<string, unknown>;

/** A metric as an object for encode(); `depth` is how many levels of templates it may have. */
export function makeMetric(random: Random, depth = 2): Json {
  const metric: Json = {};
  const often = () => random.below(4) > 0;
  if (often()) metric.name = `folder/${random.below(50)} ü`;
  if (often()) metric.alias = random.below(1000);
  if (often()) metric.timestamp = 1_700_000_000_000 + random.below(100_000);
  if (often()) metric.datatype = random.below(35);
  for (const flag of ["isHistorical", "isTransient", "isNull"])
    if (random.below(4) === 0) metric[flag] = random.below(2) === 0;
  if (random.below(4) === 0)
    metric.metadata = { contentType: "text/plain", size: random.below(9999), md5: "ab" };
  if (random.below(3) === 0) metric.properties = makeProperties(random, 2);
  const value = random.below(depth > 0 ? 10 : 8);
  if (value === 0) metric.intValue = random.bits();
  if (value === 1) metric.longValue = random.bits() * 4096;
  if (value === 2) metric.floatValue = random.below(1000) / 4;
  if (value === 3) metric.doubleValue = random.below(1_000_000) / 7;
  if (value === 4) metric.booleanValue = random.below(2) === 0;
  if (value === 5) metric.stringValue = "x".repeat(random.below(300));
  if (value === 6) metric.bytesValue = Buffer.alloc(random.below(40), 0xfe);
  if (value === 7)
    metric.datasetValue = {
      numOfColumns: 2,
      columns: ["a", "b"],
      types: [3, 12],
      rows: [{ elements: [{ intValue: random.bits() }, { stringValue: "r" }] }, { elements: [] }],
    };
  if (value >= 8)
    metric.templateValue = {
      version: "1.0",
      templateRef: "motor",
      isDefinition: random.below(2) === 0,
      metrics: Array.from({ length: random.below(4) }, () => makeMetric(random, depth - 1)),
      parameters: [{ name: "p", type: 3, intValue: random.below(9) }],
    };
  return metric;
}

function makeProperties(random: Random, depth: number): Json {
  const keys = ["engUnit", "Quality", "low", "nested"].filter(() => random.below(2) === 0);
  return {
    keys,
    values: keys.map((key) =>
      key === "nested" && depth > 0
        ? { type: 20, propertysetValue: makeProperties(random, depth - 1) }
        : { type: 3, intValue: random.below(500), isNull: random.below(5) === 0 },
    ),
  };
}

export function makePayload(random: Random): Uint8Array {
  const bytes = encode({
    timestamp: 1_700_000_000_000 + random.below(100_000),
    metrics: Array.from({ length: random.below(6) }, () => makeMetric(random)),
    ...(random.below(4) > 0 ? { seq: random.below(256) } : {}),
    ...(random.below(4) === 0 ? { uuid: "schema" } : {}),
    ...(random.below(4) === 0 ? { body: Buffer.from([1, 2, 3]) } : {}),
  });
  // What the encoder never writes but any peer may: fields of a later version, and a seq in more bytes than it needs.
  const extension = random.below(2) === 0 ? [0x9a, 0x06, 2, 0xca, 0xfe] : [];
  const long = random.below(4) === 0 ? [0x18, 0x85, 0x80, 0x00] : [];
  return Uint8Array.from([...extension, ...bytes, ...long]);
}
