// Decodes what a client sends besides CONNECT and PUBLISH: acknowledgements, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT.
// Refuses bodies of a wrong length, reserved bits, packet identifier 0, no topic filter at all. A topic filter that is
// not one is told apart, because MQTT 5 has a reason code for it that ends nothing.
import type { Qos } from "../message.ts";
import { TYPE } from "./client-stream.ts";
import type { ProtocolVersion } from "./connect-packet.ts";
import { breach, type Flaw, isFlaw, malformed } from "./flaw.ts";
import { decodeProperties, PROPERTY, propertySet, readText } from "./properties.ts";
import { checkTopicFilter } from "./topic.ts";

const ACK_PROPERTIES = propertySet(PROPERTY.reasonString, PROPERTY.userProperty);
const SUBSCRIBE_PROPERTIES = propertySet(PROPERTY.subscriptionIdentifier, PROPERTY.userProperty);
const UNSUBSCRIBE_PROPERTIES = propertySet(PROPERTY.userProperty);
const DISCONNECT_PROPERTIES = propertySet(
  PROPERTY.sessionExpiry,
  PROPERTY.reasonString,
  PROPERTY.userProperty,
);
const DISCONNECT_CODES = new Set([
  ...[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99],
]);
/** Of PUBACK and PUBREC, of PUBREL and PUBCOMP. */
const PUBLISH_CODES = new Set([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]);
const RELEASE_CODES = new Set([0x00, 0x92]);
const SHARE_PREFIX = "$share/";

/** PUBACK, PUBREC, PUBREL or PUBCOMP: the packet identifier [MQTT5 3.4 to 3.7]. */
export function decodeAcknowledgement(
  version: ProtocolVersion,
  type: number,
  bytes: Buffer,
  start: number,
  end: number,
): number | Flaw {
  const length = end - start;
  if (length < 2 || (version !== 5 && length > 2))
    return malformed(`an acknowledgement has a body of ${length} bytes`);
  const packetId = bytes.readUInt16BE(start);
  if (packetId === 0) return malformed("an acknowledgement has the packet identifier 0");
  const code = length > 2 ? (bytes[start + 2] as number) : 0;
  if (!(type < TYPE.pubrel ? PUBLISH_CODES : RELEASE_CODES).has(code))
    return breach(`an acknowledgement has the reason code 0x${code.toString(16)}`); // [MQTT-3.6.2-1]
  if (length > 3) {
    const decoded = decodeProperties(bytes, start + 3, end, ACK_PROPERTIES);
    if (isFlaw(decoded)) return decoded;
    if (decoded.end !== end) return malformed("an acknowledgement has bytes left over");
  }
  return packetId;
}

export type Wish = {
  readonly filter: string;
  readonly qos: Qos;
  /** 0: what is retained comes, 1: only with a new subscription, 2: it does not [MQTT5 3.8.3.1]. */
  readonly retainHandling: number;
  /** The retain flag comes as the publisher set it. */
  readonly retainAsPublished: boolean;
  /** Why it is no topic filter. */
  readonly problem: string | undefined;
};
export type Subscribe = {
  readonly packetId: number;
  readonly wishes: readonly Wish[];
  /** Goes with every message of these subscriptions [MQTT5 3.8.2.1.2]. */
  readonly identifier: number | undefined;
};

