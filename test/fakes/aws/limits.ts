// AWS IoT Core's quotas, as "AWS IoT Core endpoints and quotas" has them; kept apart from the product's own table on
// purpose. A test may lower one to meet it sooner.

export const QUOTAS = {
  payloadBytes: 128 * 1024,
  /** What CONNACK announces to MQTT 5 and what is enforced there; it "cannot exceed 128 KB". */
  packetBytes: 128 * 1024,
  publishesPerSecond: 100,
  bytesPerSecond: 512 * 1024,
  inflight: 100,
  topicBytes: 256,
  topicSegments: 8,
  clientIdBytes: 128,
  connectsPerSecond: 1,
  keepAliveSecondsMin: 30,
  keepAliveSecondsMax: 1200,
  topicAliases: 8,
  filtersPerSubscribe: 8,
  webSocketSeconds: 86_400,
};

export type Quotas = typeof QUOTAS;

const RULE_PREFIX = "$aws/rules/";

export type Destination = { readonly basicIngest: boolean; readonly rest: string };

/** What counts of a topic: Basic Ingest's three levels don't. Undefined when it is reserved. */
export function readDestination(topic: string): Destination | undefined {
  if (!topic.startsWith("$")) return { basicIngest: false, rest: topic };
  if (!topic.startsWith(RULE_PREFIX)) return undefined;
  const slash = topic.indexOf("/", RULE_PREFIX.length);
  const rest = slash < 0 ? "" : topic.slice(slash + 1);
  return rest === "" || slash === RULE_PREFIX.length ? undefined : { basicIngest: true, rest };
}
