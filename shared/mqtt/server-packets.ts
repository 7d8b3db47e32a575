// Writes the packets of a server that delivers nothing: CONNACK, SUBACK, UNSUBACK, acknowledgements, DISCONNECT. Reason
// strings are left out where the client does not want them or the packet would be larger than it takes
// [MQTT-3.1.2-24, MQTT-3.1.2-29].
import type { ProtocolVersion } from "./connect-packet.ts";
import { PROPERTY } from "./properties.ts";

export const ACK = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const;
export const PINGRESP = Buffer.from([0xd0, 0]);
const CONNACK = 0x20;
const SUBACK = 0x90;
const UNSUBACK = 0xb0;
const DISCONNECT = 0xe0;

export type ConnackProperties = {
  readonly sessionExpirySeconds?: number | undefined;
  readonly receiveMaximum?: number | undefined;
  readonly maximumPacketSize?: number | undefined;
  readonly assignedClientId?: string | undefined;
  readonly topicAliasMaximum?: number | undefined;
  readonly serverKeepAliveSeconds?: number | undefined;
  readonly reasonString?: string | undefined;
};

/** `code` is a return code in MQTT 3.1 and 3.1.1, a reason code in MQTT 5. */
export function encodeConnack(
  version: ProtocolVersion,
  sessionPresent: boolean,
  code: number,
  properties: ConnackProperties = {},
  packetBytesMax = Number.MAX_SAFE_INTEGER,
): Buffer {
  const head = [sessionPresent ? 1 : 0, code];
  if (version !== 5) return packet(CONNACK, head);
  const out: number[] = [];
  const { sessionExpirySeconds, receiveMaximum, maximumPacketSize, assignedClientId } = properties;
  if (sessionExpirySeconds !== undefined) pushNumber(out, PROPERTY.sessionExpiry, sessionExpirySeconds, 4);
  if (receiveMaximum !== undefined) pushNumber(out, PROPERTY.receiveMaximum, receiveMaximum, 2);
  if (maximumPacketSize !== undefined) pushNumber(out, PROPERTY.maximumPacketSize, maximumPacketSize, 4);
  if (assignedClientId !== undefined) pushText(out, PROPERTY.assignedClientIdentifier, assignedClientId);
  const { topicAliasMaximum, serverKeepAliveSeconds, reasonString } = properties;
  if (topicAliasMaximum !== undefined) pushNumber(out, PROPERTY.topicAliasMaximum, topicAliasMaximum, 2);
  if (serverKeepAliveSeconds !== undefined)
    pushNumber(out, PROPERTY.serverKeepAlive, serverKeepAliveSeconds, 2);
  return withReason(packetBytesMax, reasonString, (reason) =>
    packet(CONNACK, [...head, ...withLength([...out, ...reason])]),
  );
}

/** Why, or undefined when the packet must not be sent at all because the client takes none that large. */
export function encodeDisconnect(
  code: number,
  reasonString: string | undefined,
  packetBytesMax: number,
): Buffer {
  return withReason(packetBytesMax, reasonString, (reason) =>
    packet(DISCONNECT, reason.length === 0 ? [code] : [code, ...withLength(reason)]),
  );
}

/** A PUBACK, PUBREC, PUBREL or PUBCOMP, appended to `out`. Code 0 is left out, which means the same [MQTT5 3.4.2.1]. */
export function pushAcknowledgement(
  out: number[],
  version: ProtocolVersion,
  firstByte: number,
  packetId: number,
  code: number,
): void {
  if (version !== 5 || code === 0) out.push(firstByte, 2, packetId >> 8, packetId & 0xff);
  else out.push(firstByte, 3, packetId >> 8, packetId & 0xff, code);
}

export function encodeSuback(version: ProtocolVersion, packetId: number, codes: readonly number[]): Buffer {
  const properties = version === 5 ? [0] : [];
  return packet(SUBACK, [packetId >> 8, packetId & 0xff, ...properties, ...codes]);
}

export function encodeUnsuback(version: ProtocolVersion, packetId: number, codes: readonly number[]): Buffer {
  const head = [packetId >> 8, packetId & 0xff];
  return packet(UNSUBACK, version === 5 ? [...head, 0, ...codes] : head);
}

function withReason(
  packetBytesMax: number,
  reasonString: string | undefined,
  write: (reason: readonly number[]) => Buffer,
): Buffer {
  if (reasonString !== undefined) {
    const reason: number[] = [];
    pushText(reason, PROPERTY.reasonString, reasonString);
    const whole = write(reason);
    if (whole.length <= packetBytesMax) return whole;
  }
  return write([]);
}

function packet(firstByte: number, body: readonly number[]): Buffer {
  return Buffer.from([firstByte, ...encodeLength(body.length), ...body]);
}

function withLength(bytes: readonly number[]): number[] {
  return [...encodeLength(bytes.length), ...bytes];
}

export function encodeLength(value: number): number[] {
  const bytes: number[] = [];
  for (let left = value; ; ) {
    const byte = left % 128;
    left = Math.floor(left / 128);
    bytes.push(left > 0 ? byte | 0x80 : byte);
    if (left === 0) return bytes;
  }
}

function pushNumber(out: number[], id: number, value: number, size: 2 | 4): void {
  out.push(id);
  for (let shift = (size - 1) * 8; shift >= 0; shift -= 8) out.push((value >>> shift) & 0xff);
}

function pushText(out: number[], id: number, text: string): void {
  const bytes = Buffer.from(text);
  out.push(id, bytes.length >> 8, bytes.length & 0xff, ...bytes);
}
