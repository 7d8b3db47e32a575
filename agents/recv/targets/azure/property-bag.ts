// Telemetry as Azure IoT Hub wants it: one topic per identity, and everything else about the message as properties in the
// topic's last level, `name=value&name=value`. Pure. Refuses what the hub would answer by closing the connection.
//
// Properties are ASCII. So a name or value is percent-encoded once as text (anything that isn't printable ASCII, and "%"
// itself) and again by the bag: whoever reads it decodes once with any URI decoder, whatever was in it.
import type { Message } from "../../../../shared/message.ts";

export type HubIdentity = {
  readonly deviceId: string;
  readonly moduleId?: string;
};

export type BagRules = {
  /** The application property that says which topic the message had; undefined leaves it out. */
  readonly topicProperty: string | undefined;
  /** Whether `iothub-creation-time-utc` says when the message was accepted on the plant side. */
  readonly eventTime: boolean;
  /** For messages that don't say themselves; `application/json` with `utf-8` lets the hub route by the body. */
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
};

export type HubMessage = {
  readonly topic: string;
  /** As the hub counts: payload, names and values of application properties, values of system properties. */
  readonly bytes: number;
};

export type HubRefusal = "oversize" | "properties-too-long";

const MESSAGE_BYTES_MAX = 262_144;
const MQTT_TOPIC_BYTES_MAX = 65_535;
const EVENT_TIME = "iothub-creation-time-utc";
/** Names with a meaning for the hub, which a publisher in the plant must not be able to set. */
const RESERVED_NAME = /^(\$|iothub-)/i;

/** `devices/D/messages/events/`, to which the bag is appended; with an empty bag it ends in the slash. */
export function telemetryTopic({ deviceId, moduleId }: HubIdentity): string {
  const module = moduleId === undefined ? "" : `/modules/${moduleId}`;
  return `devices/${deviceId}${module}/messages/events/`;
}

/** The topic to publish this message's payload to, or why the hub would not take it. */
export function composeHubMessage(
  message: Message,
  identity: HubIdentity,
  rules: BagRules,
  bytesMax: number = MESSAGE_BYTES_MAX,
): HubMessage | HubRefusal {
  const system = collectSystem(message, rules);
  const application = collectApplication(message, rules);
  let bytes = message.payload.length;
  for (const [, value] of system) bytes += value.length;
  for (const [name, value] of application) bytes += name.length + value.length;
  if (bytes > bytesMax) return "oversize";
  const bag = [...system, ...application].map(([name, value]) => {
    return `${encodeURIComponent(name)}=${encodeURIComponent(value)}`;
  });
  const topic = telemetryTopic(identity) + bag.join("&");
  return Buffer.byteLength(topic) > MQTT_TOPIC_BYTES_MAX ? "properties-too-long" : { topic, bytes };
}

function collectSystem({ properties }: Message, rules: BagRules): [string, string][] {
  const encoding = properties?.payloadFormat === 1 ? "utf-8" : rules.contentEncoding;
  const entries = [
    ["$.ct", properties?.contentType ?? rules.contentType],
    ["$.ce", encoding],
  ] as const;
  return entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, encodeAscii(value)]]));
}

function collectApplication(message: Message, rules: BagRules): Map<string, string> {
  const out = new Map<string, string>();
  if (rules.topicProperty !== undefined) out.set(rules.topicProperty, encodeAscii(message.topic));
  const time = rules.eventTime ? formatTime(message.acceptedMs) : undefined;
  if (time !== undefined) out.set(EVENT_TIME, time);
  // A bag has each name once, MQTT may repeat them: the second `unit` becomes `unit.2`. The count goes on from where it
  // was, so that a message with nothing but one name a hundred thousand times costs no more than any other.
  const counts = new Map<string, number>();
  for (const [userName, value] of message.properties?.userProperties ?? []) {
    const first = encodeName(userName);
    let name = first;
    for (let count = counts.get(first) ?? 1; out.has(name); counts.set(first, count)) {
      count += 1;
      name = `${first}.${count}`;
    }
    out.set(name, encodeAscii(value));
  }
  return out;
}

/** A reserved name loses its meaning, not its text: its first character is encoded too. */
function encodeName(name: string): string {
  if (!RESERVED_NAME.test(name)) return encodeAscii(name);
  return `%${name.charCodeAt(0).toString(16).toUpperCase()}${encodeAscii(name.slice(1))}`;
}

function encodeAscii(text: string): string {
  // Control characters, "%" and what is beyond ASCII: none of it is left alone by encodeURIComponent().
  return text.toWellFormed().replaceAll(/[^ -$&-~]+/g, encodeURIComponent);
}

/** UTC with "Z", as the hub demands; undefined for a moment no calendar has. */
function formatTime(ms: number): string | undefined {
  return ms >= 0 && ms < 253_402_300_800_000 ? new Date(ms).toISOString() : undefined;
}
