// Measures what journal and spool cost and what they give: QoS 1 with fsync next to Mosquitto with persistence, the time of a
// start by size, memory with a backlog of gigabytes, bytes written to the disk. Writes docs/performance-storage.json and the
// tables of docs/performance.md, unless only a part was asked for. Needs Linux, Mosquitto, and space for the backlog in TMPDIR.
//
//   npm run bench:store                            everything, about fifteen minutes
//   npm run bench:store -- --only writes           one of carrying, taking, starts, backlogs, writes; nothing is written here,
//                                                  but with --keep the part takes its place in what was measured before
//   npm run bench:store -- --backlog-megabytes N   another backlog than 10,000
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findProgram } from "../../support/agents.ts";
import type { RunWishes } from "../carry.ts";
import { hold, type Standing } from "../contest.ts";
import { type ListenStanding, measureListen } from "../listen.ts";
import { describeMachine } from "../machine.ts";
import { readVersions } from "../versions.ts";
import { type BacklogFigures, describeBacklog, measureBacklog } from "./backlog.ts";
import { FULL_ROW_BYTES, SMALL_ROW_BYTES } from "./fill.ts";
import { formatStorage, replaceStorage, type StorageResults } from "./report.ts";
import { measureStarts, type StartFigures } from "./start.ts";
import { describeWrites, LOADS, measureWrites, type WriteFigures } from "./writes.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PAGE = `${ROOT}docs/performance.md`;
const FIGURES = `${ROOT}docs/performance-storage.json`;
const ROUNDS = 3;
/** Share of the machine that others may have had in the worst round of figures that go into the page. */
const RECORD_LOAD_MAX = 0.25;
const CARRIED = { messages: 200_000, payloadBytes: 100, topics: 100 };
const START_SIZES: readonly (readonly [megabytes: number, rowBytes: number])[] = [
  [10, FULL_ROW_BYTES],
  [100, FULL_ROW_BYTES],
  [1000, FULL_ROW_BYTES],
  [1000, SMALL_ROW_BYTES],
  [5000, FULL_ROW_BYTES],
];
const PARTS = ["carrying", "taking", "starts", "backlogs", "writes"] as const;
type Part = (typeof PARTS)[number];

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    keep: { type: "boolean", default: false },
    "backlog-megabytes": { type: "string" },
  },
});
const note = (line: string) => process.stderr.write(`${line}\n`);
const programs = { send: [findProgram("send")], recv: [findProgram("recv")] };

async function measureCarrying(): Promise<Standing[]> {
  const entrant = (name: string, arm: RunWishes["arm"], durability: RunWishes["durability"]) => ({
    name,
    wishes: { ...CARRIED, arm, qos: 1, durability, programs, persistence: true },
  });
  return await hold(
    [
      entrant("Mosquitto bridge, persistence", "bridge", "fsync"),
      entrant("tidegate, fsync", "tidegate", "fsync"),
      entrant("tidegate, os", "tidegate", "os"),
    ],
    ROUNDS,
    note,
  );
}

const SERVERS = ["Mosquitto, persistence", "tidegate, fsync", "tidegate, os"];
const measureTaking = (): Promise<ListenStanding[]> =>
  measureListen(ROUNDS, note, { qos: [1], servers: SERVERS });

async function measureAllStarts(): Promise<StartFigures[]> {
  const figures: StartFigures[] = [];
  for (const [megabytes, rowBytes] of START_SIZES)
    figures.push(...(await measureStarts(programs, megabytes, rowBytes, note)));
  return figures;
}

async function measureBacklogs(): Promise<BacklogFigures[]> {
  const figures: BacklogFigures[] = [];
  for (const megabytes of [200, Number(values["backlog-megabytes"] ?? 10_000)]) {
    figures.push(await measureBacklog(programs, megabytes));
    note(describeBacklog(figures.at(-1) as BacklogFigures));
  }
  return figures;
}

async function measureAllWrites(): Promise<WriteFigures[]> {
  const figures: WriteFigures[] = [];
  for (const load of LOADS) {
    for (const durability of ["fsync", "os"] as const) {
      figures.push(await measureWrites(programs, durability, load));
      note(describeWrites(figures.at(-1) as WriteFigures));
    }
  }
  return figures;
}

const MEASURE: { readonly [Name in Part]: () => Promise<StorageResults[Name]> } = {
  carrying: measureCarrying,
  taking: measureTaking,
  starts: measureAllStarts,
  backlogs: measureBacklogs,
  writes: measureAllWrites,
};

async function main(): Promise<number> {
  const wanted = PARTS.filter((part) => values.only === undefined || values.only === part);
  if (wanted.length === 0) throw new Error(`--only is ${values.only}, must be one of ${PARTS.join(", ")}`);
  const known = existsSync(FIGURES)
    ? (JSON.parse(readFileSync(FIGURES, "utf8")) as StorageResults)
    : undefined;
  const parts: Record<string, unknown> = {};
  for (const part of PARTS) {
    const before = known?.[part] ?? [];
    const now = wanted.includes(part) ? await MEASURE[part]() : before;
    const isDisturbed = now.some((one) => "foreignLoadMost" in one && one.foreignLoadMost > RECORD_LOAD_MAX);
    if (isDisturbed) note(`${part}: not recorded, other programs used too much of the machine`);
    parts[part] = isDisturbed ? before : now;
  }
  const results = {
    date: new Date().toISOString().slice(0, 10),
    machine: describeMachine(),
    versions: readVersions(programs),
    ...parts,
  } as StorageResults;
  process.stdout.write(`${formatStorage(results)}\n`);
  if (wanted.length < PARTS.length && !values.keep)
    note("not recorded: only a whole run is, or one with --keep");
  else record(results);
  return results.carrying.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

function record(results: StorageResults): void {
  writeFileSync(PAGE, replaceStorage(readFileSync(PAGE, "utf8"), results));
  writeFileSync(FIGURES, `${JSON.stringify(results, roundNumbers, 2)}\n`);
  Bun.spawnSync([`${ROOT}node_modules/.bin/biome`, "format", "--write", FIGURES]);
}

function roundNumbers(_: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(5)) : value;
}

process.exit(await main());
