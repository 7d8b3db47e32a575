// Encodes an outbound PUBLISH [MQTT5 3.3, MQTT 3.1.1 3.3] in two steps: measure once, then write its head (all but
// the payload) where the caller wants it, as often as it is sent. User properties keep the publisher's order, which
// MQTT 5 demands of every hop [MQTT-3.3.2-18]; MQTT 3.1.1 has no properties, so there they are left out.
// Refuses texts over 65,535 bytes. That topic and texts are valid MQTT is the message's own promise.

import { countPayloadBytes, type Message, type MessageProperties, type Qos } from "../message.ts";

/** What the remaining length can say at most, and the header in front of it [MQTT5 2.1.4]. */
export const PACKET_BYTES_MAX = 268_435_455 + 5;
const TEXT_BYTES_MAX = 65_535;
const SHORT_TEXT = 64;
const PUBLISH = 0x30;
const PAYLOAD_FORMAT = 0x01;
const MESSAGE_EXPIRY = 0x02;
const CONTENT_TYPE = 0x03;
const USER_PROPERTY = 0x26;

export type PublishSizes = {
  readonly topicBytes: number;
  /** Without the property length in front of them. */
  readonly propertyBytes: number;
  /** All after the fixed header, but for the packet identifier, which only QoS 1 and 2 have. */
  readonly bodyBytes: number;
};

/** How a message goes out this time. */
export type PublishSending = {
  readonly qos: Qos;
  readonly retain: boolean;
  /** Left out at QoS 0, where it is forbidden [MQTT-3.3.1-2]. */
  readonly dup: boolean;
  /** 1 to 65,535; unused at QoS 0. */
  readonly packetId: number;
  /** In place of the message's own, which has been running meanwhile; unused when the message has none. */
  readonly expirySeconds: number;
};

/** Undefined when a text is longer than MQTT can say. */
export function measurePublish(version: 4 | 5, message: Message): PublishSizes | undefined {
  const { topic, properties } = message;
  const topicBytes = countTextBytes(topic);
  if (topicBytes > TEXT_BYTES_MAX) return undefined;
  const bodyBytes = 2 + topicBytes + countPayloadBytes(message);
  if (version === 4) return { topicBytes, propertyBytes: 0, bodyBytes };
  const propertyBytes = properties === undefined ? 0 : measureProperties(properties);
  if (propertyBytes === undefined) return undefined;
  return {
    topicBytes,
    propertyBytes,
    bodyBytes: bodyBytes + countLengthBytes(propertyBytes) + propertyBytes,
  };
}

/** The whole packet, with its fixed header. */
export function countPacketBytes({ bodyBytes }: PublishSizes, qos: Qos): number {
  const remaining = qos === 0 ? bodyBytes : bodyBytes + 2;
  return 1 + countLengthBytes(remaining) + remaining;
}

/** Writes all of the packet but its payload at `start` of `out`, which has room for it; returns where it ends. */
export function encodePublishHead(
  version: 4 | 5,
  message: Message,
  sizes: PublishSizes,
  sending: PublishSending,
  out: Buffer,
  start: number,
): number {
  const { qos } = sending;
  let at = start;
  out[at++] = PUBLISH | (sending.dup && qos > 0 ? 8 : 0) | (qos << 1) | (sending.retain ? 1 : 0);
  at = encodeLength(out, at, qos === 0 ? sizes.bodyBytes : sizes.bodyBytes + 2);
  at = encodeText(out, at, message.topic, sizes.topicBytes);
  if (qos > 0) at = encodeUint16(out, at, sending.packetId);
  if (version === 4) return at;
  at = encodeLength(out, at, sizes.propertyBytes);
  const { properties } = message;
  return properties === undefined ? at : encodeProperties(properties, sending.expirySeconds, out, at);
}

function measureProperties(properties: MessageProperties): number | undefined {
  let bytes = 0;
  let longest = 0;
  const countText = (text: string) => {
    const length = Buffer.byteLength(text);
    longest = Math.max(longest, length);
    bytes += 2 + length;
  };
  if (properties.payloadFormat !== undefined) bytes += 2;
  if (properties.messageExpirySeconds !== undefined) bytes += 5;
  if (properties.contentType !== undefined) {
    bytes++;
    countText(properties.contentType);
  }
  for (const [name, value] of properties.userProperties ?? []) {
    bytes++;
    countText(name);
    countText(value);
  }
  return longest > TEXT_BYTES_MAX ? undefined : bytes;
}

function encodeProperties(
  properties: MessageProperties,
  expirySeconds: number,
  out: Buffer,
  start: number,
): number {
  let at = start;
  if (properties.payloadFormat !== undefined) {
    out[at++] = PAYLOAD_FORMAT;
    out[at++] = properties.payloadFormat;
  }
  if (properties.messageExpirySeconds !== undefined) {
    out[at++] = MESSAGE_EXPIRY;
    at = out.writeUInt32BE(expirySeconds, at);
  }
  if (properties.contentType !== undefined) {
    out[at++] = CONTENT_TYPE;
    at = encodeText(out, at, properties.contentType, Buffer.byteLength(properties.contentType));
  }
  for (const [name, value] of properties.userProperties ?? []) {
    out[at++] = USER_PROPERTY;
    at = encodeText(out, at, name, Buffer.byteLength(name));
    at = encodeText(out, at, value, Buffer.byteLength(value));
  }
  return at;
}

function encodeText(out: Buffer, start: number, text: string, bytes: number): number {
  let at = encodeUint16(out, start, bytes);
  if (bytes === text.length && bytes <= SHORT_TEXT) {
    for (let index = 0; index < bytes; index++) out[at++] = text.charCodeAt(index);
    return at;
  }
  out.write(text, at, bytes, "utf8");
  return at + bytes;
}

/** In UTF-8. Short plain ASCII, as topics are, is counted here: the call into the runtime costs more. */
function countTextBytes(text: string): number {
  if (text.length > SHORT_TEXT) return Buffer.byteLength(text);
  for (let index = 0; index < text.length; index++)
    if (text.charCodeAt(index) >= 0x80) return Buffer.byteLength(text);
  return text.length;
}

function encodeUint16(out: Buffer, start: number, value: number): number {
  out[start] = value >> 8;
  out[start + 1] = value & 0xff;
  return start + 2;
}

/** A variable byte integer [MQTT5 1.5.5]. */
function encodeLength(out: Buffer, start: number, length: number): number {
  let at = start;
  let rest = length;
  for (; rest >= 0x80; rest >>= 7) out[at++] = (rest & 0x7f) | 0x80;
  out[at++] = rest;
  return at;
}

function countLengthBytes(length: number): number {
  return length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x20_0000 ? 3 : 4;
}
