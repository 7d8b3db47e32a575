// The results as Markdown, between two markers of the page, so that what people wrote around them stays.
import type { Contest, Standing } from "./contest.ts";
import type { LinkStanding } from "./link-contest.ts";
import type { ListenStanding } from "./listen.ts";
import type { PacingStanding } from "./pacing.ts";
import type { Figures, SectionName } from "./sections.ts";
import type { Spread } from "./statistic.ts";

/** What a section was measured with, and when. */
export type Stamp = {
  readonly date: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly versions: Readonly<Record<string, string>>;
};

/** What is known, by section: each from the last time that it was measured on a quiet machine. */
export type Sections = {
  readonly [Name in SectionName]?: { readonly stamp: Stamp; readonly figures: Figures[Name] };
};

const BEGIN = "<!-- written by npm run bench: from here -->";
const END = "<!-- written by npm run bench: to here -->";

type Format = { readonly [Name in SectionName]: (figures: Figures[Name]) => string[] };

/** In the order of the page. */
const FORMATS: Format = {
  direct: (contests) => contests.flatMap(formatContest),
  tls: (contests) => contests.flatMap(formatContest),
  backlog: (contests) => contests.flatMap(formatContest),
  slow: (contests) => contests.flatMap(formatContest),
  heavy: (contests) => contests.flatMap(formatContest),
  flat: (contests) => contests.flatMap(formatContest),
  bridge: (contests) => contests.flatMap(formatContest),
  latency: (contests) => contests.flatMap(formatLatency),
  listen: (listen) => ["\n### The listening source alone\n", ...formatListen(listen)],
  link: (link) => ["\n### The link alone\n", ...formatLink(link)],
  pacing: (pacing) => ["\n### The pace of a path\n", ...formatPacing(pacing)],
  start: (start) => ["\n### The programs\n", ...formatStart(start)],
};

/** The page with the part between the markers replaced. Throws when it lacks them. */
export function formatPage(page: string, sections: Sections): string {
  return replaceBetween(page, [BEGIN, END], formatSections(sections));
}

export function formatSections(sections: Sections): string {
  const lines: string[] = [];
  for (const name of Object.keys(FORMATS) as SectionName[]) {
    const section = sections[name];
    if (section === undefined) continue;
    const format = FORMATS[name] as (figures: unknown) => string[];
    lines.push(...format(section.figures), "", `Measured ${describe(section.stamp)}.`);
  }
  return `${lines.join("\n")}\n`;
}

function describe({ date, machine, versions }: Stamp): string {
  const list = (entries: Readonly<Record<string, string>>) =>
    Object.entries(entries)
      .map(([name, value]) => `${name} ${value}`)
      .join(", ");
  return `${date} on ${list(machine)}; ${list(versions)}`;
}

export function replaceBetween(page: string, [from, to]: readonly [string, string], text: string): string {
  const begin = page.indexOf(from);
  const end = page.indexOf(to);
  if (begin === -1 || end < begin) throw new Error("cannot write the results: the page has lost its markers");
  return `${page.slice(0, begin + from.length)}\n${text}\n${page.slice(end)}`;
}

function formatContest({ title, standings }: Contest): string[] {
  return [
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
  ];
}

function formatLatency({ title, standings }: Contest): string[] {
  return [
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
  ];
}

function formatListen(listen: readonly ListenStanding[]): string[] {
  return table(
    ["QoS", "server", "messages/s", "ratio", "CPU s per million messages", "others used"],
    listen.map(({ qos, server, messagesPerSecond, ratio, cpuSecondsPerMillion, foreignLoadMost }) => [
      String(qos),
      server,
      show(messagesPerSecond, 0),
      show(ratio, 2),
      cpuSecondsPerMillion.toFixed(2),
      `${Math.round(foreignLoadMost * 100)} %`,
    ]),
  );
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

function formatStart(start: Figures["start"]): string[] {
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
