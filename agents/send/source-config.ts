// The [[source]] tables: where MQTT comes from. Refuses two sources that would throw each other off a broker,
// and topic filters given twice (the broker would deliver their messages twice, or not: that is up to it).

import * as z from "zod";
import type { KeyPath } from "../../shared/config/key-path.ts";
import { flag, name, text, topicFilter, wholeNumber } from "../../shared/config/leaf.ts";
import {
  describeSeat,
  loadSession,
  type MqttSession,
  NO_MATERIAL,
  type SessionMaterial,
  sessionShape,
  toSession,
} from "../../shared/config/mqtt-session.ts";
import type { Review } from "../../shared/config/review.ts";
import { list, table, typedTable } from "../../shared/config/table.ts";
import type { Partially } from "../../shared/config/validate.ts";
import type { Qos } from "../../shared/message.ts";
import {
  type ListenMaterial,
  type ListenSource,
  type ListenTable,
  listenTable,
  loadListen,
  toListen,
} from "./listen-config.ts";
import {
  reviewListen,
  reviewTopics,
  type SparkplugConfig,
  sparkplugTable,
  toSparkplug,
} from "./sparkplug-config.ts";

export type Subscription = { readonly filter: string; readonly qos: Qos };

export type SubscribeSource = MqttSession & {
  readonly name: string;
  readonly type: "subscribe";
  readonly topics: readonly Subscription[];
  readonly cleanStart: boolean;
  readonly sessionExpirySeconds: number;
  readonly receiveMaximum: number;
  readonly sparkplug: SparkplugConfig | undefined;
};

/** Grows by one type with each kind of source. */
export type SourceConfig = SubscribeSource | ListenSource;

const SUBSCRIPTION = "must be a topic filter in quotes, or a table { filter = …, qos = … }";

function qos() {
  return z.literal([0, 1, 2], { error: "must be 0, 1 or 2" });
}

const subscribeTable = table({
  name: name().describe("Name of the source in logs, counters and the ledger."),
  type: z.literal("subscribe").describe("Subscribes at a broker in the plant."),
  ...sessionShape(),
  topics: list(
    "topic filters",
    z.union(
      [
        topicFilter(),
        table({
          filter: topicFilter().describe("What to subscribe to."),
          qos: qos().optional().describe("The highest QoS to ask for. Default: qos of the source."),
        }),
      ],
      { error: SUBSCRIPTION },
    ),
    1,
    256,
  ).describe(
    'What to subscribe to: topic filters, or tables { filter, qos }. "$share/GROUP/FILTER" is allowed.',
  ),
  qos: qos()
    .default(2)
    .describe("The highest QoS to ask for, for topics that name none. 2 keeps the QoS of each message."),
  client_id: text(256).optional().describe("MQTT client id. Default: tidegate-send-LINK-SOURCE."),
  clean_start: flag()
    .default(false)
    .describe("Starts without the session that the broker kept, and so without what it held for us."),
  session_expiry_seconds: wholeNumber(0, 4_294_967_295)
    .default(86_400)
    .describe("How long the broker keeps session and messages while we are away (MQTT 5)."),
  receive_maximum: wholeNumber(1, 65_535)
    .default(1000)
    .describe("Messages that the broker may send before the first is acknowledged (MQTT 5)."),
  sparkplug: sparkplugTable()
    .optional()
    .describe(
      "What is done for Sparkplug B edge nodes. `sparkplug = true` stands for this table with its defaults.",
    ),
});

export const sourceTable = typedTable([subscribeTable, listenTable]);
type SourceTable = z.output<typeof sourceTable>;
type SubscribeTable = z.output<typeof subscribeTable>;
type PartialSources = Partially<SourceTable[]>;
export type SourceMaterial =
  | { readonly type: "subscribe"; readonly session: SessionMaterial }
  | { readonly type: "listen"; readonly listen: ListenMaterial };

