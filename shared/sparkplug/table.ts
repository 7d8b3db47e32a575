// The metrics of one edge node or device since its birth: each as the birth told it, and what has changed since. A metric is
// found by name or by alias, and can be told again at any time as a birth would tell it.
// Bounded by who makes it: `bytes` says what it holds.
import { mergeMetric } from "./merge.ts";
import type { Metric, Payload } from "./payload.ts";
import { setTimestamp } from "./rewrite.ts";

/** What a metric costs beside its bytes. */
const ENTRY_BYTES = 320;
/** What may be merged for one message: it could name a large template thousands of times. */
const MERGED_BYTES_MAX = 33_554_432;

type Entry = {
  /** The metric as a birth tells it, value included. */
  base: Uint8Array;
  /** The newest value, where it has not been worked into `base`. */
  update: Uint8Array | undefined;
  timestamp: bigint | undefined;
  /** Only with what merging it takes time: properties, templates. */
  isComposite: boolean;
};

/** "other": with any other timestamp, which may be earlier where the edge node's clock was set back. */
export type OnlyNewer = boolean | "other";

export type Applied =
  | "applied"
  /** Flagged as history: it changes no current value. */
  | "historical"
  /** Not newer than what is known; only where the caller asks for it. */
  | "older"
  /** The birth has no such name or alias; or the message has named large ones too often. */
  | "unknown-metric";

export class MetricTable {
  readonly #entries: Entry[] = [];
  readonly #byName = new Map<string, Entry>();
  readonly #byAlias = new Map<bigint, Entry>();
  #bytes = 0;
  /** For the message that is taken. */
  #mergedBytes = 0;

  /** `metrics` are those of a birth, whose own timestamp stands in for those that metrics lack. */
  constructor(metrics: readonly Metric[], birthTimestamp: bigint | undefined) {
    for (const metric of metrics) {
      const base = stamp(metric, birthTimestamp);
      const timestamp = metric.timestamp ?? birthTimestamp;
      const entry = { base, update: undefined, timestamp, isComposite: metric.isComposite };
      this.#entries.push(entry);
      if (metric.name !== undefined) this.#byName.set(metric.name, entry);
      if (metric.alias !== undefined) this.#byAlias.set(metric.alias, entry);
      this.#bytes += ENTRY_BYTES + base.length + (metric.name?.length ?? 0);
    }
  }

  get size(): number {
    return this.#entries.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes the metric of a DATA message. With `onlyNewer` it counts only when its timestamp is later than that of the value
   * that is known: for snapshots, which may arrive behind data that was sent after them.
   */
  apply(metric: Metric, payloadTimestamp: bigint | undefined, onlyNewer: OnlyNewer = false): Applied {
    this.#mergedBytes = 0;
    return this.#apply(metric, payloadTimestamp, onlyNewer);
  }

  /** All metrics of a DATA message; what came of each. */
  applyAll({ metrics, timestamp }: Payload, onlyNewer = false): Applied[] {
    this.#mergedBytes = 0;
    return metrics.map((metric) => this.#apply(metric, timestamp, onlyNewer));
  }

  #apply(metric: Metric, payloadTimestamp: bigint | undefined, onlyNewer: OnlyNewer): Applied {
    const entry = this.#find(metric);
    if (entry === undefined) return "unknown-metric";
    if (metric.isHistorical) return "historical";
    const timestamp = metric.timestamp ?? payloadTimestamp;
    if (onlyNewer === "other" && timestamp === entry.timestamp) return "older";
    if (
      onlyNewer === true &&
      !(timestamp !== undefined && (entry.timestamp === undefined || timestamp > entry.timestamp))
    )
      return "older";
    const isComposite = metric.isComposite || entry.isComposite;
    if (isComposite) this.#mergedBytes += entry.base.length + metric.raw.length;
    if (isComposite && this.#mergedBytes > MERGED_BYTES_MAX) return "unknown-metric";
    this.#bytes -= entry.base.length + (entry.update?.length ?? 0);
    const raw = stamp(metric, payloadTimestamp);
    entry.timestamp = timestamp ?? entry.timestamp;
    if (isComposite) {
      entry.base = mergeMetric(entry.base, raw);
      entry.isComposite = true;
    } else entry.update = raw;
    this.#bytes += entry.base.length + (entry.update?.length ?? 0);
    return "applied";
  }

  /** The metrics with their current values, in the order of the birth, without tag and length. */
  render(): Uint8Array[] {
    return this.#entries.map((entry) => {
      // Once merged it stays so: who renders again and again pays for what has changed only.
      if (entry.update !== undefined) {
        const merged = mergeMetric(entry.base, entry.update);
        this.#bytes += merged.length - entry.base.length - entry.update.length;
        entry.base = merged;
        entry.update = undefined;
      }
      return entry.base;
    });
  }

  /** By name where it has one, else by its alias. */
  #find({ name, alias }: Metric): Entry | undefined {
    const named = name === undefined || name === "" ? undefined : this.#byName.get(name);
    if (named !== undefined || alias === undefined) return named;
    return name === undefined || name === "" ? this.#byAlias.get(alias) : undefined;
  }
}

/** Its own copy of the metric, with a timestamp. */
function stamp(metric: Metric, timestamp: bigint | undefined): Uint8Array {
  if (metric.timestamp !== undefined || timestamp === undefined) return new Uint8Array(metric.raw);
  return setTimestamp(metric.raw, timestamp);
}
