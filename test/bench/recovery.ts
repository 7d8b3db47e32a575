// Writes the tables of docs/recovery.md: what arrives over a link that loses datagrams (exact, the same on every machine), and
// what each setting adds to the latency of the real programs. `npm run bench:recovery`; `-- --exact` leaves the latency alone.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findProgram } from "../support/agents.ts";
import type { RunWishes } from "./carry.ts";
import { hold } from "./contest.ts";
import { describeMachine } from "./machine.ts";
import {
  LOADS,
  LOSSES,
  type Load,
  receiveTrain,
  SETTINGS,
  type Setting,
  sendTrain,
  showShare,
} from "./recovery-link.ts";
import { added, replaceBetween, show, table } from "./report.ts";

const PAGE = fileURLToPath(new URL("../../docs/recovery.md", import.meta.url));
const EXACT = ["<!-- exact: from here -->", "<!-- exact: to here -->"] as const;
const LATENCY = ["<!-- latency: from here -->", "<!-- latency: to here -->"] as const;
const RATE_PER_SECOND = 1000;
const MESSAGES = 5_000;
const ROUNDS = 3;
/** Share of the machine that others may have had in the worst round of figures that go into the page. */
const RECORD_LOAD_MAX = 0.25;

function formatSettings(): string[] {
  return table(
    [
      "setting",
      "`repair_percent`",
      "`repair_symbols_min`",
      "`interleave_blocks`",
      "wire bytes, trickle",
      "wire bytes, bulk",
    ],
    SETTINGS.map((setting) => [
      `**${setting.name}**`,
      String(setting.repairPercent),
      String(setting.repairSymbolsMin),
      String(setting.interleaveBlocks),
      ...Object.values(LOADS).map((load) => `${trainOf(setting, load).wirePerByte.toFixed(2)} a byte`),
    ]),
  );
}

function formatLoad(load: Load): string[] {
  const shares = SETTINGS.map((setting) => {
    const train = trainOf(setting, load);
    return LOSSES.map((loss) => showShare(receiveTrain(train, loss)));
  });
  const rows = LOSSES.map((loss, at) => [
    "percent" in loss ? `${loss.percent} % at random` : `bursts of ${loss.burst}`,
    ...shares.map((column) => column[at] ?? ""),
  ]);
  return [`\n### ${load.title}\n`, ...table(["lost", ...SETTINGS.map(({ name }) => name)], rows)];
}

const trains = new Map<string, ReturnType<typeof sendTrain>>();

function trainOf(setting: Setting, load: Load) {
  const key = `${setting.name} ${load.title}`;
  const known = trains.get(key) ?? sendTrain(setting, load);
  trains.set(key, known);
  return known;
}

async function formatLatency(): Promise<{ text: string; disturbed: number; failed: boolean }> {
  const programs = { send: [findProgram("send")], recv: [findProgram("recv")] };
  const wishes = (arm: RunWishes["arm"], link?: string): RunWishes => ({
    ...{ arm, qos: 1, durability: "fsync", programs, link },
    ...{ messages: MESSAGES, payloadBytes: 100, topics: 100, ratePerSecond: RATE_PER_SECOND },
  });
  const entrants = [
    { name: "one Mosquitto", wishes: wishes("broker") },
    ...SETTINGS.map((setting) => ({ name: setting.name, wishes: wishes("tidegate", describe(setting)) })),
  ];
  const standings = await hold(entrants, ROUNDS, (line) => process.stderr.write(`${line}\n`));
  const rows = standings.map(({ name, latencyMs, foreignLoadMost }) => [
    name,
    ...[latencyMs.p50, latencyMs.p99].map((spread) => show(spread, 2)),
    added(latencyMs.p50, standings[0]?.latencyMs.p50),
    added(latencyMs.p99, standings[0]?.latencyMs.p99),
    `${Math.round(foreignLoadMost * 100)} %`,
  ]);
  const date = new Date().toISOString().slice(0, 10);
  const machine = Object.entries(describeMachine()).map(([name, value]) => `${name} ${value}`);
  return {
    text: [
      `\nMeasured ${date} on ${machine.join(", ")}.\n`,
      ...table(["setting", "p50 ms", "p99 ms", "added p50 ms", "added p99 ms", "others used"], rows),
      ...standings.flatMap(({ name, failures }) =>
        failures.map((why) => `\n**A run failed**, ${name}: ${why}`),
      ),
      "",
    ].join("\n"),
    disturbed: Math.max(...standings.map(({ foreignLoadMost }) => foreignLoadMost)),
    failed: standings.some(({ failures }) => failures.length > 0),
  };
}

function describe({ repairPercent, repairSymbolsMin, interleaveBlocks }: Setting): string {
  return [
    `repair_percent = ${repairPercent}`,
    `repair_symbols_min = ${repairSymbolsMin}`,
    `interleave_blocks = ${interleaveBlocks}`,
  ].join("\n");
}

const { values } = parseArgs({ options: { exact: { type: "boolean", default: false } } });
const exact = ["", ...formatSettings(), ...Object.values(LOADS).flatMap(formatLoad), ""].join("\n");
writeFileSync(PAGE, replaceBetween(readFileSync(PAGE, "utf8"), EXACT, exact));
process.stdout.write(`${exact}\n`);
if (!values.exact) {
  const { text, disturbed, failed } = await formatLatency();
  process.stdout.write(`${text}\n`);
  if (disturbed > RECORD_LOAD_MAX)
    process.stderr.write("latency not recorded: other programs used too much of the machine\n");
  else writeFileSync(PAGE, replaceBetween(readFileSync(PAGE, "utf8"), LATENCY, text));
  process.exit(failed ? 1 : 0);
}
