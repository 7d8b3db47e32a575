// Which fields the messages of sparkplug_b.proto have, as far as it takes to check that every embedded message is whole: a
// birth that only we could read would be worth nothing to the host application. Unknown fields pass.
// Refuses a known field with another wire type, text that is not UTF-8, and messages nested too deep.
import { FieldReader, WIRE, type WireFault, type WireType } from "./fields.ts";

export type ShapeFault = WireFault | "field-type" | "text" | "too-deep";

/** Templates within templates; real ones have a handful of levels. */
export const DEPTH_MAX = 32;

type Kind = WireType | "text" | "packable" | (() => Shape);
type Shape = Readonly<Record<number, Kind>>;

const { varint, fixed32, fixed64, bytes } = WIRE;

/** Values of parameters, data set cells and properties, from their first field number on. */
function values(first: number): Shape {
  const kinds: Kind[] = [varint, varint, fixed32, fixed64, varint, "text"];
  return Object.fromEntries(kinds.map((kind, index) => [first + index, kind]));
}

/** Of it nobody knows the fields. */
const EXTENSION: Shape = {};
const PROPERTY_SET: Shape = { 1: "text", 2: () => PROPERTY_VALUE };
const PROPERTY_SET_LIST: Shape = { 1: () => PROPERTY_SET };
const PROPERTY_VALUE: Shape = {
  1: varint,
  2: varint,
  ...values(3),
  9: () => PROPERTY_SET,
  10: () => PROPERTY_SET_LIST,
  11: () => EXTENSION,
};
const CELL: Shape = { ...values(1), 7: () => EXTENSION };
const ROW: Shape = { 1: () => CELL };
const DATA_SET: Shape = { 1: varint, 2: "text", 3: "packable", 4: () => ROW };
const META_DATA: Shape = {
  1: varint,
  2: "text",
  3: varint,
  4: varint,
  5: "text",
  6: "text",
  7: "text",
  8: "text",
};
const PARAMETER: Shape = { 1: "text", 2: varint, ...values(3), 9: () => EXTENSION };
const TEMPLATE: Shape = { 1: "text", 2: () => METRIC, 3: () => PARAMETER, 4: "text", 5: varint };
export const METRIC: Shape = {
  1: "text",
  2: varint,
  3: varint,
  4: varint,
  5: varint,
  6: varint,
  7: varint,
  8: () => META_DATA,
  9: () => PROPERTY_SET,
  ...values(10),
  16: bytes,
  17: () => DATA_SET,
  18: () => TEMPLATE,
  19: () => EXTENSION,
};
export const PAYLOAD: Shape = { 1: varint, 2: () => METRIC, 3: varint, 4: "text", 5: bytes };

/** Why the field that `reader` stands on, of a message of this shape, cannot be read; undefined when it can. */
export function checkField(reader: FieldReader, shape: Shape, depth: number): ShapeFault | undefined {
  const kind = shape[reader.number];
  if (kind === undefined) return undefined;
  const { wireType } = reader;
  if (kind === "packable") {
    if (wireType === varint) return undefined;
    return wireType === bytes ? checkPacked(reader) : "field-type";
  }
  if (typeof kind === "number") return wireType === kind ? undefined : "field-type";
  if (wireType !== bytes) return "field-type";
  if (kind === "text") return isText(reader.bytes, reader.valueStart, reader.valueEnd) ? undefined : "text";
  if (depth >= DEPTH_MAX) return "too-deep";
  return checkMessage(reader.bytes, reader.valueStart, reader.valueEnd, kind(), depth + 1);
}

export function checkMessage(
  message: Uint8Array,
  start: number,
  end: number,
  shape: Shape,
  depth: number,
): ShapeFault | undefined {
  const reader = new FieldReader(message, start, end);
  while (reader.next()) {
    const fault = checkField(reader, shape, depth);
    if (fault !== undefined) return fault;
  }
  return reader.fault;
}

/** Numbers one behind the other without tags, as newer encoders write lists of them. */
function checkPacked({ bytes: message, valueStart, valueEnd }: FieldReader): ShapeFault | undefined {
  let length = 0;
  for (let at = valueStart; at < valueEnd; at++) {
    if (++length > 10) return "varint";
    if (((message[at] as number) & 0x80) === 0) length = 0;
  }
  return length === 0 ? undefined : "truncated";
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Most text is plain ASCII, and short. */
function isText(message: Uint8Array, start: number, end: number): boolean {
  return readText(message, start, end) !== undefined;
}

export function readText(message: Uint8Array, start: number, end: number): string | undefined {
  if (end - start <= 64) {
    let text = "";
    for (let at = start; ; at++) {
      if (at === end) return text;
      const byte = message[at] as number;
      if (byte >= 0x80) break;
      text += String.fromCharCode(byte);
    }
  }
  try {
    return decoder.decode(message.subarray(start, end));
  } catch {
    return undefined;
  }
}
