// Decodes what a broker answers to our PUBLISH and PUBREL: PUBACK, PUBREC and PUBCOMP [MQTT5 3.4, 3.5, 3.7].
// Strict in form (lengths, properties, UTF-8), lenient in one point: a reason code the specification doesn't list
// is taken for what its highest bit says, success or failure.

import { decodeText } from "./text.ts";

export const PUBACK_TYPE = 4;
export const PUBREC_TYPE = 5;
export const PUBCOMP_TYPE = 7;

export type AckType = typeof PUBACK_TYPE | typeof PUBREC_TYPE | typeof PUBCOMP_TYPE;
export type Ack = {
  readonly packetId: number;
  /** 0x80 and above: the broker does not take the message. Always 0 in MQTT 3.1.1. */
  readonly code: number;
  /** What the broker adds for people, cut to 200 characters. */
  readonly text: string | undefined;
};

const ACK_NAMES: Readonly<Record<AckType, string>> = { 4: "PUBACK", 5: "PUBREC", 7: "PUBCOMP" };
const REASON_STRING = 0x1f;
const USER_PROPERTY = 0x26;
const TEXT_CHARACTERS_MAX = 200;
const REASON_NAMES: Readonly<Record<number, string>> = {
  128: "unspecified error",
  131: "implementation specific error",
  135: "not authorized",
  144: "topic name invalid",
  145: "packet identifier in use",
  146: "packet identifier not found",
  151: "quota exceeded",
  153: "payload format invalid",
};

/** Decodes the body bytes[start, end); a string says what is malformed. */
export function decodeAck(
  version: 4 | 5,
  type: AckType,
  bytes: Buffer,
  start: number,
  end: number,
): Ack | string {
  const name = ACK_NAMES[type];
  const length = end - start;
  if (length < 2 || (length > 2 && version === 4)) return `${name} has a body of ${length} bytes`;
  const packetId = bytes.readUInt16BE(start);
  if (packetId === 0) return `${name} has the packet identifier 0`;
  const code = length === 2 ? 0 : (bytes[start + 2] as number);
  // The property length may be left out when there is none [MQTT5 3.4.2.2.1].
  if (length <= 3) return { packetId, code, text: undefined };
  const found = decodeProperties(bytes, start + 3, end);
  return typeof found === "string" ? `${name}: ${found}` : { packetId, code, text: found.text };
}

/** "PUBACK", for sentences. */
export function ackName(type: AckType): string {
  return ACK_NAMES[type];
}

/** A reason for people: `not authorized (0x87)`, with the broker's own words after it. */
export function describeReason(code: number, text: string | undefined): string {
  const known = `${REASON_NAMES[code] ?? "unknown reason"} (0x${code.toString(16).padStart(2, "0")})`;
  return text === undefined || text === "" ? known : `${known}: ${text}`;
}

function decodeProperties(bytes: Buffer, start: number, end: number): { text: string | undefined } | string {
  const length = readLength(bytes, start, end);
  if (length === undefined) return "property length is malformed";
  if (length.end + length.value !== end) return "properties do not end where the packet ends";
  let text: string | undefined;
  for (let at = length.end; at < end; ) {
    const id = bytes[at++] as number;
    if (id !== REASON_STRING && id !== USER_PROPERTY) return `property ${id} is unknown`;
    if (id === REASON_STRING && text !== undefined) return `property ${id} is there twice`;
    for (let left = id === USER_PROPERTY ? 2 : 1; left > 0; left--) {
      const textEnd = at + 2 > end ? end + 1 : at + 2 + bytes.readUInt16BE(at);
      if (textEnd > end) return `property ${id} is cut short`;
      const value = decodeText(bytes, at + 2, textEnd);
      if (value === undefined) return `property ${id} is not UTF-8`;
      if (id === REASON_STRING) text = clean(value);
      at = textEnd;
    }
  }
  return { text };
}

/** A stranger's words, fit for a line of a log. */
function clean(text: string): string {
  return text.replaceAll(/\p{C}/gu, "?").slice(0, TEXT_CHARACTERS_MAX);
}

function readLength(bytes: Buffer, start: number, end: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let i = 0; i < 4 && start + i < end; i++) {
    const byte = bytes[start + i] as number;
    value += (byte & 0x7f) * 128 ** i;
    if (byte >= 0x80) continue;
    // The shortest form is the only one [MQTT-1.5.5-1].
    return byte === 0 && i > 0 ? undefined : { value, end: start + i + 1 };
  }
  return undefined;
}
