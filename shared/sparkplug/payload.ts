// Takes a Sparkplug B payload apart [Sparkplug 3.0, 6.4]: what is needed to follow an edge node is read, everything else stays
// as the bytes it came in, so that rewrite.ts can put a payload together again bit by bit.
// Refuses what a decoder of sparkplug_b.proto would refuse, too many metrics, messages nested too deep, a seq beyond 255.
import { FieldReader } from "./fields.ts";
import { checkField, METRIC, PAYLOAD, readText, type ShapeFault } from "./shape.ts";

export const PAYLOAD_FIELD = { timestamp: 1, metrics: 2, seq: 3, uuid: 4, body: 5 } as const;
export const METRIC_FIELD = {
  name: 1,
  alias: 2,
  timestamp: 3,
  datatype: 4,
  isHistorical: 5,
  isTransient: 6,
  isNull: 7,
  metadata: 8,
  properties: 9,
  intValue: 10,
  longValue: 11,
  booleanValue: 14,
  stringValue: 15,
  bytesValue: 16,
  templateValue: 18,
  extensionValue: 19,
} as const;

export type PayloadFault = ShapeFault | "too-many-metrics" | "too-many-fields" | "seq-range";

/** Metrics of one payload. */
export const METRICS_MAX = 100_000;
/** Fields beside them; more than a handful are not known to anybody. */
const OTHER_FIELDS_MAX = 1000;
const SEQ_MAX = 255n;

export type Metric = {
  /** The message Metric without tag and length: a view of the payload. */
  readonly raw: Uint8Array;
  readonly name: string | undefined;
  readonly alias: bigint | undefined;
  /** Milliseconds since 1970, UTC. */
  readonly timestamp: bigint | undefined;
  readonly datatype: number | undefined;
  readonly isHistorical: boolean;
  readonly isTransient: boolean;
  readonly isNull: boolean;
  /** Of value fields (10 to 19) the last one; 0 = none. */
  readonly valueField: number;
  /** Has metadata, properties, a template or fields we do not know: what an older one of it says may still count. */
  readonly isComposite: boolean;
};

/** One field of the payload, in the order of the wire. */
export type Span = { readonly number: number; readonly start: number; readonly end: number };

export type Payload = {
  readonly bytes: Uint8Array;
  readonly timestamp: bigint | undefined;
  readonly metrics: readonly Metric[];
  /** 0 to 255. */
  readonly seq: number | undefined;
  readonly uuid: string | undefined;
  readonly body: Uint8Array | undefined;
  readonly spans: readonly Span[];
};

/** The parts of a payload, as views of `bytes`; or why it cannot be read. Never throws. */
export function parsePayload(bytes: Uint8Array): Payload | PayloadFault {
  const reader = new FieldReader(bytes);
  const metrics: Metric[] = [];
  const spans: Span[] = [];
  let timestamp: bigint | undefined;
  let seq: bigint | undefined;
  let uuid: string | undefined;
  let body: Uint8Array | undefined;
  while (reader.next()) {
    if (spans.length - metrics.length >= OTHER_FIELDS_MAX) return "too-many-fields";
    spans.push({ number: reader.number, start: reader.start, end: reader.valueEnd });
    if (reader.number === PAYLOAD_FIELD.metrics && reader.wireType === 2) {
      if (metrics.length >= METRICS_MAX) return "too-many-metrics";
      const metric = parseMetric(reader.value);
      if (typeof metric === "string") return metric;
      metrics.push(metric);
      continue;
    }
    const fault = checkField(reader, PAYLOAD, 0);
    if (fault !== undefined) return fault;
    if (reader.number === PAYLOAD_FIELD.timestamp) timestamp = reader.unsigned;
    else if (reader.number === PAYLOAD_FIELD.seq) seq = reader.unsigned;
    else if (reader.number === PAYLOAD_FIELD.uuid) uuid = readText(bytes, reader.valueStart, reader.valueEnd);
    else if (reader.number === PAYLOAD_FIELD.body) body = reader.value;
  }
  if (reader.fault !== undefined) return reader.fault;
  if (seq !== undefined && seq > SEQ_MAX) return "seq-range";
  return { bytes, timestamp, metrics, seq: seq === undefined ? undefined : Number(seq), uuid, body, spans };
}

/** `raw` is the message Metric without tag and length. */
export function parseMetric(raw: Uint8Array): Metric | PayloadFault {
  const reader = new FieldReader(raw);
  let name: string | undefined;
  let alias: bigint | undefined;
  let timestamp: bigint | undefined;
  let datatype: number | undefined;
  let isHistorical = false;
  let isTransient = false;
  let isNull = false;
  let isComposite = false;
  let valueField = 0;
  while (reader.next()) {
    const fault = checkField(reader, METRIC, 1);
    if (fault !== undefined) return fault;
    switch (reader.number) {
      case METRIC_FIELD.name:
        name = readText(raw, reader.valueStart, reader.valueEnd);
        break;
      case METRIC_FIELD.alias:
        alias = reader.unsigned;
        break;
      case METRIC_FIELD.timestamp:
        timestamp = reader.unsigned;
        break;
      case METRIC_FIELD.datatype:
        datatype = Number(reader.unsigned & 0xffff_ffffn);
        break;
      case METRIC_FIELD.isHistorical:
        isHistorical = reader.boolean;
        break;
      case METRIC_FIELD.isTransient:
        isTransient = reader.boolean;
        break;
      case METRIC_FIELD.isNull:
        isNull = reader.boolean;
        break;
      default:
        if (isValueField(reader.number)) valueField = reader.number;
        isComposite ||= reader.number < METRIC_FIELD.intValue || reader.number > METRIC_FIELD.bytesValue + 1;
    }
  }
  if (reader.fault !== undefined) return reader.fault;
  return {
    raw,
    name,
    alias,
    timestamp,
    datatype,
    isHistorical,
    isTransient,
    isNull,
    valueField,
    isComposite,
  };
}

export function isValueField(number: number): boolean {
  return number >= METRIC_FIELD.intValue && number <= METRIC_FIELD.extensionValue;
}

/** The whole number of a metric such as bdSeq, whichever of the two fields holds it. */
export function readLong(metric: Metric): bigint | undefined {
  const reader = new FieldReader(metric.raw);
  let value: bigint | undefined;
  while (reader.next())
    if (reader.number === METRIC_FIELD.longValue || reader.number === METRIC_FIELD.intValue)
      value = reader.unsigned;
  return metric.isNull ? undefined : value;
}

/** The truth of a metric such as "Node Control/Rebirth". */
export function readBoolean(metric: Metric): boolean | undefined {
  const reader = new FieldReader(metric.raw);
  let value: boolean | undefined;
  while (reader.next()) if (reader.number === METRIC_FIELD.booleanValue) value = reader.boolean;
  return metric.isNull ? undefined : value;
}
