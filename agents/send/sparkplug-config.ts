// The [source.sparkplug] table: what the agent does for the Sparkplug B edge nodes of a source. `sparkplug = true` stands for the
// table with its defaults, `sparkplug = false` for no table.
// Refuses ids that are no level of a topic, and a listening source that would have to deliver what it refuses subscriptions to.
import type * as z from "zod";
import { checked, choice, flag, text, wholeNumber } from "../../shared/config/leaf.ts";
import type { Review } from "../../shared/config/review.ts";
import { list, table } from "../../shared/config/table.ts";
import type { TomlDocument, TomlTable } from "../../shared/config/toml.ts";
import { matchTopic } from "../../shared/mqtt/topic.ts";
import { checkIdentifier, NAMESPACE, type StateFormat } from "../../shared/sparkplug/topic.ts";

export type SparkplugConfig = {
  /** undefined: all. */
  readonly groups: readonly string[] | undefined;
  /** undefined: the agent is nobody's primary host. */
  readonly primaryHostId: string | undefined;
  readonly stateFormats: readonly StateFormat[];
  readonly snapshotMs: number;
  readonly rebirth: boolean;
  readonly rebirthMinMs: number;
  readonly rebirthsPerSecondMax: number;
  readonly nodesMax: number;
  readonly metricsPerNodeMax: number;
  readonly memoryBytesMax: number;
};

const IDENTIFIER = 'must be one level of a topic: without "/", "+" and "#"';

function identifier() {
  return checked(text(1024), IDENTIFIER, (value) => {
    const problem = checkIdentifier(value);
    return problem === undefined ? undefined : `is ${JSON.stringify(value)}, which ${problem}`;
  });
}

/** A function, not a constant: each schema needs its own descriptions. */
export function sparkplugTable() {
  return table(
    {
      groups: list("group ids", identifier(), 1, 1000)
        .optional()
        .describe("Sparkplug groups whose edge nodes are followed. Default: all."),
      primary_host_id: identifier()
        .optional()
        .describe(
          "Acts as the primary host application of this id: edge nodes that wait for it hear from its STATE whether data goes across. Unset: publishes no STATE.",
        ),
      state_format: choice(["3.0", "2.2", "both"])
        .default("3.0")
        .describe(
          'Form of STATE: "3.0" is JSON at spBv1.0/STATE/ID, "2.2" the bare words at STATE/ID of the older specification.',
        ),
      snapshot_seconds: wholeNumber(5, 86_400)
        .default(60)
        .describe(
          "Every edge node and device is sent across anew this often, as a birth with its current values: so long at most is a receiver that starts late incomplete.",
        ),
      rebirth: flag()
        .default(true)
        .describe(
          "Asks an edge node here in the plant to be born again when its birth is unknown or messages of it were missed.",
        ),
      rebirth_min_seconds: wholeNumber(1, 86_400)
        .default(30)
        .describe("Time between two such requests to one edge node; it doubles while they change nothing."),
      rebirths_per_second_max: wholeNumber(1, 10_000)
        .default(10)
        .describe("Such requests to all edge nodes in a second; more wait for their turn."),
      nodes_max: wholeNumber(1, 1_000_000)
        .default(10_000)
        .describe("Edge nodes that are followed. Over it, the one that has been dead for longest goes."),
      metrics_per_node_max: wholeNumber(1, 100_000)
        .default(50_000)
        .describe("Metrics of an edge node with its devices; one with more is not followed."),
      memory_bytes_max: wholeNumber(1_048_576, 17_179_869_184)
        .default(268_435_456)
        .describe("Memory for metrics and their values, of all edge nodes. Over it as with nodes_max."),
    },
    "true, false or a table",
  );
}

export type SparkplugTable = z.output<ReturnType<typeof sparkplugTable>>;

export function toSparkplug(value: SparkplugTable | undefined): SparkplugConfig | undefined {
  if (value === undefined) return undefined;
  const { state_format: format } = value;
  return {
    groups: value.groups,
    primaryHostId: value.primary_host_id,
    stateFormats: format === "both" ? ["3.0", "2.2"] : [format],
    snapshotMs: value.snapshot_seconds * 1000,
    rebirth: value.rebirth,
    rebirthMinMs: value.rebirth_min_seconds * 1000,
    rebirthsPerSecondMax: value.rebirths_per_second_max,
    nodesMax: value.nodes_max,
    metricsPerNodeMax: value.metrics_per_node_max,
    memoryBytesMax: value.memory_bytes_max,
  };
}

/** The document with `sparkplug = true` and `false` of its sources written out. */
export function expandSparkplug(document: TomlDocument): TomlDocument {
  const { source } = document.table;
  if (!Array.isArray(source)) return document;
  const expand = (one: unknown) => {
    if (typeof one !== "object" || one === null) return one;
    const { sparkplug, ...rest } = one as TomlTable;
    if (sparkplug === true) return { ...rest, sparkplug: {} };
    return sparkplug === false ? rest : one;
  };
  return { ...document, table: { ...document.table, source: source.map(expand) } };
}

/** A subscribing source that asks its broker for nothing of Sparkplug would follow nobody, in silence. */
export function reviewTopics(review: Review, index: number, filters: readonly string[]): void {
  const sample = `${NAMESPACE}/group/NBIRTH/node`;
  const isSparkplug = (filter: string) =>
    matchTopic(filter, sample) || new RegExp(`^(\\$share/[^/]+/)?(${NAMESPACE}|\\+)/`).test(filter);
  if (filters.some(isSparkplug)) return;
  const problem = "is on, but none of the topics is of Sparkplug";
  review.add(["source", index, "sparkplug"], problem, `must go with topics such as "${NAMESPACE}/#"`);
}

/** What the agent says to edge nodes goes by their subscriptions. */
export function reviewListen(review: Review, index: number, subscriptions: string | undefined): void {
  if (subscriptions !== "refuse") return;
  const allowed = 'must be "accept" with sparkplug, or edge nodes could hear neither STATE nor requests';
  review.add(["source", index, "subscriptions"], 'is "refuse"', allowed);
}
