// Tests of memory.ts and keeper.ts: what is known survives a restart, damage costs what it has hit and no more, and no message is
// settled before the disk has what it changed.
import { afterAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { Keeper } from "../../../../../../agents/recv/targets/sparkplug/keeper.ts";
import { KnownNodes } from "../../../../../../agents/recv/targets/sparkplug/known-nodes.ts";
import { Memory } from "../../../../../../agents/recv/targets/sparkplug/memory.ts";
import { Workspace } from "../../../../../support/workspace.ts";
import { change, Lab, metric, PlantEdge } from "./lab.ts";

const workspace = new Workspace("sparkplug-memory");
afterAll(() => workspace.remove());
let files = 0;
const newFile = () => workspace.path(`memory-${files++}.db`);
const LIMITS = { nodesMax: 100, metricsMax: 10_000, bytesMax: 10_000_000 };

function open(file: string) {
  const events: string[] = [];
  const memory = new Memory(file, "os", {
    damaged: () => events.push("damaged"),
    incomplete: (rows) => events.push(`${rows} rows`),
  });
  return { memory, events };
}

/** A lab whose nodes are those of the file. */
function restart(file: string) {
  const lab = new Lab();
  const { memory, events } = open(file);
  memory.load(lab.known);
  lab.speaker.begin(lab.known);
  return { lab, memory, events };
}

function fill(file: string): PlantEdge[] {
  const { lab, memory } = restart(file);
  lab.main.open();
  const edges = ["n", "n-2", "m"].map((name) => new PlantEdge(lab, "g", name));
  for (const edge of edges) {
    lab.take(edge.birth([metric("a", 1, 1), metric("b", 2, 2)]));
    lab.take(edge.deviceBirth("d", [metric("c", 3, 3)]));
  }
  lab.main.open();
  lab.take((edges[0] as PlantEdge).data([change(1, 10)]));
  lab.take((edges[0] as PlantEdge).data([change(3, 30)], "d"));
  lab.take((edges[2] as PlantEdge).death());
  memory.save(lab.known);
  memory.close();
  return edges;
}

test("a restarted receiver tells complete births with current values, and the death of who has died", () => {
  const file = newFile();
  fill(file);
  const { lab, events } = restart(file);
  lab.main.open();
  expect(lab.host.value("g/n", "a")).toBe(10);
  expect(lab.host.value("g/n", "b")).toBe(2);
  expect(lab.host.value("g/n/d", "c")).toBe(30);
  expect([lab.host.isOnline("g/n-2"), lab.host.isOnline("g/n-2/d"), lab.host.isOnline("g/m")]).toEqual([
    true,
    true,
    false,
  ]);
  expect(lab.host.faults).toEqual([]);
  expect(events).toEqual([]);
  expect(lab.known.weight).toMatchObject({ parts: 6, metrics: 3 * 5 });
});

test("what is in doubt stays so over a restart", () => {
  const file = newFile();
  const { lab, memory } = restart(file);
  lab.main.open();
  const edge = new PlantEdge(lab);
  lab.take(edge.birth([metric("a", 1, 1)]));
  lab.main.open();
  lab.take(edge.snapshot());
  lab.lose(edge.data([change(1, 2)]));
  lab.take(edge.data([change(1, 3)]));
  memory.save(lab.known);
  memory.close();
  const again = restart(file);
  again.lab.main.open();
  const next = edge.data([change(1, 4)]);
  again.lab.take(next);
  expect([again.lab.host.value("g/n", "a"), again.lab.desk.held]).toEqual([1, 1]);
  again.lab.take(edge.snapshot());
  expect([again.lab.host.value("g/n", "a"), again.lab.desk.held]).toEqual([4, 0]);
});

test("losses that may have been of a node are remembered over a restart", () => {
  const file = newFile();
  const { lab, memory } = restart(file);
  lab.main.open();
  const edge = new PlantEdge(lab);
  lab.take(edge.birth([metric("a", 1, 1)]));
  lab.main.open();
  lab.take(edge.snapshot());
  for (let value = 0; value < 10; value++) lab.take(edge.data([change(1, value)]));
  lab.lost = 3;
  lab.take(edge.data([change(1, 10)]));
  expect(lab.desk.held).toBe(0);
  memory.save(lab.known);
  memory.close();
  const again = restart(file).lab;
  again.lost = 3;
  edge.data([change(1, 11)]); // lost, while it was counted already
  again.take(edge.data([change(1, 12)]));
  expect(again.desk.held).toBe(1);
});

test("what is handed over again after a crash is told as history or not at all", () => {
  const file = newFile();
  const { lab, memory } = restart(file);
  lab.main.open();
  const edge = new PlantEdge(lab);
  const messages = [
    edge.birth([metric("a", 1, 1)]),
    ...[2, 3, 4].map((value) => edge.data([change(1, value)])),
  ];
  lab.takeAll(messages);
  memory.save(lab.known);
  memory.close();
  const again = restart(file).lab;
  again.main.open();
  again.takeAll(messages);
  expect(again.host.value("g/n", "a")).toBe(4);
  expect(again.outcomes).toEqual(["filtered/repeat", "forwarded", "forwarded", "filtered/repeat"]);
  again.take(edge.data([change(1, 5)]));
  expect([again.host.value("g/n", "a"), again.known.gaps]).toEqual([5, 0]);
  expect(again.host.faults).toEqual([]);
});

test("the bdSeq counts on over a restart and begins again behind 255", () => {
  const file = newFile();
  const first = open(file).memory;
  expect([first.nextBdSeq(""), first.nextBdSeq(""), first.nextBdSeq("g/n")]).toEqual([0, 1, 0]);
  first.close();
  const second = open(file).memory;
  expect([second.nextBdSeq(""), second.nextBdSeq("g/n")]).toEqual([2, 1]);
  for (let seq = 3; seq < 256; seq++) second.nextBdSeq("");
  expect(second.nextBdSeq("")).toBe(0);
  second.close();
});

test("with memory for a spool nothing is written", () => {
  const memory = new Memory(workspace.path("nowhere/at-all.db"), "memory", {
    damaged: () => {},
    incomplete: () => {},
  });
  expect([memory.nextBdSeq(""), memory.nextBdSeq("")]).toEqual([0, 1]);
  memory.close();
});

test("a row with a flipped bit is left out, the others stay", () => {
  const file = newFile();
  fill(file);
  const bytes = readFileSync(file);
  // In the value of "a" of g/n-2: the birth of a node, without which its device means nothing.
  const at = bytes.indexOf("g/n-2{");
  expect(at).toBeGreaterThan(0);
  const name = bytes.indexOf("Node Control", at);
  bytes[name] = (bytes[name] as number) ^ 1;
  writeFileSync(file, bytes);
  const { lab, events } = restart(file);
  expect(events).toEqual(["2 rows"]);
  expect([...lab.known].map(({ key }) => key)).toEqual(["g/m", "g/n"]);
});

test.each(["no database at all", "a database that is cut off"])("%s is put aside and begun anew", (kind) => {
  const file = newFile();
  if (kind.startsWith("no")) writeFileSync(file, "this is no database, and was never one".repeat(200));
  else {
    fill(file);
    writeFileSync(file, readFileSync(file).subarray(0, 5000));
  }
  const { lab, events, memory } = restart(file);
  expect(events).toEqual(["damaged"]);
  expect(lab.known.size).toBe(0);
  lab.main.open();
  const edge = new PlantEdge(lab);
  edge.birth([metric("a", 1, 1)]);
  lab.take(edge.snapshot());
  memory.save(lab.known);
  memory.close();
  expect(restart(file).lab.known.size).toBe(1);
  expect(readFileSync(`${file}.damaged`).length).toBeGreaterThan(0);
});

test("a node that went to make room is gone from the disk, with its devices", () => {
  const file = newFile();
  fill(file);
  const known = new KnownNodes({ ...LIMITS, nodesMax: 6 });
  const { memory } = open(file);
  memory.load(known);
  const dead = known.find("g", "m");
  if (dead === undefined) throw new Error("g/m is not there");
  dead.publishedBdSeq = undefined;
  const birth = new PlantEdge(new Lab(), "g", "x").birth([]);
  const lab = new Lab();
  lab.take(birth);
  const payload = [...lab.known][0]?.edge.life?.frame;
  if (payload === undefined) throw new Error("there is no birth");
  expect(typeof known.admit("g", "x", payload)).toBe("object");
  memory.save(known);
  memory.close();
  expect([...restart(file).lab.known].map(({ key }) => key)).toEqual(["g/n", "g/n-2"]);
});

test("Keeper settles nothing before the disk has it, and says what the disk says", () => {
  const { lab, memory } = restart(newFile());
  const said: string[] = [];
  const keeper = new Keeper(memory, lab.known, lab.desk.settling, {
    problem: (why) => said.push(why),
    mended: () => said.push("mended"),
  });
  lab.main.open();
  const outcomes: string[] = [];
  const edge = new PlantEdge(lab);
  const take = () => lab.desk.take(edge.birth([metric("a", 1, 1)]), (outcome) => outcomes.push(outcome));
  take();
  lab.main.open();
  expect(outcomes).toEqual([]);
  keeper.tick(1000);
  expect(outcomes).toEqual(["forwarded"]);
  const { save } = memory;
  memory.save = () => {
    throw new Error("database or disk is full");
  };
  take();
  keeper.tick(2000);
  keeper.tick(3000);
  expect([outcomes.length, said, keeper.problem]).toEqual([
    1,
    ["database or disk is full"],
    "database or disk is full",
  ]);
  memory.save = save;
  keeper.tick(4000);
  expect([outcomes.length, said.at(-1), keeper.problem]).toEqual([2, "mended", undefined]);
});

test("the bdSeq of an edge node that is followed no more is forgotten", () => {
  const file = newFile();
  const { lab, memory } = restart(file);
  lab.main.open();
  const edge = new PlantEdge(lab, "g", "gone");
  lab.take(edge.birth([metric("a", 1, 1)]));
  memory.save(lab.known);
  expect([memory.nextBdSeq("g/gone"), memory.nextBdSeq("g/gone"), memory.nextBdSeq("g/other")]).toEqual([
    0, 1, 0,
  ]);
  memory.save({ ...lab.known, changes: { dirty: new Map(), gone: ["g/gone"] }, noteKept: () => {} } as never);
  expect([memory.nextBdSeq("g/gone"), memory.nextBdSeq("g/other")]).toEqual([0, 1]);
  memory.close();
});

test("a clock that was set back while the receiver was away stops nothing, and what comes again is known for it", () => {
  const file = newFile();
  const { lab, memory } = restart(file);
  lab.main.open();
  const edge = new PlantEdge(lab);
  lab.take(edge.birth([metric("a", 1, 1)]));
  lab.main.open();
  lab.takeAll([...edge.snapshots(), edge.data([change(1, 10)])]);
  lab.plantMs += 3_600_000;
  lab.takeAll([edge.data([change(1, 11)]), ...edge.snapshots()]);
  memory.save(lab.known);
  memory.close();
  const later = restart(file);
  expect(later.lab.known.newest).toEqual({ id: lab.content, index: 0 });
  later.lab.main.open();
  later.lab.content = lab.content;
  lab.plantMs -= 3_600_000;
  // Its death was lost; a snapshot has it.
  edge.death();
  later.lab.takeAll(edge.snapshots());
  expect(later.lab.host.isOnline("g/n")).toBe(false);
  later.lab.take(edge.birth([metric("a", 1, 12)]));
  expect(later.lab.host.value("g/n", "a")).toBe(12);
  later.memory.close();
});
