// Decodes a CONNECT [MQTT5 3.1, MQTT 3.1.1 3.1, MQTT 3.1 3.1], with the version that it asks for. A Mosquitto bridge sets
// the highest bit of the version ("try_private"). Refuses other versions, reserved bits, a will that contradicts its
// flags, wildcards in the will's topic, text that is not UTF-8, bytes left over.
import type { MessageProperties, Qos } from "../message.ts";
import { breach, type Flaw, isFlaw, malformed } from "./flaw.ts";
import {
  decodeProperties,
  fieldEnd,
  PROPERTY,
  type Properties,
  propertySet,
  readText,
} from "./properties.ts";
import { REASON } from "./reason-code.ts";
import { checkTopicName } from "./topic.ts";

/** 3 is MQTT 3.1, 4 is MQTT 3.1.1. */
export type ProtocolVersion = 3 | 4 | 5;

export type Will = {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly properties: MessageProperties | undefined;
  readonly delaySeconds: number;
};

export type Connect = {
  readonly version: ProtocolVersion;
  readonly isBridge: boolean;
  readonly clientId: string;
  readonly cleanStart: boolean;
  readonly keepAliveSeconds: number;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  readonly will: Will | undefined;
  readonly properties: Properties | undefined;
};

/** A flaw, and the version to answer it in: that of the packet as far as it is known. */
export type ConnectFlaw = Flaw & { readonly version: ProtocolVersion };

const BRIDGE_BIT = 0x80;
const RESERVED = 0x01;
const CLEAN = 0x02;
const WILL = 0x04;
const WILL_RETAIN = 0x20;
const PASSWORD = 0x40;
const USERNAME = 0x80;

const CONNECT_PROPERTIES = propertySet(
  PROPERTY.sessionExpiry,
  PROPERTY.authenticationMethod,
  PROPERTY.authenticationData,
  PROPERTY.requestProblemInformation,
  PROPERTY.requestResponseInformation,
  PROPERTY.receiveMaximum,
  PROPERTY.topicAliasMaximum,
  PROPERTY.userProperty,
  PROPERTY.maximumPacketSize,
);
const WILL_PROPERTIES = propertySet(
  PROPERTY.payloadFormat,
  PROPERTY.messageExpiry,
  PROPERTY.contentType,
  PROPERTY.responseTopic,
  PROPERTY.correlationData,
  PROPERTY.willDelay,
  PROPERTY.userProperty,
);

/** Decodes the body bytes[start, end) of a CONNECT. What it gives holds no view of `bytes`. */
export function decodeConnect(bytes: Buffer, start: number, end: number): Connect | ConnectFlaw {
  const nameEnd = fieldEnd(bytes, start, end);
  if (nameEnd + 1 > end) return { ...malformed("CONNECT ends before its version"), version: 4 };
  const name = bytes.toString("latin1", start + 2, nameEnd);
  const level = bytes[nameEnd] as number;
  const isBridge = level === (BRIDGE_BIT | 3) || level === (BRIDGE_BIT | 4);
  const version = isBridge ? level & ~BRIDGE_BIT : level;
  if (name !== "MQTT" && name !== "MQIsdp")
    return { ...unsupported(`the protocol is ${JSON.stringify(name.slice(0, 16))}`), version: 4 };
  if ((version !== 3 && version !== 4 && version !== 5) || (version === 3) !== (name === "MQIsdp"))
    return { ...unsupported(`${name} has the version ${level}`), version: level > 5 && !isBridge ? 5 : 4 };
  const body = decodeBody(version, bytes, nameEnd + 1, end);
  return isFlaw(body) ? { ...body, version } : { version, isBridge, ...body };
}

function unsupported(why: string): Flaw {
  return { code: REASON.unsupportedVersion, why };
}

