// The results as Markdown, between two markers of the page, so that what people wrote around them stays.
import type { AgentName } from "../support/agents.ts";
import type { Standing } from "./contest.ts";
import type { PacingStanding } from "./pacing.ts";
import type { StartResult } from "./startup.ts";
import type { Spread } from "./statistic.ts";

export type LinkStanding = {
  readonly datagramBytes: number;
  readonly plainMegabits: Spread;
  readonly sealedMegabits: Spread;
  readonly ratio: Spread;
  readonly sealedCpuPerGigabyte: { readonly sender: number; readonly receiver: number };
  readonly foreignLoadMost: number;
};

export type Results = {
  readonly date: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly throughput: readonly { readonly title: string; readonly standings: readonly Standing[] }[];
  readonly latency: readonly { readonly title: string; readonly standings: readonly Standing[] }[];
  readonly link: readonly LinkStanding[];
  readonly pacing: readonly PacingStanding[];
  readonly start: Readonly<Record<AgentName, StartResult>> | undefined;
};

const BEGIN = "<!-- written by npm run bench: from here -->";
const END = "<!-- written by npm run bench: to here -->";

/** The page with the part between the markers replaced. Throws when it lacks them. */
export function replaceResults(page: string, results: Results): string {
  return replaceBetween(page, [BEGIN, END], formatResults(results));
}

export function replaceBetween(page: string, [from, to]: readonly [string, string], text: string): string {
  const begin = page.indexOf(from);
  const end = page.indexOf(to);
  if (begin === -1 || end < begin) throw new Error("cannot write the results: the page has lost its markers");
  return `${page.slice(0, begin + from.length)}\n${text}\n${page.slice(end)}`;
}

export function formatResults(results: Results): string {
  const list = (entries: Readonly<Record<string, string>>) =>
    Object.entries(entries)
      .map(([name, value]) => `${name} ${value}`)
      .join(", ");
  return [
    `\nMeasured ${results.date} on ${list(results.machine)}; ${list(results.versions)}.`,
    ...results.throughput.flatMap(({ title, standings }) => [
      `\n### ${title}\n`,
      ...table(
        ["way", "messages/s", "ratio", "CPU s per million messages", "peak memory MB", "others used"],
        standings.map((standing) => [
          standing.name,
          show(standing.messagesPerSecond, 0),
          show(standing.ratio, 2),
          figures(standing.cpuSecondsPerMillion, 2),
          figures(standing.peakMegabytes, 0),
          `${Math.round(standing.foreignLoadMost * 100)} %`,
        ]),
      ),
      ...failuresOf(standings),
    ]),
    ...results.latency.flatMap(({ title, standings }) => [
      `\n### ${title}\n`,
      ...table(
        ["way", "p50 ms", "p99 ms", "p99.9 ms", "added p50 ms", "added p99 ms", "others used"],
        standings.map(({ name, latencyMs, foreignLoadMost }) => [
          name,
          show(latencyMs.p50, 2),
          show(latencyMs.p99, 2),
          show(latencyMs.p999, 2),
          added(latencyMs.p50, standings[0]?.latencyMs.p50),
          added(latencyMs.p99, standings[0]?.latencyMs.p99),
          `${Math.round(foreignLoadMost * 100)} %`,
        ]),
      ),
      ...failuresOf(standings),
    ]),
    ...(results.link.length === 0 ? [] : ["\n### The link alone\n", ...formatLink(results.link)]),
    ...(results.pacing.length === 0 ? [] : ["\n### The pace of a path\n", ...formatPacing(results.pacing)]),
    ...(results.start === undefined ? [] : ["\n### The programs\n", ...formatStart(results.start)]),
    "",
  ].join("\n");
}

function formatLink(link: readonly LinkStanding[]): string[] {
  return table(
    [
      "datagram",
      "plain UDP Mbit/s",
      "sealed and coded Mbit/s",
      "ratio",
      "CPU s per GB, sender + receiver",
      "others used",
    ],
    link.map(
      ({ datagramBytes, plainMegabits, sealedMegabits, ratio, sealedCpuPerGigabyte, foreignLoadMost }) => [
        `${group(datagramBytes)} B`,
        show(plainMegabits, 0),
        show(sealedMegabits, 0),
        show(ratio, 2),
        `${sealedCpuPerGigabyte.sender.toFixed(2)} + ${sealedCpuPerGigabyte.receiver.toFixed(2)}`,
        `${Math.round(foreignLoadMost * 100)} %`,
      ],
    ),
  );
}

function formatPacing(pacing: readonly PacingStanding[]): string[] {
  return table(
    ["asked for", "datagram", "achieved", "most in 10 ms", "others used"],
    pacing.map(({ asked, datagramBytes, achieved, burst, foreignLoadMost }) => [
      asked,
      `${group(datagramBytes)} B`,
      show(achieved, 3),
      show(burst, 2),
      `${Math.round(foreignLoadMost * 100)} %`,
    ]),
  );
}

function formatStart(start: Readonly<Record<AgentName, StartResult>>): string[] {
  return table(
    ["program", "size MB", "`--version` ms", "until `/readyz` says yes ms"],
    (["send", "recv"] as const).map((agent) => {
      const { megabytes, versionMs, readyMs } = start[agent];
      return [`tidegate-${agent}`, megabytes.toFixed(1), show(versionMs, 0), show(readyMs, 0)];
    }),
  );
}

function failuresOf(standings: readonly Standing[]): string[] {
  return standings.flatMap(({ name, failures }) =>
    failures.map((why) => `\n**A run failed**, ${name}: ${why}`),
  );
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}

/** "median (least–most)" */
export function show({ median, least, most }: Spread, digits: number): string {
  if (Number.isNaN(median)) return "none";
  return `${group(median, digits)} (${group(least, digits)}–${group(most, digits)})`;
}

export function added(own: Spread, base: Spread | undefined): string {
  return base === undefined || base === own ? "" : (own.median - base.median).toFixed(2);
}

function figures(record: Readonly<Record<string, number>>, digits: number): string {
  return Object.entries(record)
    .map(([name, value]) => `${name} ${value.toFixed(digits)}`)
    .join(", ");
}

export function group(value: number, digits = 0): string {
  const [whole = "", fraction] = value.toFixed(digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}
