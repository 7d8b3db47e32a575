// Measures the two agents next to Mosquitto, and the link next to plain UDP, in sections. Each section that others did not disturb
// is written to docs/performance.json, from which docs/performance.md gets its tables and docs/performance.svg its bars. Ends with
// status 1 when a run lost, doubled or disordered a message.
//
//   npm run bench                       everything, half an hour or more
//   npm run bench -- --only link        one section: direct, tls, backlog, slow, heavy, flat, bridge, latency, listen, link, pacing, start
//   npm run bench -- --rounds 1         fewer rounds than 3; nothing is written
//   npm run bench -- --profile FOLDER   one run of each QoS with the agents from source; their CPU profiles go there
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findProgram } from "../support/agents.ts";
import { Workspace } from "../support/workspace.ts";
import { drawChart } from "./chart.ts";
import { describeMachine } from "./machine.ts";
import type { Programs } from "./pair.ts";
import { formatPage, formatSections, type Sections, type Stamp } from "./report.ts";
import { type Bench, runForProfile, SECTIONS, type SectionName } from "./sections.ts";
import { readVersions } from "./versions.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PAGE = `${ROOT}docs/performance.md`;
const DATA = `${ROOT}docs/performance.json`;
const CHART = `${ROOT}docs/performance.svg`;
const ROUNDS = 3;
/** Share of the machine that others may have had in the worst round of figures that go into the page. */
const RECORD_LOAD_MAX = 0.25;

const { values } = parseArgs({
  options: { rounds: { type: "string" }, only: { type: "string" }, profile: { type: "string" } },
});
const rounds = Number(values.rounds ?? ROUNDS);
const note = (line: string) => process.stderr.write(`${line}\n`);

/** Copies, so that a build meanwhile changes nothing. */
function copyPrograms(workspace: Workspace): Programs {
  const copy = (agent: "send" | "recv") => {
    const path = workspace.path(`tidegate-${agent}`);
    copyFileSync(findProgram(agent), path);
    return [path];
  };
  return { send: copy("send"), recv: copy("recv") };
}

function profilePrograms(folder: string): Programs {
  const program = (agent: string) => {
    const flags = ["--cpu-prof", "--cpu-prof-md", `--cpu-prof-dir=${folder}`];
    return [process.execPath, ...flags, `${ROOT}agents/${agent}/main.ts`];
  };
  return { send: program("send"), recv: program("recv") };
}

/** Keeps a section beside what is known of the others. */
function record(name: SectionName, section: Sections[SectionName]): void {
  const known = existsSync(DATA) ? (JSON.parse(readFileSync(DATA, "utf8")) as Sections) : {};
  const sections: Sections = { ...known, [name]: section };
  writeFileSync(DATA, `${JSON.stringify(sections, roundNumbers, 2)}\n`);
  writeFileSync(PAGE, formatPage(readFileSync(PAGE, "utf8"), sections));
  writeFileSync(CHART, drawChart(sections));
  Bun.spawnSync([`${ROOT}node_modules/.bin/biome`, "format", "--write", DATA]);
}

async function measure(name: SectionName, bench: Bench, stamp: Stamp): Promise<boolean> {
  const figures = await SECTIONS[name](bench);
  const section = { stamp, figures } as Sections[SectionName];
  process.stdout.write(formatSections({ [name]: section }));
  const disturbed = Math.max(0, ...collect<number>(figures, "foreignLoadMost"));
  if (rounds < ROUNDS) note("not recorded: fewer than 3 rounds");
  else if (disturbed > RECORD_LOAD_MAX)
    note(`not recorded: other programs used ${Math.round(disturbed * 100)} % of the machine in a round`);
  else record(name, section);
  return collect(figures, "failures").length === 0;
}

/** All values of that name, however deep; of lists their members. */
function collect<Value>(from: unknown, name: string): Value[] {
  if (typeof from !== "object" || from === null) return [];
  return Object.entries(from).flatMap(([key, value]) =>
    key === name ? ([value].flat() as Value[]) : collect<Value>(value, name),
  );
}

async function main(): Promise<number> {
  if (values.profile !== undefined) {
    await runForProfile({ programs: profilePrograms(values.profile), rounds: 1, note });
    return 0;
  }
  const names = Object.keys(SECTIONS) as SectionName[];
  const wanted = names.filter((name) => values.only === undefined || values.only === name);
  if (wanted.length === 0) {
    note(`cannot measure "${values.only}": must be one of ${names.join(", ")}`);
    return 2;
  }
  using workspace = new Workspace("bench");
  const programs = copyPrograms(workspace);
  const date = new Date().toISOString().slice(0, 10);
  const stamp = { date, machine: describeMachine(), versions: readVersions(programs) };
  let isSound = true;
  for (const name of wanted) isSound = (await measure(name, { programs, rounds, note }, stamp)) && isSound;
  return isSound ? 0 : 1;
}

function roundNumbers(_: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(5)) : value;
}

process.exit(await main());