function decodeBody(
  version: ProtocolVersion,
  bytes: Buffer,
  start: number,
  end: number,
): Omit<Connect, "version" | "isBridge"> | Flaw {
  if (start + 3 > end) return malformed("CONNECT ends before its keep-alive");
  const flags = bytes[start] as number;
  const flaw = checkFlags(version, flags);
  if (flaw !== undefined) return flaw;
  const keepAliveSeconds = bytes.readUInt16BE(start + 1);
  let at = start + 3;
  let properties: Properties | undefined;
  if (version === 5) {
    const decoded = decodeProperties(bytes, at, end, CONNECT_PROPERTIES);
    if (isFlaw(decoded)) return decoded;
    ({ properties, end: at } = decoded);
    if (properties?.authenticationData !== undefined && properties.authenticationMethod === undefined)
      return breach("CONNECT has authentication data without a method");
  }
  const clientId = readText(bytes, at, end);
  if (isFlaw(clientId)) return clientId;
  at = clientId.end;
  let will: Will | undefined;
  if ((flags & WILL) !== 0) {
    const decoded = decodeWill(version, flags, bytes, at, end);
    if (isFlaw(decoded)) return decoded;
    ({ will, end: at } = decoded);
  }
  let username: string | undefined;
  if ((flags & USERNAME) !== 0) {
    const decoded = readText(bytes, at, end);
    if (isFlaw(decoded)) return decoded;
    ({ text: username, end: at } = decoded);
  }
  let password: Uint8Array | undefined;
  if ((flags & PASSWORD) !== 0) {
    const next = fieldEnd(bytes, at, end);
    if (next > end) return malformed("CONNECT ends inside its password");
    password = Buffer.from(bytes.subarray(at + 2, next));
    at = next;
  }
  if (at !== end) return malformed(`CONNECT has ${end - at} bytes left over`);
  const cleanStart = (flags & CLEAN) !== 0;
  return { clientId: clientId.text, cleanStart, keepAliveSeconds, username, password, will, properties };
}

function checkFlags(version: ProtocolVersion, flags: number): Flaw | undefined {
  if ((flags & RESERVED) !== 0) return malformed("CONNECT has its reserved flag set"); // [MQTT-3.1.2-3]
  const willQos = (flags >> 3) & 3;
  if (willQos === 3) return malformed("the will has QoS 3"); // [MQTT-3.1.2-12]
  if ((flags & WILL) === 0 && (willQos !== 0 || (flags & WILL_RETAIN) !== 0))
    return malformed("CONNECT has flags of a will, but no will"); // [MQTT-3.1.2-11]
  // MQTT 5 allows a password alone: a token [MQTT5 3.1.2.9].
  if (version !== 5 && (flags & PASSWORD) !== 0 && (flags & USERNAME) === 0)
    return malformed("CONNECT has a password without a user name"); // [MQTT-3.1.2-22]
  return undefined;
}

function decodeWill(
  version: ProtocolVersion,
  flags: number,
  bytes: Buffer,
  start: number,
  limit: number,
): { will: Will; end: number } | Flaw {
  let at = start;
  let found: Properties = {};
  if (version === 5) {
    const decoded = decodeProperties(bytes, at, limit, WILL_PROPERTIES);
    if (isFlaw(decoded)) return decoded;
    found = decoded.properties ?? {};
    at = decoded.end;
    const { responseTopic } = found;
    if (responseTopic !== undefined && checkTopicName(responseTopic) !== undefined)
      return breach("the will's response topic is not a topic name");
  }
  const topic = readText(bytes, at, limit);
  if (isFlaw(topic)) return topic;
  const problem = checkTopicName(topic.text);
  if (problem !== undefined) return { code: REASON.topicNameInvalid, why: `the will's topic ${problem}` };
  const end = fieldEnd(bytes, topic.end, limit);
  if (end > limit) return malformed("CONNECT ends inside its will");
  const will: Will = {
    topic: topic.text,
    payload: Buffer.from(bytes.subarray(topic.end + 2, end)),
    qos: ((flags >> 3) & 3) as Qos,
    retain: (flags & WILL_RETAIN) !== 0,
    properties: pickMessageProperties(found),
    delaySeconds: found.willDelaySeconds ?? 0,
  };
  return { will, end };
}

/** Those that may cross; undefined when there is none. */
export function pickMessageProperties(found: Properties | undefined): MessageProperties | undefined {
  if (found === undefined) return undefined;
  const { payloadFormat, messageExpirySeconds, contentType, userProperties } = found;
  const picked = {
    ...(payloadFormat === undefined ? {} : { payloadFormat }),
    ...(messageExpirySeconds === undefined ? {} : { messageExpirySeconds }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(userProperties === undefined ? {} : { userProperties }),
  };
  return Object.keys(picked).length === 0 ? undefined : picked;
}
