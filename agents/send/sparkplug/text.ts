// Sparkplug at a source in the words of `tidegate-send status`.
import { formatBytes, formatCount, formatReasons } from "../../../shared/admin/text.ts";
import type { SparkplugFigures } from "./figures.ts";

/** So many edge nodes that are not well are named. */
const NAMED_MAX = 5;

export function describeSparkplug(figures: SparkplugFigures | undefined): string[] {
  if (figures === undefined) return [];
  const { nodes, devices, metrics, memoryBytes, rebirths, troubles, malformed, refused, snapshots, host } =
    figures;
  const ill = figures.nodeList.filter(({ online, complete }) => !online || !complete);
  const role = host.id === null ? "asks for rebirths" : `primary host ${host.id}`;
  return [
    `sparkplug: ${formatCount(nodes.online)} edge nodes online, ${formatCount(nodes.offline)} offline; devices ${formatCount(devices.online)} online, ${formatCount(devices.offline)} offline; ${formatCount(metrics)} metrics in ${formatBytes(memoryBytes)}`,
    `  missed ${formatReasons(troubles)}, rebirths asked ${formatCount(rebirths.asked)}, waiting ${formatCount(rebirths.waiting)}; snapshots ${formatCount(snapshots)}; malformed ${formatReasons(malformed)}; not followed ${formatReasons(refused)}`,
    `  ${role}: ${host.state}${host.problem === null ? "" : `: ${host.problem}`}`,
    ...ill
      .slice(0, NAMED_MAX)
      .map(
        ({ group, node, online }) =>
          `  ${group}/${node}: ${online ? "messages were missed, not born again yet" : "offline"}`,
      ),
  ];
}
