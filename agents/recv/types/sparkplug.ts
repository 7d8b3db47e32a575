// The type "sparkplug": publishes the edge nodes of the far side to a broker as if they were here, and answers the host
// applications there by itself. Takes Sparkplug topics only, under their own names: a target of another type takes the rest.
// Refuses a last will for the status where the will of that connection is the death of a node.
import * as z from "zod";
import { checked, choice, flag, name, text, wholeNumber } from "../../../shared/config/leaf.ts";
import {
  loadSession,
  type SessionMaterial,
  sessionShape,
  toSession,
} from "../../../shared/config/mqtt-session.ts";
import type { Review } from "../../../shared/config/review.ts";
import { quoteText } from "../../../shared/config/show-value.ts";
import { list, table } from "../../../shared/config/table.ts";
import type { Partially } from "../../../shared/config/validate.ts";
import { checkTopicFilter } from "../../../shared/mqtt/topic.ts";
import type { BrokerTarget } from "../targets/broker-target.ts";
import { baseShape, PLAIN_BASE, reviewBase, toBase } from "./base.ts";

export type SparkplugSettings = {
  /** Filters of GROUP/NODE, as topics. */
  readonly nodes: readonly string[];
  readonly connections: "shared" | "per-node";
  readonly connectionsMax: number;
  readonly certificates: boolean;
  readonly deathAfterMs: number;
  readonly rebirthMinMs: number;
  readonly holdMs: number;
  readonly nodesMax: number;
  readonly metricsMax: number;
  readonly stateBytesMax: number;
};

export type SparkplugTarget = BrokerTarget & {
  readonly type: "sparkplug";
  readonly sparkplug: SparkplugSettings;
};

const NODES = 'must be a filter of GROUP/NODE, such as "plant-7/+" or "#"';

const {
  topics: _topics,
  topic_prefix: _prefix,
  qos_max: _qos,
  retain: _retain,
  rule: _rule,
  inflight_max: _inflight,
  messages_per_second: _messages,
  bytes_per_second: _bytes,
  backlog: _backlog,
  oversize: _oversize,
  ack_timeout_seconds: _ackTimeout,
  name: _name,
  ...base
} = baseShape({ ...PLAIN_BASE, will: false });

export const sparkplugTable = table({
  type: z
    .literal("sparkplug")
    .describe(
      "Publishes Sparkplug B edge nodes to a broker, and answers the host applications there by itself.",
    ),
  ...sessionShape(),
  client_id: text(256).describe(
    "MQTT client id; no other client of the broker may have it. A connection of one edge node has /GROUP/NODE behind it.",
  ),
  name: name()
    .optional()
    .describe("Name of the target in logs, counters and the ledger. Default: the name of the file."),
  ...base,
  sparkplug: table({
    nodes: list(
      "filters of GROUP/NODE",
      checked(z.string({ error: NODES }), NODES, (filter) => {
        const problem = checkTopicFilter(filter);
        if (problem !== undefined) return `${quoteText(filter)} ${problem}`;
        const levels = filter.split("/").length;
        return levels <= 2 ? undefined : `${quoteText(filter)} has ${levels} levels`;
      }),
      1,
      256,
    )
      .default(["#"])
      .describe(
        "Edge nodes that go to this target, as filters of GROUP/NODE; others are counted as filtered.",
      ),
    connections: choice(["shared", "per-node"])
      .default("shared")
      .describe(
        '"shared": all edge nodes over one connection, whose will is the death of one of them; "per-node": a connection for each, with its own will.',
      ),
    max_connections: wholeNumber(1, 10_000)
      .default(200)
      .describe(
        'With "per-node": edge nodes beyond this many share the connection that has the client id as it is.',
      ),
    certificates: flag()
      .default(false)
      .describe(
        "Publishes retained copies of births on $sparkplug/certificates too, for hosts that start late. Not every broker lets a client do so.",
      ),
    death_after_seconds: wholeNumber(1, 86_400)
      .default(30)
      .describe("When the link has been down for so long, the edge nodes are published as dead."),
    rebirth_min_seconds: wholeNumber(0, 3600)
      .default(5)
      .describe(
        "An edge node is not born again more often than this, however often hosts ask; 0 is no limit.",
      ),
    hold_seconds: wholeNumber(1, 3600)
      .default(180)
      .describe(
        "After a gap, data that name their metrics by alias wait so long for a birth or a snapshot that says what the aliases are; then they are counted as filtered.",
      ),
    nodes_max: wholeNumber(1, 1_000_000)
      .default(10_000)
      .describe("Edge nodes and devices that are followed; messages of more are counted as lost."),
    metrics_max: wholeNumber(1, 100_000_000).default(1_000_000).describe("Metrics of all of them together."),
    state_bytes_max: wholeNumber(1_048_576, 17_592_186_044_416)
      .default(268_435_456)
      .describe("Bytes of births and last values, in memory and in the spool directory."),
  })
    .prefault({})
    .describe("How edge nodes are published."),
});

export type SparkplugTable = z.output<typeof sparkplugTable>;

/** Checks the keys against each other and reads the files. */
export function loadSparkplug(review: Review, profile: Partially<SparkplugTable>): SessionMaterial {
  reviewBase(review, profile);
  if (profile.status?.will === true && profile.sparkplug?.connections === "shared")
    review.add(
      ["status", "will"],
      "is true, and the will of the connection is the death of an edge node",
      'must be false, or sparkplug.connections = "per-node"',
    );
  return loadSession(review, [], profile);
}

export function toSparkplugTarget(
  review: Review,
  nameDefault: string,
  value: SparkplugTable,
  material: SessionMaterial,
): SparkplugTarget {
  const { sparkplug } = value;
  const plain = {
    topics: ["#"],
    topic_prefix: "",
    qos_max: 2 as const,
    retain: "forward" as const,
    rule: [],
    inflight_max: PLAIN_BASE.inflightMax,
    messages_per_second: 0,
    bytes_per_second: 0,
    backlog: "oldest-first" as const,
    // Births and data are never cut or compressed; what is unacknowledged is told anew by a birth.
    oversize: "dead-letter" as const,
    ack_timeout_seconds: 0,
  };
  return {
    ...toSession(value, value.client_id, material),
    ...toBase(review, nameDefault, { ...plain, ...value }),
    type: "sparkplug",
    sparkplug: {
      nodes: sparkplug.nodes,
      connections: sparkplug.connections,
      connectionsMax: sparkplug.max_connections,
      certificates: sparkplug.certificates,
      deathAfterMs: sparkplug.death_after_seconds * 1000,
      rebirthMinMs: sparkplug.rebirth_min_seconds * 1000,
      holdMs: sparkplug.hold_seconds * 1000,
      nodesMax: sparkplug.nodes_max,
      metricsMax: sparkplug.metrics_max,
      stateBytesMax: sparkplug.state_bytes_max,
    },
  };
}
