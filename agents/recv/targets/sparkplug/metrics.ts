// The figures of Sparkplug targets for Prometheus. docs/sparkplug.md says which of them are worth an alarm.
import type { Metrics } from "../../../../shared/admin/metrics.ts";
import type { Target } from "../target.ts";
import type { SparkplugFigures } from "./figures.ts";

const PREFIX = "tidegate_recv_sparkplug_";

export function addSparkplugMetrics(metrics: Metrics, read: () => readonly Target[]): void {
  const each = function* (pick: (figures: SparkplugFigures) => number) {
    for (const { name, sparkplug } of read())
      if (sparkplug !== undefined) yield [{ target: name }, pick(sparkplug)] as const;
  };
  const group = function* (
    label: string,
    pick: (figures: SparkplugFigures) => Readonly<Record<string, number>>,
  ) {
    for (const { name, sparkplug } of read()) {
      if (sparkplug === undefined) continue;
      for (const [key, value] of Object.entries(pick(sparkplug)))
        yield [{ target: name, [label]: key }, value] as const;
    }
  };
  const gauge = (name: string, help: string, pick: (figures: SparkplugFigures) => number) =>
    metrics.gauge(PREFIX + name, help, ["target"], () => each(pick));
  const groups = (
    name: string,
    help: string,
    label: string,
    pick: (figures: SparkplugFigures) => Readonly<Record<string, number>>,
  ) => metrics.counter(PREFIX + name, help, ["target", label], () => group(label, pick));
  gauge("nodes", "Edge nodes that are followed.", ({ nodes }) => nodes.known);
  gauge("nodes_online", "Edge nodes that are alive on the far side.", ({ nodes }) => nodes.online);
  gauge("nodes_born", "Edge nodes that are born at the broker.", ({ nodes }) => nodes.born);
  gauge("devices", "Devices that are followed.", ({ nodes }) => nodes.devices);
  gauge("metrics", "Metrics that are followed.", ({ nodes }) => nodes.metrics);
  gauge(
    "in_doubt",
    "Edge nodes and devices whose aliases a gap has put in doubt.",
    ({ nodes }) => nodes.inDoubt,
  );
  gauge("state_bytes", "Births and last values.", ({ stateBytes }) => stateBytes);
  gauge("held_messages", "Messages that wait for a birth or a snapshot.", ({ held }) => held);
  gauge("silent", "1 while all are published as dead because the link is down.", ({ isSilent }) =>
    isSilent ? 1 : 0,
  );
  gauge("connections", "Connections to the broker, open or being opened.", ({ connections }) => connections);
  metrics.counter(`${PREFIX}gaps_total`, "Gaps in the seq of edge nodes.", ["target"], () =>
    each(({ gaps }) => gaps),
  );
  metrics.counter(`${PREFIX}snapshots_total`, "Birth snapshots that came.", ["target"], () =>
    each(({ snapshots }) => snapshots),
  );
  metrics.counter(`${PREFIX}commands_answered_total`, "Rebirths that hosts asked for.", ["target"], () =>
    each(({ commands }) => commands.answered),
  );
  groups("published_total", "What was published, by kind.", "kind", ({ published }) => published);
  groups("rebirths_total", "Births again, by reason.", "reason", ({ rebirths }) => rebirths);
  groups(
    "commands_refused_total",
    "Commands of hosts, by why.",
    "reason",
    ({ commands }) => commands.refused,
  );
  groups("malformed_total", "Payloads that cannot be read, by why.", "reason", ({ malformed }) => malformed);
}
