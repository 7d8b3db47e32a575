// The summary of inspect as text: what the file holds, run by run and stream by stream, and what is missing in it.
import { formatBytes, formatCount } from "../admin/text.ts";
import { formatPlural } from "./plural.ts";
import type { Range } from "./ranges.ts";
import { explainOutcome } from "./reason-text.ts";
import type { BlockSummary, SummaryView } from "./summary-view.ts";

const HOLES_SHOWN_MAX = 20;

export function formatSummary(summary: SummaryView): string {
  const { datagrams, rows, outcomes, others, runs, runsNotListed, streams } = summary;
  const isLog = summary.of === "log";
  const counted = Object.entries(outcomes).filter(([outcome]) => !isLog || outcome !== "content");
  const lines = [
    isLog ? formatPlural(rows, "row") : formatPlural(datagrams, "Tidegate datagram"),
    ...counted.map(([outcome, count]) => `  ${formatCount(count)}  ${explainOutcome(outcome)}`),
    ...Object.entries(others).map(([what, count]) => `${formatPlural(count, "other packet")}: ${what}`),
    ...runs.flatMap(formatRun),
    ...(runsNotListed > 0 ? [`${formatCount(runsNotListed)} datagrams and blocks of more runs`] : []),
    ...streams.flatMap(formatStream),
  ];
  return `\n${lines.map((line) => `${line}\n`).join("")}`;
}

function formatRun(run: SummaryView["runs"][number]): string[] {
  const { journalId, epoch, linkTag, keyIds, firstTime, lastTime, datagrams, bytes } = run;
  const keys = keyIds.map((id) => (id === "0000" ? "not sealed" : `key ${id}`)).join(" and ");
  return [
    `journal ${journalId}, epoch ${epoch}, link tag ${linkTag}, ${keys}`,
    `  ${formatPlural(datagrams, "datagram")}, ${formatBytes(bytes)}${firstTime ? `, ${firstTime} to ${lastTime}` : ""}`,
    ...formatBlocks("blocks of messages", run.messageBlocks),
    ...formatBlocks("heartbeats", run.heartbeatBlocks),
  ];
}

function formatBlocks(title: string, blocks: BlockSummary | null): string[] {
  if (blocks === null) return [];
  const { first, last, seen, whole, unfinished, unseen, lostSymbols, restoredSymbols, lossPerBlock } = blocks;
  const missing = unfinished + unseen === 0 ? "" : `; ${unfinished} unfinished, ${unseen} not seen at all`;
  const losses = Object.entries(lossPerBlock)
    .filter(([lost]) => lost !== "0")
    .map(([lost, count]) => `${lost} in ${formatPlural(count, "block")}`);
  return [
    `  ${title} ${first} to ${last}: ${formatCount(whole)} whole of ${formatCount(seen)} seen${missing}`,
    lostSymbols === 0
      ? "    no symbol is missing in them"
      : `    missing symbols: ${losses.join(", ")}; ${formatCount(restoredSymbols)} restored`,
  ];
}

function formatStream(stream: SummaryView["streams"][number]): string[] {
  const { journalId, messages, payloadBytes, skipped, malformed, repeated, ranges, holes } = stream;
  const given = Object.entries(skipped).map(([reason, count]) => `${reason} ${formatCount(count)}`);
  const extras = [
    ...(given.length > 0 ? [`given up by the sender: ${given.join(", ")}`] : []),
    ...(malformed > 0 ? [`malformed ${formatCount(malformed)}`] : []),
    ...(repeated > 0 ? [`seen again ${formatCount(repeated)}`] : []),
  ];
  const [lowest] = ranges;
  const highest = ranges.at(-1);
  const more = stream.holesNotListed + Math.max(0, holes.length - HOLES_SHOWN_MAX);
  const listed = holes.slice(0, HOLES_SHOWN_MAX).map(formatRange);
  return [
    `stream ${stream.stream} of journal ${journalId}: ${formatPlural(messages, "message")}, ${formatBytes(payloadBytes)}`,
    ...(extras.length > 0 ? [`  ${extras.join("; ")}`] : []),
    `  sequences ${lowest?.first ?? 0} to ${more > 0 ? "…" : (highest?.last ?? 0)}${holes.length === 0 ? ", none missing between" : ""}`,
    ...(holes.length > 0
      ? [`  missing: ${listed.join(", ")}${more > 0 ? `, and ${formatCount(more)} more ranges` : ""}`]
      : []),
  ];
}

function formatRange({ first, last }: Range): string {
  return first === last ? `${first}` : `${first} to ${last} (${formatCount(last - first + 1)})`;
}
