// Decodes the properties of an inbound PUBLISH [MQTT5 3.3.2.3]. Four of them cross the diode; the others (response
// topic, correlation data, subscription identifier) are checked and dropped.
// Malformed (the stream can't be trusted): unknown identifiers, lengths that don't fit, a property twice, a topic
// alias, since none was ever allowed. Refused (only this message): text that is not UTF-8, a payload format over 1.

import type { MessageProperties } from "../message.ts";
import { decodeText } from "./text.ts";

const PAYLOAD_FORMAT = 0x01;
const MESSAGE_EXPIRY = 0x02;
const CONTENT_TYPE = 0x03;
const RESPONSE_TOPIC = 0x08;
const CORRELATION_DATA = 0x09;
const SUBSCRIPTION_IDENTIFIER = 0x0b;
const TOPIC_ALIAS = 0x23;
const USER_PROPERTY = 0x26;

export type PropertiesDecoding =
  | { readonly kind: "properties"; readonly properties: MessageProperties | undefined; readonly end: number }
  | { readonly kind: "refused"; readonly reason: "property-text" | "payload-format"; readonly end: number }
  | { readonly kind: "malformed"; readonly reason: string };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const NONE = { kind: "properties", properties: undefined } as const;

/** Decodes the property length at `start` and the properties after it; none of it may reach beyond `limit`. */
export function decodePublishProperties(bytes: Buffer, start: number, limit: number): PropertiesDecoding {
  const length = decodeVariableByteInteger(bytes, start, limit);
  if (length === undefined) return malformed("property length is malformed");
  const end = length.end + length.value;
  if (end > limit) return malformed("properties are longer than the packet");
  if (length.value === 0) return { ...NONE, end };

  const found: Mutable<MessageProperties> = {};
  let userProperties: [string, string][] | undefined;
  let refused: "property-text" | "payload-format" | undefined;
  let seen = 0;
  let at = length.end;
  const text = (from: number, to: number): string => {
    const value = decodeText(bytes, from, to);
    if (value === undefined) refused ??= "property-text";
    return value ?? "";
  };
  while (at < end) {
    const id = bytes[at++] as number;
    if (id !== USER_PROPERTY && id !== SUBSCRIPTION_IDENTIFIER) {
      const bit = id < 0x20 ? 1 << id : 0;
      if ((seen & bit) !== 0) return malformed(`property ${id} is there twice`);
      seen |= bit;
    }
    let next: number;
    if (id === PAYLOAD_FORMAT) {
      next = at + 1;
      if (next > end) return cut(id);
      const format = bytes[at];
      if (format === 0 || format === 1) found.payloadFormat = format;
      else refused ??= "payload-format";
    } else if (id === MESSAGE_EXPIRY) {
      next = at + 4;
      if (next > end) return cut(id);
      found.messageExpirySeconds = bytes.readUInt32BE(at);
    } else if (id === SUBSCRIPTION_IDENTIFIER) {
      const identifier = decodeVariableByteInteger(bytes, at, end);
      if (identifier === undefined || identifier.value === 0)
        return malformed("subscription identifier is malformed");
      next = identifier.end;
    } else if (
      id === CONTENT_TYPE ||
      id === RESPONSE_TOPIC ||
      id === CORRELATION_DATA ||
      id === USER_PROPERTY
    ) {
      next = fieldEnd(bytes, at, end);
      if (next > end) return cut(id);
      const value = id === CORRELATION_DATA ? "" : text(at + 2, next);
      if (id === CONTENT_TYPE) found.contentType = value;
      if (id === USER_PROPERTY) {
        const valueEnd = fieldEnd(bytes, next, end);
        if (valueEnd > end) return cut(id);
        userProperties ??= [];
        userProperties.push([value, text(next + 2, valueEnd)]);
        next = valueEnd;
      }
    } else if (id === TOPIC_ALIAS) return malformed("has a topic alias although none was allowed");
    else return malformed(`property ${id} is unknown`);
    at = next;
  }
  if (refused !== undefined) return { kind: "refused", reason: refused, end };
  if (userProperties !== undefined) found.userProperties = userProperties;
  for (const _ in found) return { kind: "properties", properties: found, end };
  return { ...NONE, end };
}

function malformed(reason: string): PropertiesDecoding {
  return { kind: "malformed", reason };
}

function cut(id: number): PropertiesDecoding {
  return malformed(`property ${id} is cut short`);
}

/** Where a field with a two-byte length ends; beyond `end` when it doesn't fit. */
function fieldEnd(bytes: Buffer, at: number, end: number): number {
  return at + 2 > end ? end + 1 : at + 2 + bytes.readUInt16BE(at);
}

function decodeVariableByteInteger(
  bytes: Buffer,
  start: number,
  limit: number,
): { value: number; end: number } | undefined {
  let value = 0;
  for (let i = 0; i < 4 && start + i < limit; i++) {
    const byte = bytes[start + i] as number;
    value += (byte & 0x7f) * 128 ** i;
    if (byte >= 0x80) continue;
    // The shortest form is the only one [MQTT-1.5.5-1].
    return byte === 0 && i > 0 ? undefined : { value, end: start + i + 1 };
  }
  return undefined;
}
