// Sparkplug's part of /metrics: by source, and by reason where there are several.
import { labelled, type Metrics } from "../../../shared/admin/metrics.ts";
import type { Source } from "../ingress/source.ts";
import type { SparkplugFigures } from "./figures.ts";

export function addSparkplugMetrics(metrics: Metrics, read: () => readonly Source[]): void {
  const each = function* (pick: (figures: SparkplugFigures) => number) {
    for (const { name: source, sparkplug } of read())
      if (sparkplug !== undefined) yield [{ source }, pick(sparkplug)] as const;
  };
  const eachBy = function* (label: string, pick: (figures: SparkplugFigures) => Record<string, number>) {
    for (const { name: source, sparkplug } of read()) {
      if (sparkplug === undefined) continue;
      for (const [labels, value] of labelled(label, pick(sparkplug)))
        yield [{ source, ...labels }, value] as const;
    }
  };
  const name = (rest: string) => `tidegate_send_sparkplug_${rest}`;
  metrics.gauge(name("nodes"), "Sparkplug edge nodes that are followed.", ["source", "state"], () =>
    eachBy("state", ({ nodes }) => nodes),
  );
  metrics.gauge(name("devices"), "Their devices.", ["source", "state"], () =>
    eachBy("state", ({ devices }) => devices),
  );
  metrics.gauge(name("metrics"), "Their metrics.", ["source"], () => each((figures) => figures.metrics));
  metrics.gauge(name("memory_bytes"), "Memory for their metrics and values.", ["source"], () =>
    each((figures) => figures.memoryBytes),
  );
  metrics.gauge(
    name("incomplete_nodes"),
    "Edge nodes of which messages were missed since their birth.",
    ["source"],
    () => each((figures) => figures.incomplete),
  );
  metrics.gauge(name("host_online"), "1 while edge nodes can hear the agent.", ["source"], () =>
    each((figures) => (figures.host.state === "online" ? 1 : 0)),
  );
  metrics.counter(name("births_total"), "Births of edge nodes and devices.", ["source"], () =>
    each((figures) => figures.births),
  );
  metrics.counter(name("deaths_total"), "Deaths of edge nodes and devices.", ["source"], () =>
    each((figures) => figures.deaths),
  );
  metrics.counter(
    name("troubles_total"),
    "Messages that showed that something was missed.",
    ["source", "reason"],
    () => eachBy("reason", ({ troubles }) => troubles),
  );
  metrics.counter(
    name("rebirths_asked_total"),
    "Edge nodes that were asked to be born again.",
    ["source"],
    () => each((figures) => figures.rebirths.asked),
  );
  metrics.gauge(
    name("rebirths_waiting"),
    "Edge nodes that wait for their turn to be asked.",
    ["source"],
    () => each((figures) => figures.rebirths.waiting),
  );
  metrics.counter(
    name("malformed_total"),
    "Sparkplug messages that could not be read.",
    ["source", "reason"],
    () => eachBy("reason", ({ malformed }) => malformed),
  );
  metrics.counter(
    name("refused_total"),
    "Messages of edge nodes over a limit, which are not followed.",
    ["source", "reason"],
    () => eachBy("reason", ({ refused }) => refused),
  );
  metrics.counter(name("snapshots_total"), "Birth snapshots handed to the link.", ["source"], () =>
    each((figures) => figures.snapshots),
  );
}
