// Puts payloads together again: other seq, other bdSeq, other values, names where there was an alias. Every field that is
// not meant to change is copied byte by byte, in its place, known or not.
import { encodeBytesField, encodeVarintField, FieldReader, joinBytes } from "./fields.ts";
import { isValueField, METRIC_FIELD, type Metric, PAYLOAD_FIELD, type Payload } from "./payload.ts";

export const DATATYPE = { int64: 4, uint64: 8, boolean: 11, string: 12, template: 19 } as const;

export type PayloadChanges = {
  /** null takes it out; undefined leaves it. */
  readonly timestamp?: bigint | null;
  readonly seq?: number | null;
  /** What becomes of each metric of the payload, by its index: other bytes (without tag and length), or null: it goes. */
  readonly metrics?: (metric: Metric, index: number) => Uint8Array | null;
  /** Metrics that come behind the others, without tag and length. */
  readonly moreMetrics?: readonly Uint8Array[];
  /** Fields of these numbers are taken out. */
  readonly dropFields?: readonly number[];
  /** Whole fields that come last. */
  readonly moreFields?: readonly Uint8Array[];
};

export function rewritePayload(payload: Payload, changes: PayloadChanges): Uint8Array {
  const { timestamp, seq, dropFields = [] } = changes;
  const pieces: Uint8Array[] = [];
  const scalars = [
    { number: PAYLOAD_FIELD.timestamp, value: timestamp, isDone: false },
    { number: PAYLOAD_FIELD.seq, value: seq, isDone: false },
  ];
  let index = 0;
  for (const { number, start, end } of payload.spans) {
    if (dropFields.includes(number)) {
      if (number === PAYLOAD_FIELD.metrics) index++;
      continue;
    }
    const scalar = scalars.find((one) => one.number === number);
    if (number === PAYLOAD_FIELD.metrics) {
      const metric = payload.metrics[index] as Metric;
      const raw = changes.metrics === undefined ? metric.raw : changes.metrics(metric, index);
      index++;
      if (raw === metric.raw) pieces.push(payload.bytes.subarray(start, end));
      else if (raw !== null) pieces.push(encodeBytesField(PAYLOAD_FIELD.metrics, raw));
    } else if (scalar?.value === undefined) pieces.push(payload.bytes.subarray(start, end));
    else if (!scalar.isDone) {
      scalar.isDone = true;
      if (scalar.value !== null) pieces.push(encodeVarintField(number, scalar.value));
    }
  }
  for (const raw of changes.moreMetrics ?? []) pieces.push(encodeBytesField(PAYLOAD_FIELD.metrics, raw));
  for (const { number, value, isDone } of scalars)
    if (!isDone && value !== undefined && value !== null) pieces.push(encodeVarintField(number, value));
  return joinBytes([...pieces, ...(changes.moreFields ?? [])]);
}

/** The metric with this name, put first; a name that it has goes. */
export function setName(raw: Uint8Array, name: string): Uint8Array {
  return replaceFields(raw, [METRIC_FIELD.name], [encodeBytesField(METRIC_FIELD.name, name)], true);
}

/** The metric without its alias. */
export function dropAlias(raw: Uint8Array): Uint8Array {
  return replaceFields(raw, [METRIC_FIELD.alias], []);
}

/** The metric with this timestamp. */
export function setTimestamp(raw: Uint8Array, timestamp: bigint): Uint8Array {
  const field = encodeVarintField(METRIC_FIELD.timestamp, timestamp);
  return replaceFields(raw, [METRIC_FIELD.timestamp], [field]);
}

/** The metric with a whole number as its value (field long_value), such as bdSeq. */
export function setLong(raw: Uint8Array, value: bigint): Uint8Array {
  const old = VALUE_FIELDS;
  return replaceFields(raw, old, [encodeVarintField(METRIC_FIELD.longValue, value)]);
}

/** The metric flagged as history. */
export function setHistorical(raw: Uint8Array): Uint8Array {
  return replaceFields(raw, [METRIC_FIELD.isHistorical], [encodeVarintField(METRIC_FIELD.isHistorical, 1)]);
}

export type NewMetric = {
  readonly name: string;
  readonly timestamp: bigint;
  readonly value: boolean | bigint | string;
};

/** A metric of our own: the command to be born again, a bdSeq. Without tag and length. */
export function encodeMetric({ name, timestamp, value }: NewMetric): Uint8Array {
  const datatype =
    typeof value === "boolean"
      ? DATATYPE.boolean
      : typeof value === "bigint"
        ? DATATYPE.int64
        : DATATYPE.string;
  return joinBytes([
    encodeBytesField(METRIC_FIELD.name, name),
    encodeVarintField(METRIC_FIELD.timestamp, timestamp),
    encodeVarintField(METRIC_FIELD.datatype, datatype),
    typeof value === "string"
      ? encodeBytesField(METRIC_FIELD.stringValue, value)
      : typeof value === "bigint"
        ? encodeVarintField(METRIC_FIELD.longValue, value)
        : encodeVarintField(METRIC_FIELD.booleanValue, value ? 1 : 0),
  ]);
}

/** A payload of our own. Without seq it is a command or a death of a node. */
export function encodePayload(
  timestamp: bigint,
  metrics: readonly Uint8Array[],
  seq: number | undefined,
): Uint8Array {
  return joinBytes([
    encodeVarintField(PAYLOAD_FIELD.timestamp, timestamp),
    ...metrics.map((raw) => encodeBytesField(PAYLOAD_FIELD.metrics, raw)),
    ...(seq === undefined ? [] : [encodeVarintField(PAYLOAD_FIELD.seq, seq)]),
  ]);
}

const VALUE_FIELDS = [METRIC_FIELD.isNull, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];

/** Puts `fields` where the first of the fields `numbers` was (at the end when there was none), and takes those out. */
function replaceFields(
  raw: Uint8Array,
  numbers: readonly number[],
  fields: readonly Uint8Array[],
  isFirst = false,
): Uint8Array {
  const pieces: Uint8Array[] = isFirst ? [...fields] : [];
  let isDone = isFirst;
  const reader = new FieldReader(raw);
  while (reader.next()) {
    if (!numbers.includes(reader.number)) pieces.push(reader.raw);
    else if (!isDone) {
      isDone = true;
      pieces.push(...fields);
    }
  }
  if (!isDone) pieces.push(...fields);
  return joinBytes(pieces);
}

/** Whether the metric has a value or says that it is null. */
export function hasValue(metric: Metric): boolean {
  return metric.isNull || isValueField(metric.valueField);
}
