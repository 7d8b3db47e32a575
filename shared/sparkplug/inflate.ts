// Opens a payload that came compressed, as MQTT Transmission and the client libraries send it when told to: uuid
// "SPBV1.0_COMPRESSED", the real payload in `body`, and a metric "algorithm" with DEFLATE or GZIP.
// Refuses other algorithms, damaged data, and what would grow beyond the bound.
import { gunzipSync, inflateSync } from "node:zlib";
import { FieldReader } from "./fields.ts";
import { METRIC_FIELD, type Payload, type PayloadFault, parsePayload } from "./payload.ts";

const COMPRESSED = "SPBV1.0_COMPRESSED";
const INFLATED_BYTES_MAX = 67_108_864;
/** What is more is no payload; births full of like names come to some 30. */
const INFLATION_MAX = 100;
/** A small one may be smaller than that. */
const INFLATED_BYTES_ALLOWED = 1_048_576;

export type OpenFault = PayloadFault | "compression" | "compression-algorithm";

/** The payload, the inner one where it was compressed. Never throws. */
export function openPayload(bytes: Uint8Array): Payload | OpenFault {
  const outer = parsePayload(bytes);
  if (typeof outer === "string" || outer.uuid !== COMPRESSED) return outer;
  if (outer.body === undefined) return "compression";
  const algorithm = readAlgorithm(outer);
  if (algorithm !== "DEFLATE" && algorithm !== "GZIP") return "compression-algorithm";
  let inner: Uint8Array;
  try {
    const open = algorithm === "GZIP" ? gunzipSync : inflateSync;
    const mostBytes = Math.max(INFLATED_BYTES_ALLOWED, INFLATION_MAX * outer.body.length);
    inner = open(outer.body, { maxOutputLength: Math.min(INFLATED_BYTES_MAX, mostBytes) });
  } catch {
    return "compression";
  }
  return parsePayload(inner);
}

/** DEFLATE when it does not say. */
function readAlgorithm({ metrics }: Payload): string {
  const metric = metrics.find(({ name }) => name?.toLowerCase() === "algorithm");
  if (metric === undefined) return "DEFLATE";
  const reader = new FieldReader(metric.raw);
  while (reader.next())
    if (reader.number === METRIC_FIELD.stringValue) return Buffer.from(reader.value).toString().toUpperCase();
  return "";
}
