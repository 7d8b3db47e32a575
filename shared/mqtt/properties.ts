// Decodes the properties of any packet that a client sends to a server [MQTT5 2.2.2], strictly. Malformed: a length that
// does not fit, an unknown identifier, text that is not UTF-8, a value that its type does not have. Protocol error: a
// property that the packet must not have, one that is there twice, a value that the specification forbids.
import { breach, type Flaw, isFlaw, malformed } from "./flaw.ts";
import { decodeText } from "./text.ts";

export type Properties = {
  payloadFormat?: 0 | 1;
  messageExpirySeconds?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Uint8Array;
  subscriptionIdentifier?: number;
  sessionExpirySeconds?: number;
  authenticationMethod?: string;
  authenticationData?: Uint8Array;
  requestProblemInformation?: boolean;
  willDelaySeconds?: number;
  requestResponseInformation?: boolean;
  reasonString?: string;
  receiveMaximum?: number;
  topicAliasMaximum?: number;
  topicAlias?: number;
  userProperties?: [string, string][];
  maximumPacketSize?: number;
};

export const PROPERTY = {
  payloadFormat: 0x01,
  messageExpiry: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  sessionExpiry: 0x11,
  assignedClientIdentifier: 0x12,
  serverKeepAlive: 0x13,
  authenticationMethod: 0x15,
  authenticationData: 0x16,
  requestProblemInformation: 0x17,
  willDelay: 0x18,
  requestResponseInformation: 0x19,
  serverReference: 0x1c,
  reasonString: 0x1f,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  userProperty: 0x26,
  maximumPacketSize: 0x27,
} as const;

const KNOWN = new Set<number>([
  ...Object.values(PROPERTY),
  // Of packets that only a server sends.
  ...[0x1a, 0x24, 0x25, 0x28, 0x29, 0x2a],
]);

/** The identifiers that a packet may have, as a set of bits: all are below 64. */
export type PropertySet = { readonly low: number; readonly high: number };

export function propertySet(...ids: readonly number[]): PropertySet {
  let low = 0;
  let high = 0;
  for (const id of ids) {
    if (id < 32) low |= 1 << id;
    else high |= 1 << (id - 32);
  }
  return { low, high };
}

export type Decoded = { readonly properties: Properties | undefined; readonly end: number };

/** Decodes the property length at `start` and the properties after it; none of it may reach beyond `limit`. */
export function decodeProperties(
  bytes: Buffer,
  start: number,
  limit: number,
  allowed: PropertySet,
): Decoded | Flaw {
  const length = decodeVariableByteInteger(bytes, start, limit);
  if (length === undefined) return malformed("the property length is malformed");
  const end = length.end + length.value;
  if (end > limit) return malformed("the properties are longer than the packet");
  if (length.value === 0) return { properties: undefined, end };
  const properties: Properties = {};
  let low = 0;
  let high = 0;
  for (let at = length.end; at < end; ) {
    const id = bytes[at++] as number;
    if (id >= 64 || !KNOWN.has(id)) return malformed(`the property 0x${id.toString(16)} is unknown`);
    const bit = 1 << (id & 31);
    if (((id < 32 ? allowed.low : allowed.high) & bit) === 0)
      return breach(`the property 0x${id.toString(16)} does not belong in this packet`);
    if (((id < 32 ? low : high) & bit) !== 0 && id !== PROPERTY.userProperty)
      return breach(`the property 0x${id.toString(16)} is there twice`);
    if (id < 32) low |= bit;
    else high |= bit;
    const next = readProperty(properties, id, bytes, at, end);
    if (typeof next !== "number") return next;
    at = next;
  }
  return { properties, end };
}

