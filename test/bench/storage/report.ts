// The storage figures as Markdown, and as JSON beside the page.
import type { AgentName } from "../../support/agents.ts";
import type { Standing } from "../contest.ts";
import type { ListenStanding } from "../listen.ts";
import { group, replaceBetween, show, table } from "../report.ts";
import type { BacklogFigures } from "./backlog.ts";
import type { StartFigures } from "./start.ts";
import type { WriteFigures } from "./writes.ts";

export type StorageResults = {
  readonly date: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly carrying: readonly Standing[];
  readonly taking: readonly ListenStanding[];
  readonly starts: readonly StartFigures[];
  readonly backlogs: readonly BacklogFigures[];
  readonly writes: readonly WriteFigures[];
};

const MARKERS = [
  "<!-- written by npm run bench:store: from here -->",
  "<!-- written by npm run bench:store: to here -->",
] as const;
const SECONDS_A_DAY = 86_400;

export function replaceStorage(page: string, results: StorageResults): string {
  return replaceBetween(page, MARKERS, formatStorage(results));
}

export function formatStorage(results: StorageResults): string {
  const list = (entries: Readonly<Record<string, string>>) =>
    Object.entries(entries)
      .map(([name, value]) => `${name} ${value}`)
      .join(", ");
  // A table is its two first lines and what was measured.
  const section = (title: string, lines: readonly string[]) =>
    lines.length > 2 ? [`\n### ${title}\n`, ...lines] : [];
  return [
    `\nMeasured ${results.date} on ${list(results.machine)}; ${list(results.versions)}.`,
    ...section(
      "QoS 1 from broker to broker, all brokers with persistence, 100 B",
      formatCarrying(results.carrying),
    ),
    ...section("QoS 1 from publishers, 100 B", formatTaking(results.taking)),
    ...section("Until ready, by what journal or spool hold", formatStarts(results.starts)),
    ...section("Memory of the receiver with a backlog", formatBacklogs(results.backlogs)),
    ...section("Written to the disk", formatWrites(results.writes)),
    "",
  ].join("\n");
}

function formatCarrying(standings: readonly Standing[]): string[] {
  return table(
    ["way", "messages/s", "ratio", "others used"],
    standings.map(({ name, messagesPerSecond, ratio, foreignLoadMost, failures }) => [
      name,
      failures.length > 0 ? `failed: ${failures[0]}` : show(messagesPerSecond, 0),
      show(ratio, 2),
      `${Math.round(foreignLoadMost * 100)} %`,
    ]),
  );
}

function formatTaking(figures: readonly ListenStanding[]): string[] {
  return table(
    ["server", "messages/s", "ratio", "CPU s per million messages", "others used"],
    figures.map(({ server, messagesPerSecond, ratio, cpuSecondsPerMillion, foreignLoadMost }) => [
      server,
      show(messagesPerSecond, 0),
      show(ratio, 2),
      cpuSecondsPerMillion.toFixed(2),
      `${Math.round(foreignLoadMost * 100)} %`,
    ]),
  );
}

function formatStarts(starts: readonly StartFigures[]): string[] {
  const ms = (value: number | undefined) => (value === undefined ? "" : group(value));
  return table(
    [
      "",
      "rows of",
      "reading all of it, cold",
      "ready after a stop, cold",
      "ready after kill -9, cold",
      "warm",
      "ratio to the smallest",
    ],
    starts.map((figures) => {
      const { agent, megabytes, rowBytes, coldReadMs, coldMs, killedMs, warmMs } = figures;
      const smallest = starts.find((other) => other.agent === agent)?.killedMs ?? Number.NaN;
      return [
        `${nameLog(agent)} of ${group(megabytes)} MB`,
        `${group(rowBytes)} B`,
        ...[coldReadMs, coldMs, killedMs, warmMs].map((value) =>
          value === undefined ? "" : `${ms(value)} ms`,
        ),
        (killedMs / smallest).toFixed(1),
      ];
    }),
  );
}

function formatBacklogs(backlogs: readonly BacklogFigures[]): string[] {
  const [first] = backlogs;
  return table(
    [
      "spool",
      "messages",
      "peak MB, target away",
      "peak MB, drained a million",
      "ratio to the smallest",
      "drained/s",
    ],
    backlogs.map((figures) => [
      `${group(figures.megabytes)} MB`,
      group(figures.messages),
      figures.waitingMegabytes.toFixed(0),
      figures.drainingMegabytes.toFixed(0),
      (figures.drainingMegabytes / (first?.drainingMegabytes ?? Number.NaN)).toFixed(2),
      group(figures.messagesPerSecond),
    ]),
  );
}

function formatWrites(writes: readonly WriteFigures[]): string[] {
  return table(
    [
      "payload",
      "load",
      "durability",
      "journal, written/payload",
      "spool, written/payload",
      "journal, GB a day",
    ],
    writes.map(({ payloadBytes, title, durability, factor, bytesPerMessage, ratePerSecond }) => [
      `${group(payloadBytes)} B`,
      title,
      durability,
      factor.send.toFixed(2),
      factor.recv.toFixed(2),
      ratePerSecond === undefined
        ? ""
        : ((bytesPerMessage.send * ratePerSecond * SECONDS_A_DAY) / 1e9).toFixed(0),
    ]),
  );
}

const nameLog = (agent: AgentName) => (agent === "send" ? "journal" : "spool");
