// Measures the two agents next to a Mosquitto bridge, and the link next to plain UDP; writes docs/performance.json and
// the tables of docs/performance.md, unless other programs disturbed it too much. Ends with status 1 when a run lost, doubled or disordered a message.
//
//   npm run bench                       everything, about ten minutes
//   npm run bench -- --only link        one of throughput, latency, link, pacing, start, listen; nothing is written
//   npm run bench -- --rounds 1         fewer rounds than 3; nothing is written
//   npm run bench -- --profile FOLDER   one run of each QoS with the agents from source; their CPU profiles go there
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findProgram } from "../support/agents.ts";
import { Workspace } from "../support/workspace.ts";
import { type RunWishes, runUndisturbed } from "./carry.ts";
import type { Arm } from "./chain.ts";
import { type Entrant, hold, type Standing } from "./contest.ts";
import { runLink } from "./link.ts";
import { measureListen } from "./listen.ts";
import { describeMachine } from "./machine.ts";
import { measurePacing } from "./pacing.ts";
import type { Durability, Programs } from "./pair.ts";
import { formatResults, type LinkStanding, type Results, replaceResults } from "./report.ts";
import { measureStart } from "./startup.ts";
import { spreadOf } from "./statistic.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MESSAGES = { 0: 800_000, 1: 400_000 } as const;
const LATENCY = { ratePerSecond: 1000, messages: 10_000 } as const;
const LINK_SECONDS = 2;
const START_ROUNDS = 10;
const ROUNDS = 3;
/** Share of the machine that others may have had in the worst round of figures that go into the page. */
const RECORD_LOAD_MAX = 0.25;

const { values } = parseArgs({
  options: { rounds: { type: "string" }, only: { type: "string" }, profile: { type: "string" } },
});
const rounds = Number(values.rounds ?? ROUNDS);
const wanted = (part: string) => values.only === undefined || values.only === part;
const note = (line: string) => process.stderr.write(`${line}\n`);

function entrant(programs: Programs, arm: Arm, qos: 0 | 1, durability: Durability, more = {}): Entrant {
  const wishes: RunWishes = {
    arm,
    qos,
    durability,
    programs,
    // With nothing in between it takes a few hundredths of a second, less than kernel ticks can tell apart.
    messages: MESSAGES[qos] * (arm === "none" ? 10 : 1),
    payloadBytes: 100,
    topics: 100,
    ...more,
  };
  const name = arm === "tidegate" ? `tidegate, ${durability}` : NAMES[arm];
  return { name, wishes };
}

const NAMES = { none: "generator to sink", broker: "one Mosquitto", bridge: "Mosquitto bridge" } as const;

/** The bridge comes first: the others' ratio is to it. */
function contestants(programs: Programs, qos: 0 | 1, more = {}): Entrant[] {
  return [
    entrant(programs, "bridge", qos, "fsync", more),
    entrant(programs, "tidegate", qos, "fsync", more),
    entrant(programs, "tidegate", qos, "os", more),
    entrant(programs, "broker", qos, "fsync", more),
    entrant(programs, "none", qos, "fsync", more),
  ];
}

async function measureThroughput(programs: Programs): Promise<Results["throughput"]> {
  const results: { title: string; standings: Standing[] }[] = [];
  for (const qos of [0, 1] as const) {
    const title = `Broker to broker, 100 B, QoS ${qos}`;
    note(title);
    results.push({ title, standings: await hold(contestants(programs, qos), rounds, note) });
  }
  return results;
}

async function measureLatency(programs: Programs): Promise<Results["latency"]> {
  const title = "Latency at 1,000 messages/s, QoS 1";
  note(title);
  const entrants = [
    entrant(programs, "broker", 1, "fsync", LATENCY),
    entrant(programs, "bridge", 1, "fsync", LATENCY),
    entrant(programs, "tidegate", 1, "fsync", LATENCY),
    entrant(programs, "tidegate", 1, "os", LATENCY),
  ];
  return [{ title, standings: await hold(entrants, rounds, note) }];
}