/** Where the next property begins. */
function readProperty(out: Properties, id: number, bytes: Buffer, at: number, end: number): number | Flaw {
  const number = (size: 1 | 2 | 4): number | Flaw => (at + size > end ? cut(id) : bytes.readUIntBE(at, size));
  const flag = (): boolean | Flaw => {
    const value = number(1);
    if (typeof value !== "number") return value;
    return value > 1 ? breach(`the property 0x${id.toString(16)} is ${value}, must be 0 or 1`) : value === 1;
  };
  switch (id) {
    case PROPERTY.payloadFormat: {
      const value = flag();
      if (typeof value !== "boolean") return value;
      out.payloadFormat = value ? 1 : 0;
      return at + 1;
    }
    case PROPERTY.requestProblemInformation:
    case PROPERTY.requestResponseInformation: {
      const value = flag();
      if (typeof value !== "boolean") return value;
      if (id === PROPERTY.requestProblemInformation) out.requestProblemInformation = value;
      else out.requestResponseInformation = value;
      return at + 1;
    }
    case PROPERTY.receiveMaximum:
    case PROPERTY.topicAliasMaximum:
    case PROPERTY.topicAlias: {
      const value = number(2);
      if (typeof value !== "number") return value;
      if (id === PROPERTY.topicAliasMaximum) out.topicAliasMaximum = value;
      else if (id === PROPERTY.topicAlias) out.topicAlias = value;
      else if (value === 0) return breach("the receive maximum is 0");
      else out.receiveMaximum = value;
      return at + 2;
    }
    case PROPERTY.messageExpiry:
    case PROPERTY.sessionExpiry:
    case PROPERTY.willDelay:
    case PROPERTY.maximumPacketSize: {
      const value = number(4);
      if (typeof value !== "number") return value;
      if (id === PROPERTY.messageExpiry) out.messageExpirySeconds = value;
      else if (id === PROPERTY.sessionExpiry) out.sessionExpirySeconds = value;
      else if (id === PROPERTY.willDelay) out.willDelaySeconds = value;
      else if (value === 0) return breach("the maximum packet size is 0");
      else out.maximumPacketSize = value;
      return at + 4;
    }
    case PROPERTY.subscriptionIdentifier: {
      const value = decodeVariableByteInteger(bytes, at, end);
      if (value === undefined) return malformed("the subscription identifier is malformed");
      if (value.value === 0) return breach("the subscription identifier is 0");
      out.subscriptionIdentifier = value.value;
      return value.end;
    }
    case PROPERTY.correlationData:
    case PROPERTY.authenticationData: {
      const next = fieldEnd(bytes, at, end);
      if (next > end) return cut(id);
      const value = bytes.subarray(at + 2, next);
      if (id === PROPERTY.correlationData) out.correlationData = value;
      else out.authenticationData = value;
      return next;
    }
    case PROPERTY.userProperty: {
      const name = readText(bytes, at, end);
      if (isFlaw(name)) return name;
      const value = readText(bytes, name.end, end);
      if (isFlaw(value)) return value;
      out.userProperties ??= [];
      out.userProperties.push([name.text, value.text]);
      return value.end;
    }
    default: {
      const value = readText(bytes, at, end);
      if (isFlaw(value)) return value;
      if (id === PROPERTY.contentType) out.contentType = value.text;
      else if (id === PROPERTY.responseTopic) out.responseTopic = value.text;
      else if (id === PROPERTY.authenticationMethod) out.authenticationMethod = value.text;
      else out.reasonString = value.text;
      return value.end;
    }
  }
}

function cut(id: number): Flaw {
  return malformed(`the property 0x${id.toString(16)} is cut short`);
}

/** A text with its two-byte length. */
export function readText(bytes: Buffer, at: number, end: number): { text: string; end: number } | Flaw {
  const next = fieldEnd(bytes, at, end);
  if (next > end) return malformed("a text is longer than the packet");
  const text = decodeText(bytes, at + 2, next);
  return text === undefined ? malformed("a text is not valid UTF-8") : { text, end: next };
}

/** Where a field with a two-byte length ends; beyond `end` when it doesn't fit. */
export function fieldEnd(bytes: Buffer, at: number, end: number): number {
  return at + 2 > end ? end + 1 : at + 2 + bytes.readUInt16BE(at);
}

export function decodeVariableByteInteger(
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