/** Checks all sources, alone and against each other; reads their files. One entry for each, in order. */
export function loadSources(
  review: Review,
  linkId: string | undefined,
  sources: PartialSources,
): SourceMaterial[] {
  const at = (index: number, key: string): KeyPath => ["source", index, key];
  review.requireUnique(sources.map((source, index) => ({ path: at(index, "name"), value: source?.name })));
  review.requireUnique(
    sources.flatMap((source, index) => {
      if (isListen(source)) return [];
      const clientId = source?.client_id ?? defaultClientId(linkId, source?.name);
      // Sparkplug has connections of its own beside it.
      const ids = source?.sparkplug === undefined ? [clientId] : [clientId, ...listHostIds(clientId)];
      return ids.map((id) => ({ path: at(index, "client_id"), value: describeSeat(source?.url, id) }));
    }),
  );
  review.requireUnique(sources.flatMap((source, index) => listListeners(source, index)));
  return sources.map((source, index): SourceMaterial => {
    if (isListen(source)) {
      if (source.sparkplug !== undefined) reviewListen(review, index, source.subscriptions);
      return { type: "listen", listen: loadListen(review, ["source", index], source) };
    }
    const topics = source?.topics ?? [];
    const filters = topics.flatMap((topic) => (typeof topic === "string" ? topic : topic?.filter) ?? []);
    if (source?.sparkplug !== undefined && filters.length > 0) reviewTopics(review, index, filters);
    review.requireUnique(
      topics.map((topic, place) => ({
        path: ["source", index, "topics", place],
        value: typeof topic === "string" ? topic : topic?.filter,
      })),
    );
    return { type: "subscribe", session: loadSession(review, ["source", index], source ?? {}) };
  });
}

type PartialSource = Partially<SubscribeTable> | Partially<ListenTable>;

function isListen(source: PartialSource | undefined): source is Partially<ListenTable> {
  return source?.type === "listen";
}

/** Two sources cannot listen on one address; within one source that is told by itself. */
function listListeners(source: PartialSource | undefined, index: number) {
  if (!isListen(source)) return [];
  const addresses = new Set(source.listener?.map((listener) => listener?.address));
  return [...addresses].map((value) => {
    const place = source.listener?.findIndex((listener) => listener?.address === value) ?? 0;
    return { path: ["source", index, "listener", place, "address"], value };
  });
}

export function toSource(
  review: Review,
  value: SourceTable,
  linkId: string,
  material: SourceMaterial | undefined,
): SourceConfig {
  if (value.type === "listen")
    return toListen(
      review,
      value,
      material?.type === "listen" ? material.listen : { users: undefined, tls: [] },
    );
  const session = material?.type === "subscribe" ? material.session : NO_MATERIAL;
  return toSubscribe(value, linkId, session);
}

function toSubscribe(value: SubscribeTable, linkId: string, material: SessionMaterial): SubscribeSource {
  const clientId = value.client_id ?? defaultClientId(linkId, value.name) ?? "";
  return {
    ...toSession(value, clientId, material),
    name: value.name,
    type: value.type,
    topics: value.topics.map((topic) =>
      typeof topic === "string"
        ? { filter: topic, qos: value.qos }
        : { filter: topic.filter, qos: topic.qos ?? value.qos },
    ),
    cleanStart: value.clean_start,
    sessionExpirySeconds: value.session_expiry_seconds,
    receiveMaximum: value.receive_maximum,
    sparkplug: toSparkplug(value.sparkplug),
  };
}

/** The client ids of the connections on which the agent speaks to edge nodes, one for each form of STATE. */
export function listHostIds(clientId: string | undefined): string[] {
  return clientId === undefined ? [] : [`${clientId}-sparkplug`, `${clientId}-sparkplug-2.2`];
}

function defaultClientId(linkId: string | undefined, source: string | undefined): string | undefined {
  return linkId === undefined || source === undefined ? undefined : `tidegate-send-${linkId}-${source}`;
}
