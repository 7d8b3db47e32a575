// What AWS IoT Core takes of a message, known before it is sent: there a message too many, too large or too deep costs the
// connection, or disappears without a word. Pure. A profile may override each number, for AWS moves them.
import type { Message } from "../../../../shared/message.ts";
import { checkTopicName } from "../../../../shared/mqtt/topic.ts";

export type AwsLimits = {
  readonly payloadBytesMax: number;
  /** UTF-8, without the prefix of Basic Ingest. */
  readonly topicBytesMax: number;
  readonly topicSlashesMax: number;
  readonly qosMax: 0 | 1;
  /** Whether the policy grants iot:RetainPublish. Without it one retained message ends the connection. */
  readonly retainAllowed: boolean;
};

/** "AWS IoT Core endpoints and quotas", message broker; none of them can be raised. */
export const AWS_LIMITS: AwsLimits = {
  payloadBytesMax: 131_072,
  topicBytesMax: 256,
  topicSlashesMax: 7,
  qosMax: 1,
  retainAllowed: true,
};

/** What one connection may do. Past the rate AWS discards without an acknowledgement; past the bytes it delays. */
export const AWS_PACE = {
  publishesPerSecond: 100,
  bytesPerSecond: 524_288,
  inflightMax: 100,
} as const;

/** Seconds. AWS raises and lowers what a client asks for into this range, and 0 becomes the upper end. */
export const AWS_KEEP_ALIVE = { secondsMin: 30, secondsMax: 1200 } as const;

export const AWS_CLIENT_ID_BYTES_MAX = 128;

export type AwsRefusal =
  | "invalid-topic"
  | "topic-reserved"
  | "topic-too-long"
  | "topic-too-deep"
  | "oversize"
  | "qos-too-high"
  | "retain-not-allowed"
  | "retain-with-basic-ingest";

/** `$aws/rules/RULE/` and a topic behind it: to the rules engine directly, past the message broker. */
const BASIC_INGEST = /^\$aws\/rules\/[A-Za-z0-9_]+\/(?=.)/;

/** Why AWS would refuse this message as it is, or undefined when it takes it. */
export function judgeForAws(message: Message, limits: AwsLimits = AWS_LIMITS): AwsRefusal | undefined {
  if (checkTopicName(message.topic) !== undefined) return "invalid-topic";
  const prefix = BASIC_INGEST.exec(message.topic)?.[0] ?? "";
  if (prefix === "" && message.topic.startsWith("$")) return "topic-reserved";
  const topic = message.topic.slice(prefix.length);
  if (Buffer.byteLength(topic) > limits.topicBytesMax) return "topic-too-long";
  if (countSlashes(topic) > limits.topicSlashesMax) return "topic-too-deep";
  if (message.payload.length > limits.payloadBytesMax) return "oversize";
  if (message.qos > limits.qosMax) return "qos-too-high";
  if (message.retain && prefix !== "") return "retain-with-basic-ingest";
  if (message.retain && !limits.retainAllowed) return "retain-not-allowed";
  return undefined;
}

export type AwsClientIdFault = "empty" | "too-long" | "reserved";

/**
 * Why AWS would refuse this client id. An empty one is refused here: AWS would assign `$GEN/…` and then not take it
 * back when the client returns with it.
 */
export function checkAwsClientId(clientId: string): AwsClientIdFault | undefined {
  if (clientId === "") return "empty";
  if (clientId.startsWith("$")) return "reserved";
  return Buffer.byteLength(clientId) > AWS_CLIENT_ID_BYTES_MAX ? "too-long" : undefined;
}

function countSlashes(topic: string): number {
  let count = 0;
  for (let at = topic.indexOf("/"); at >= 0; at = topic.indexOf("/", at + 1)) count += 1;
  return count;
}