export function decodeSubscribe(
  version: ProtocolVersion,
  bytes: Buffer,
  start: number,
  end: number,
): Subscribe | Flaw {
  const head = decodeHead(version, "SUBSCRIBE", bytes, start, end, SUBSCRIBE_PROPERTIES);
  if (isFlaw(head)) return head;
  const wishes: Wish[] = [];
  for (let at = head.end; at < end; ) {
    const filter = readText(bytes, at, end);
    if (isFlaw(filter)) return filter;
    if (filter.end >= end) return malformed("SUBSCRIBE ends before the options of a topic filter");
    const options = bytes[filter.end] as number;
    const qos = options & 3;
    if (qos === 3) return version === 5 ? breach("SUBSCRIBE has QoS 3") : malformed("SUBSCRIBE has QoS 3");
    if ((options & (version === 5 ? 0xc0 : 0xfc)) !== 0)
      return malformed("SUBSCRIBE has reserved option bits set"); // [MQTT-3.8.3-5]
    if ((options & 0x30) === 0x30) return breach("SUBSCRIBE has retain handling 3");
    if (version === 5 && (options & 4) !== 0 && filter.text.startsWith(SHARE_PREFIX))
      return breach("SUBSCRIBE has No Local with a shared subscription"); // [MQTT-3.8.3-4]
    const problem = checkTopicFilter(filter.text);
    wishes.push({
      filter: filter.text,
      qos: qos as Qos,
      retainHandling: (options & 0x30) >> 4,
      retainAsPublished: (options & 8) !== 0,
      problem,
    });
    at = filter.end + 1;
  }
  if (wishes.length === 0) return breach("SUBSCRIBE has no topic filter"); // [MQTT-3.8.3-2]
  return { packetId: head.packetId, wishes, identifier: head.identifier };
}

export function decodeUnsubscribe(
  version: ProtocolVersion,
  bytes: Buffer,
  start: number,
  end: number,
): { readonly packetId: number; readonly filters: readonly string[] } | Flaw {
  const head = decodeHead(version, "UNSUBSCRIBE", bytes, start, end, UNSUBSCRIBE_PROPERTIES);
  if (isFlaw(head)) return head;
  const filters: string[] = [];
  for (let at = head.end; at < end; ) {
    const filter = readText(bytes, at, end);
    if (isFlaw(filter)) return filter;
    filters.push(filter.text);
    at = filter.end;
  }
  if (filters.length === 0) return breach("UNSUBSCRIBE has no topic filter"); // [MQTT-3.10.3-2]
  return { packetId: head.packetId, filters };
}

function decodeHead(
  version: ProtocolVersion,
  what: string,
  bytes: Buffer,
  start: number,
  end: number,
  allowed: typeof SUBSCRIBE_PROPERTIES,
): { readonly packetId: number; readonly end: number; readonly identifier: number | undefined } | Flaw {
  if (start + 2 > end) return malformed(`${what} ends before its packet identifier`);
  const packetId = bytes.readUInt16BE(start);
  if (packetId === 0) return breach(`${what} has the packet identifier 0`); // [MQTT-2.2.1-3]
  if (version !== 5) return { packetId, end: start + 2, identifier: undefined };
  const decoded = decodeProperties(bytes, start + 2, end, allowed);
  if (isFlaw(decoded)) return decoded;
  return { packetId, end: decoded.end, identifier: decoded.properties?.subscriptionIdentifier };
}

export type Disconnect = {
  /** 0 takes the will back; everything else leaves it [MQTT5 3.14.2.1]. */
  readonly code: number;
  readonly sessionExpirySeconds: number | undefined;
};

export function decodeDisconnect(
  version: ProtocolVersion,
  bytes: Buffer,
  start: number,
  end: number,
): Disconnect | Flaw {
  const plain = { code: 0, sessionExpirySeconds: undefined };
  if (start === end) return plain;
  if (version !== 5) return malformed("DISCONNECT has a body");
  const code = bytes[start] as number;
  if (!DISCONNECT_CODES.has(code))
    return breach(`DISCONNECT has the reason code 0x${code.toString(16)}, which a client may not send`);
  if (start + 1 === end) return { ...plain, code };
  const decoded = decodeProperties(bytes, start + 1, end, DISCONNECT_PROPERTIES);
  if (isFlaw(decoded)) return decoded;
  if (decoded.end !== end) return malformed("DISCONNECT has bytes left over");
  return { code, sessionExpirySeconds: decoded.properties?.sessionExpirySeconds };
}
