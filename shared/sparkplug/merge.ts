// What a metric is after a DATA message has changed it: name, alias, type, metadata and properties of the birth, and of the
// message value, timestamp and flags, and what else it brings. Works on bytes, so that whatever nobody named stays as it was.
//
//   properties  by key; "Quality" that the message does not name goes: what has none is GOOD [Sparkplug 3.0, Quality Codes]
//   template    by member and parameter: a message may have only some [tck-id-payloads-template-instance-members-data]
//   data set    whole
import { encodeBytesField, FieldReader, joinBytes } from "./fields.ts";
import { isValueField, METRIC_FIELD } from "./payload.ts";
import { readText } from "./shape.ts";

const TEMPLATE_FIELD = { metrics: 2, parameters: 3 } as const;
const PROPERTIES_FIELD = { keys: 1, values: 2 } as const;
const QUALITY = "Quality";
const { name, alias, datatype, isHistorical, isNull, properties, templateValue } = METRIC_FIELD;

type Piece = { readonly number: number; readonly raw: Uint8Array; readonly value: Uint8Array };

/**
 * Both are messages Metric that parseMetric() has found whole; so is the result, which shares no memory with them. Takes time
 * and space in proportion to both, whatever they repeat.
 */
export function mergeMetric(base: Uint8Array, update: Uint8Array): Uint8Array {
  const old = listPieces(base);
  const fresh = listPieces(update);
  const has = numbersOf(old);
  const isFresh = numbersOf(fresh);
  const oldTemplate = joinValues(old, templateValue);
  const freshProperties = joinValues(fresh, properties);
  const lastValue = fresh.findLast((piece) => isValueField(piece.number));
  let areMerged = false;
  const out: Uint8Array[] = [];
  for (const { number, raw, value } of old) {
    if (number === properties) {
      // Whoever decodes takes several for one.
      if (areMerged) continue;
      areMerged = true;
      const whole = joinValues(old, properties) as Uint8Array;
      const merged = mergeProperties(whole, freshProperties);
      if (merged !== undefined) out.push(merged === value ? raw : encodeBytesField(properties, merged));
    } else if (number === name || number === alias || number === datatype) out.push(raw);
    else if (isValueField(number) || number === isNull || number === isHistorical) continue;
    else if (!isFresh.has(number)) out.push(raw);
  }
  for (const piece of fresh) {
    const { number, raw } = piece;
    if (number === name || number === alias || number === datatype || number === properties) {
      if (!has.has(number)) out.push(raw);
    } else if (!isValueField(number)) out.push(raw);
    else if (piece === lastValue) {
      const template = number === templateValue ? joinValues(fresh, templateValue) : undefined;
      out.push(
        template !== undefined && oldTemplate !== undefined
          ? encodeBytesField(templateValue, mergeTemplate(oldTemplate, template))
          : raw,
      );
    }
  }
  return joinBytes(out);
}

function numbersOf(pieces: readonly Piece[]): ReadonlySet<number> {
  return new Set(pieces.map(({ number }) => number));
}

/** Of an embedded message that comes several times: one behind the other is what decoders make of them. */
function joinValues(pieces: readonly Piece[], number: number): Uint8Array | undefined {
  const values = pieces.filter((piece) => piece.number === number).map(({ value }) => value);
  return values.length < 2 ? values[0] : joinBytes(values);
}

function listPieces(message: Uint8Array): Piece[] {
  const pieces: Piece[] = [];
  const reader = new FieldReader(message);
  while (reader.next()) pieces.push({ number: reader.number, raw: reader.raw, value: reader.value });
  return pieces;
}

function mergeTemplate(base: Uint8Array, update: Uint8Array): Uint8Array {
  const old = listPieces(base);
  const fresh = listPieces(update);
  const isFresh = numbersOf(fresh);
  // Of those that are told twice the last one counts.
  const told = new Map<string, Piece>();
  for (const piece of fresh) if (isMember(piece)) told.set(readKey(piece), piece);
  const used = new Set<Piece>();
  const out: Uint8Array[] = [];
  for (const piece of old) {
    const { number, raw, value } = piece;
    if (!isMember(piece)) {
      if (!isFresh.has(number)) out.push(raw);
      continue;
    }
    const twin = told.get(readKey(piece));
    if (twin === undefined) out.push(raw);
    else if (!used.has(twin)) {
      used.add(twin);
      const isMetric = number === TEMPLATE_FIELD.metrics;
      out.push(isMetric ? encodeBytesField(number, mergeMetric(value, twin.value)) : twin.raw);
    }
  }
  const isNew = (piece: Piece) =>
    !isMember(piece) || (told.get(readKey(piece)) === piece && !used.has(piece));
  return joinBytes([...out, ...fresh.filter(isNew).map(({ raw }) => raw)]);
}

function isMember({ number }: Piece): boolean {
  return number === TEMPLATE_FIELD.metrics || number === TEMPLATE_FIELD.parameters;
}

/** Which member or parameter it is: its name; of one without it the alias. */
function readKey({ number, value: message }: Piece): string {
  const reader = new FieldReader(message);
  let key = `${number}`;
  while (reader.next()) {
    if (reader.number === name && reader.wireType === 2)
      return `${number} name ${readText(message, reader.valueStart, reader.valueEnd)}`;
    if (reader.number === alias && reader.wireType === 0) key = `${number} alias ${reader.unsigned}`;
  }
  return key;
}

/** The same object when nothing changes, undefined when nothing is left. */
function mergeProperties(base: Uint8Array, update: Uint8Array | undefined): Uint8Array | undefined {
  const old = readProperties(base);
  const fresh = update === undefined ? EMPTY : readProperties(update);
  // Keys and values that do not pair up mean nothing to anyone: the newer bytes stand as they are.
  if (old === undefined || fresh === undefined) return update ?? base;
  const dropsQuality = old.values.has(QUALITY) && !fresh.values.has(QUALITY);
  if (update === undefined && !dropsQuality) return base;
  const values = new Map(old.values);
  if (dropsQuality) values.delete(QUALITY);
  for (const [key, value] of fresh.values) values.set(key, value);
  const rest = [...old.rest, ...fresh.rest];
  if (values.size === 0 && rest.length === 0) return undefined;
  return joinBytes([
    ...[...values.keys()].map((key) => encodeBytesField(PROPERTIES_FIELD.keys, key)),
    ...[...values.values()],
    ...rest,
  ]);
}

type Properties = {
  /** The whole field of the value, by key. */
  readonly values: ReadonlyMap<string, Uint8Array>;
  readonly rest: readonly Uint8Array[];
};

const EMPTY: Properties = { values: new Map(), rest: [] };

function readProperties(message: Uint8Array): Properties | undefined {
  const keys: string[] = [];
  const values: Uint8Array[] = [];
  const rest: Uint8Array[] = [];
  const reader = new FieldReader(message);
  while (reader.next()) {
    if (reader.number === PROPERTIES_FIELD.keys)
      keys.push(readText(message, reader.valueStart, reader.valueEnd) ?? "");
    else if (reader.number === PROPERTIES_FIELD.values) values.push(reader.raw);
    else rest.push(reader.raw);
  }
  if (keys.length !== values.length) return undefined;
  return { values: new Map(keys.map((key, index) => [key, values[index] as Uint8Array])), rest };
}