async function measureLink(): Promise<LinkStanding[]> {
  const standings: LinkStanding[] = [];
  for (const datagramBytes of [1400, 8900]) {
    const plain: number[] = [];
    const sealed: number[] = [];
    const foreign: number[] = [];
    const cost = { sender: [] as number[], receiver: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      const wishes = { datagramBytes, seconds: LINK_SECONDS };
      const bare = await runUndisturbed(() => runLink({ ...wishes, sealed: false }));
      plain.push(bare.megabitsPerSecond);
      foreign.push(bare.foreignLoad);
      const run = await runUndisturbed(() => runLink({ ...wishes, sealed: true }));
      sealed.push(run.megabitsPerSecond);
      foreign.push(run.foreignLoad);
      cost.sender.push(run.cpuSecondsPerGigabyte.sender);
      cost.receiver.push(run.cpuSecondsPerGigabyte.receiver);
      note(
        `link, ${datagramBytes} B: plain ${plain.at(-1)?.toFixed(0)}, sealed ${sealed.at(-1)?.toFixed(0)} Mbit/s`,
      );
    }
    standings.push({
      datagramBytes,
      plainMegabits: spreadOf(plain),
      sealedMegabits: spreadOf(sealed),
      ratio: spreadOf(sealed.map((value, round) => value / (plain[round] ?? Number.NaN))),
      sealedCpuPerGigabyte: {
        sender: spreadOf(cost.sender).median,
        receiver: spreadOf(cost.receiver).median,
      },
      foreignLoadMost: Math.max(...foreign),
    });
  }
  return standings;
}

function readVersions(programs: Programs): Record<string, string> {
  const run = (command: readonly string[]) =>
    Bun.spawnSync([...command])
      .stdout.toString()
      .trim();
  const PATH = `${process.env.PATH}:/usr/sbin`;
  const mosquitto = Bun.spawnSync(["mosquitto", "-h"], { env: { ...process.env, PATH } }).stdout.toString();
  return {
    tidegate: run([...programs.send, "--version"]).replace(/^tidegate-send /, ""),
    Bun: Bun.version,
    Mosquitto: /version ([\d.]+)/.exec(mosquitto)?.[1] ?? "unknown",
  };
}

/** Copies, so that a build meanwhile changes nothing. */
function copyPrograms(workspace: Workspace): Programs {
  const copy = (agent: "send" | "recv") => {
    const path = workspace.path(`tidegate-${agent}`);
    copyFileSync(findProgram(agent), path);
    return [path];
  };
  return { send: copy("send"), recv: copy("recv") };
}

async function profile(folder: string): Promise<void> {
  for (const qos of [0, 1] as const) {
    const program = (agent: string) => {
      const flags = [
        "--cpu-prof",
        "--cpu-prof-md",
        `--cpu-prof-dir=${folder}`,
        `--cpu-prof-name=${agent}-qos${qos}`,
      ];
      return [process.execPath, ...flags, `${ROOT}agents/${agent}/main.ts`];
    };
    const programs = { send: program("send"), recv: program("recv") };
    await hold([entrant(programs, "tidegate", qos, "fsync")], 1, note);
  }
}

function record(results: Results): void {
  const page = `${ROOT}docs/performance.md`;
  writeFileSync(page, replaceResults(readFileSync(page, "utf8"), results));
  writeFileSync(`${ROOT}docs/performance.json`, `${JSON.stringify(results, roundNumbers, 2)}\n`);
  Bun.spawnSync([`${ROOT}node_modules/.bin/biome`, "format", "--write", `${ROOT}docs/performance.json`]);
}

async function main(): Promise<number> {
  if (values.profile !== undefined) {
    await profile(values.profile);
    return 0;
  }
  if (values.only === "listen") {
    process.stdout.write(`${await measureListen(rounds, note)}\n`);
    return 0;
  }
  using workspace = new Workspace("bench");
  const programs = copyPrograms(workspace);
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    machine: describeMachine(),
    versions: readVersions(programs),
    start: wanted("start") ? await measureStart(programs, START_ROUNDS) : undefined,
    link: wanted("link") ? await measureLink() : [],
    pacing: wanted("pacing") ? await measurePacing(rounds, note) : [],
    latency: wanted("latency") ? await measureLatency(programs) : [],
    throughput: wanted("throughput") ? await measureThroughput(programs) : [],
  };
  process.stdout.write(`${formatResults(results)}\n`);
  const contests = [...results.throughput, ...results.latency].flatMap(({ standings }) => standings);
  const disturbed = Math.max(
    0,
    ...[...contests, ...results.link, ...results.pacing].map(({ foreignLoadMost }) => foreignLoadMost),
  );
  if (values.only !== undefined || rounds < ROUNDS) note("not recorded: only a whole run is");
  else if (disturbed > RECORD_LOAD_MAX)
    note(`not recorded: other programs used ${Math.round(disturbed * 100)} % of the machine in a round`);
  else record(results);
  return contests.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

function roundNumbers(_: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(5)) : value;
}

process.exit(await main());
