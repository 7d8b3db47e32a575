// The recv agent's status for a person at a terminal: is it through, what is missing, why.
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatReasons,
  formatRows,
} from "../../shared/admin/text.ts";
import type { PathStatus, RecvStatus } from "./status.ts";
import type { SparkplugFigures } from "./targets/sparkplug/figures.ts";

export function formatRecvStatus(status: RecvStatus): string {
  const { link, ledger, spool } = status;
  const head = `tidegate-recv ${status.version}, link ${status.linkId}: ${status.state}, up ${formatDuration(status.uptimeSeconds)}\n`;
  const problem = status.problem === null ? "" : `  cannot write the spool: ${status.problem}\n`;
  const paths = link.paths.map((path) => [path.name, describePath(path)] as const);
  const targets = status.targets.map((target) => {
    const { forwarded, held, filtered, lost } = target.ledger;
    const figures = `${target.state}, forwarded ${formatCount(forwarded)}, held ${formatCount(held)}, filtered ${formatReasons(filtered)}, lost ${formatReasons(lost)}`;
    const lines = [figures];
    if (target.sparkplug !== null) lines.push(describeSparkplug(target.sparkplug));
    if (target.problem !== null) lines.push(target.problem);
    return [target.name, lines.join("\n    ")] as const;
  });
  return [
    head,
    problem,
    "\nlink\n",
    formatRows([
      ["state", describeLink(status)],
      ["sender", describeSender(status)],
      ["repaired by FEC", `${formatCount(link.restoredSymbols)} symbols`],
    ]),
    "\npaths\n",
    formatRows(paths),
    "\nledger of the link\n",
    formatRows([
      ["arrived", formatCount(ledger.accepted)],
      ["lost", formatReasons(ledger.lost)],
      ["recovered", formatCount(link.recovered)],
      [
        "open gaps",
        `${formatCount(link.gaps.count)}${link.gaps.count > 0 ? ", see tidegate-recv gaps" : ""}`,
      ],
      ["given up by the sender", formatReasons(ledger.skipped)],
      ["still awaited", formatCount(ledger.awaited)],
      ["sender's ledger", describeComparison(status)],
    ]),
    "\ntargets\n",
    formatRows(targets),
    `\nspool ${formatBytes(spool.bytes)} of ${formatBytes(spool.bytesMax)}\n`,
    status.deadLetters.count === 0
      ? ""
      : `dead letters ${formatCount(status.deadLetters.count)}, see tidegate-recv dead-letters list\n`,
    status.deadLetters.problem === null ? "" : `dead letters are not kept: ${status.deadLetters.problem}\n`,
  ].join("");
}

function describeLink({ link }: RecvStatus): string {
  if (link.heartbeatAgeSeconds === null) return `${link.state}: no heartbeat since this agent was started`;
  return `${link.state}, last heartbeat ${link.heartbeatAgeSeconds.toFixed(1)} s ago`;
}

function describeSender({ sender, link }: RecvStatus): string {
  if (sender === null) return "unknown";
  const own = sender.sections.find(({ type }) => type === "link")?.counters ?? {};
  const figures = `accepted ${formatCount(own.accepted ?? 0)}, forwarded ${formatCount(own.forwarded ?? 0)}, held ${formatCount(own.held ?? 0)}`;
  const state = sender.stopping ? "stopped" : `up ${formatDuration(sender.uptimeSeconds)}`;
  const clock = `clock ${((link.clockDifferenceMs ?? 0) / 1000).toFixed(1)} s behind ours`;
  return `${state}, started again ${link.senderRestarts} times, ${clock}, ${figures}`;
}

function describeComparison({ ledger: { comparison } }: RecvStatus): string {
  if (comparison === null) return "not compared yet";
  const { forwarded, givenUp, difference } = comparison;
  const figures = `forwarded ${formatCount(forwarded)}, given up ${formatCount(givenUp)}`;
  if (difference === 0) return `${figures}: no difference`;
  const which = difference > 0 ? "more" : "fewer";
  return `${figures}: ${formatCount(Math.abs(difference))} ${which} than here, UNEXPLAINED`;
}

function describeSparkplug({ nodes, held, gaps, isSilent, commands, rebirths }: SparkplugFigures): string {
  const of = `of ${formatCount(nodes.known)} edge nodes ${formatCount(nodes.online)} alive, ${formatCount(nodes.born)} born here`;
  const parts = `${formatCount(nodes.devices)} devices, ${formatCount(nodes.metrics)} metrics`;
  const asked = `rebirths asked for ${formatCount(commands.answered)}, given ${formatReasons(rebirths as Record<string, number>)}`;
  const refused = `commands refused ${formatReasons(commands.refused)}`;
  const doubt =
    nodes.inDoubt > 0
      ? `; ${formatCount(nodes.inDoubt)} in doubt after a gap, ${formatCount(held)} messages wait for a snapshot`
      : "";
  const silence = isSilent ? "the link is down, so all are published as dead; " : "";
  return `${silence}${of}, ${parts}, gaps ${formatCount(gaps)}, ${asked}, ${refused}${doubt}`;
}

/** What a path brings, and below it what is wrong with it. */
function describePath(path: PathStatus): string {
  const missing = path.missing === null ? "unknown" : formatCount(path.missing);
  const figures = [
    `${path.type} ${path.address}`,
    `${formatCount(path.datagrams)} datagrams (${formatBytes(path.bytes)})`,
    `first ${formatCount(path.first)}`,
    `missing ${missing}`,
    `refused ${formatReasons(path.refused)}`,
  ];
  const skipped = Object.keys(path.skippedBytes).length > 0;
  if (skipped) figures.push(`bytes skipped ${formatReasons(path.skippedBytes)}`);
  for (const [what, count] of Object.entries(path.events))
    figures.push(`${what.replace("_", " ")} ${formatCount(count)}`);
  const troubles: string[] = [];
  if (path.problem !== null) troubles.push(`brings nothing: ${path.problem}`);
  if (path.silent) troubles.push(describeSilence(path));
  return [figures.join(", "), ...troubles].join("\n    ");
}

function describeSilence({ silentSeconds }: PathStatus): string {
  return silentSeconds === null
    ? "is silent: nothing has ever come by it, while other paths bring something"
    : `is silent for ${silentSeconds.toFixed(0)} s, while other paths bring something`;
}
