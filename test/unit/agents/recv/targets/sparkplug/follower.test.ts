// Tests of follower.ts, snapshots.ts and edge-desk.ts: what the host is told when messages are lost, late, repeated or of an earlier
// life, and that every one of them is settled under its name.
import { expect, test } from "bun:test";
import { change, Lab, metric, PlantEdge } from "./lab.ts";

function begin(over: ConstructorParameters<typeof Lab>[0] = {}) {
  const lab = new Lab(over);
  const edge = new PlantEdge(lab);
  lab.speaker.begin([]);
  lab.main.open();
  return { lab, edge };
}

/** Born with a device, and with a will that took a second connection. */
function born() {
  const { lab, edge } = begin();
  lab.take(edge.birth([metric("a", 1, 1), metric("b", 2, 2)]));
  lab.main.open();
  lab.take(edge.deviceBirth("d", [metric("c", 3, 3)]));
  return { lab, edge };
}

test("a birth, data of node and device, and deaths are told with our bdSeq and a gapless seq", () => {
  const { lab, edge } = born();
  lab.takeAll([edge.data([change(1, 10)]), edge.data([change(3, 30)], "d")]);
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b"), lab.host.value("g/n/d", "c")]).toEqual([
    10, 2, 30,
  ]);
  expect(lab.host.bdSeq("g/n")).toBe("1");
  lab.take(edge.deviceDeath("d"));
  expect([lab.host.isOnline("g/n"), lab.host.isOnline("g/n/d")]).toEqual([true, false]);
  lab.take(edge.death());
  expect(lab.host.isOnline("g/n")).toBe(false);
  expect(lab.host.faults).toEqual([]);
  expect(lab.outcomes).toEqual(Array(6).fill("forwarded"));
});

test("the seq wraps behind 255", () => {
  const { lab, edge } = born();
  for (let value = 0; value < 600; value++) lab.take(edge.data([change(1, value)]));
  expect(lab.host.value("g/n", "a")).toBe(599);
  expect(lab.host.faults).toEqual([]);
  expect(lab.known.gaps).toBe(0);
});

test("data before any birth is filtered, until a snapshot tells the birth", () => {
  const { lab, edge } = begin();
  edge.birth([metric("a", 1, 1)]);
  edge.deviceBirth("d", [metric("c", 3, 3)]);
  lab.takeAll([edge.data([change(1, 10)]), edge.data([change(3, 30)], "d")]);
  expect(lab.outcomes).toEqual(["filtered/no-birth", "filtered/no-birth"]);
  expect(lab.host.seen).toEqual([]);
  lab.takeAll(edge.snapshots());
  lab.main.open();
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n/d", "c")]).toEqual([10, 30]);
  lab.take(edge.data([change(1, 11)]));
  expect(lab.host.value("g/n", "a")).toBe(11);
  expect(lab.host.faults).toEqual([]);
  expect(lab.known.gaps).toBe(0);
});

test("what comes behind a snapshot that followed a loss is seen as a gap", () => {
  const { lab, edge } = begin();
  edge.birth([metric("a", 1, 1)]);
  lab.takeAll(edge.snapshots());
  lab.main.open();
  lab.lose(edge.data([change(1, 2)]));
  lab.take(edge.data([change(1, 3)]));
  expect(lab.known.gaps).toBe(1);
  expect(lab.outcomes).toEqual(["filtered/birth-snapshot"]);
  lab.takeAll(edge.snapshots());
  expect(lab.host.value("g/n", "a")).toBe(3);
});

test("what was lost while the first snapshot was on its way shows by the seq that it told", () => {
  const { lab, edge } = begin();
  edge.birth([metric("a", 1, 1)]);
  const slow = edge.snapshots();
  lab.lose(edge.data([change(1, 2)]), edge.data([change(1, 3)]));
  lab.takeAll(slow);
  lab.main.open();
  lab.take(edge.data([change(1, 4)]));
  expect([lab.host.value("g/n", "a"), lab.desk.held]).toEqual([1, 1]);
  lab.takeAll(edge.snapshots());
  expect(lab.host.value("g/n", "a")).toBe(4);
});

test("losses that two snapshots have passed by are no reason for doubt", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  lab.lost += 5; // of others
  lab.takeAll([...edge.snapshots(), ...edge.snapshots()]);
  edge.data([change(1, 10)]); // the plant's own gap
  lab.take(edge.data([change(1, 11)]));
  expect([lab.host.value("g/n", "a"), lab.known.gaps]).toEqual([11, 1]);
});

test("after a gap data waits for a snapshot, then goes with a birth before it", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  lab.outcomes.length = 0;
  lab.lose(edge.data([change(1, 10)]));
  lab.lose(edge.data([change(2, 20)]));
  lab.takeAll([edge.data([change(1, 11)]), edge.data([change(3, 31)], "d")]);
  expect(lab.outcomes).toEqual([]);
  expect(lab.desk.held).toBe(2);
  const before = lab.host.count("NBIRTH");
  lab.takeAll(edge.snapshots());
  expect(lab.desk.held).toBe(0);
  expect(lab.host.count("NBIRTH")).toBe(before + 1);
  // The value that was lost and has not changed since is known by the snapshot.
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b"), lab.host.value("g/n/d", "c")]).toEqual([
    11, 20, 31,
  ]);
  expect(lab.outcomes.filter((outcome) => outcome === "forwarded")).toHaveLength(2);
  expect(lab.host.faults).toEqual([]);
});

test("an alias table that a lost birth has changed never gives a value to another metric", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  lab.lose(edge.birth([metric("b", 1, 2), metric("a", 2, 1)]));
  lab.lose(edge.deviceBirth("d", [metric("c", 3, 3)]));
  // As many as before it: the seq shows no gap, what the link has lost does.
  lab.take(edge.data([change(1, 222)]));
  expect(lab.host.value("g/n", "a")).toBe(1);
  lab.takeAll(edge.snapshots());
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b")]).toEqual([1, 222]);
  expect(lab.host.isOnline("g/n/d")).toBe(true);
  expect(lab.outcomes.slice(-3).sort()).toEqual([
    "filtered/birth-snapshot",
    "filtered/birth-snapshot",
    "forwarded",
  ]);
  expect(lab.host.faults).toEqual([]);
});

test("what waits for too long, or too much of it, is filtered by name", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  lab.lose(edge.data([change(1, 10)]));
  lab.outcomes.length = 0;
  lab.take(edge.data([change(1, 11)]));
  lab.steadyMs = 59_999;
  lab.desk.tick(lab.steadyMs);
  expect(lab.outcomes).toEqual([]);
  lab.steadyMs = 60_000;
  lab.desk.tick(lab.steadyMs);
  lab.desk.settling.release();
  expect(lab.outcomes).toEqual(["filtered/unresolved"]);
  for (let value = 0; value <= 20_000; value++) lab.take(edge.data([change(1, value)]));
  expect(lab.desk.held).toBe(20_000);
  expect(lab.outcomes).toEqual(["filtered/unresolved", "filtered/unresolved"]);
});

test("losses are no reason for doubt any more when data that was accepted later has followed without a gap", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  for (let value = 0; value < 10; value++) lab.take(edge.data([change(1, value)]));
  lab.lost += 5; // of others
  // Of a backlog: it was accepted before, so what was lost may be behind it.
  const early = edge.data([change(1, 10)]);
  lab.plantMs += 500;
  lab.take(early);
  lab.plantMs += 2000;
  for (let value = 11; value < 600; value++) lab.take(edge.data([change(1, value)]));
  expect([lab.host.value("g/n", "a"), lab.desk.held, lab.known.gaps]).toEqual([599, 0, 0]);
  expect(lab.host.faults).toEqual([]);
});

test("a gap for which nothing was lost on the way here is the plant's own: data goes on", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  edge.data([change(1, 10)]); // kept back by a rule of the send agent, or lost before it
  lab.take(edge.data([change(1, 11)]));
  expect([lab.host.value("g/n", "a"), lab.known.gaps, lab.desk.held]).toEqual([11, 1, 0]);
  expect(lab.host.faults).toEqual([]);
});

test("a birth that cannot be read puts its edge node in doubt", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  const birth = edge.birth([metric("b", 1, 2), metric("a", 2, 1)]);
  lab.take({ ...birth, payload: birth.payload.subarray(0, 30) });
  lab.take(edge.data([change(1, 222)]));
  expect([lab.host.value("g/n", "a"), lab.desk.held]).toEqual([1, 1]);
  lab.takeAll(edge.snapshots());
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b")]).toEqual([1, 222]);
});

test("what waits holds up nobody else; what the disk has not taken yet does, in number and in bytes", () => {
  const { lab, edge } = born();
  const other = new PlantEdge(lab, "g", "m");
  lab.take(other.birth([metric("a", 1, 1)]));
  lab.takeAll([...edge.snapshots(), ...other.snapshots()]);
  for (let value = 0; value < 5; value++) lab.take(other.data([change(1, value)]));
  lab.lose(edge.data([change(1, 10)]));
  lab.take(edge.data([change(1, 11)]));
  lab.host.take = () => {};
  for (let value = 0; value < 17_000; value++) lab.take(other.data([change(1, value)]));
  expect([lab.desk.held, lab.desk.room > 17_001]).toEqual([1, true]);
  const message = { ...other.data([]), topic: "plant/other" };
  const untold = (count: number, bytes = 1) => {
    for (let index = 0; index < count; index++)
      lab.desk.take({ ...message, payload: new Uint8Array(bytes) }, () => {});
  };
  untold(16_383);
  expect(lab.desk.room).toBeGreaterThan(0);
  untold(1);
  expect(lab.desk.room).toBe(0);
  lab.desk.settling.release();
  expect(lab.desk.room).toBeGreaterThan(0);
  untold(7, 10_000_000);
  expect(lab.desk.room).toBe(0);
});

test("a birth that follows a gap settles it, and what has waited is of nobody knows which life", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  lab.lose(edge.data([change(1, 10)]));
  lab.outcomes.length = 0;
  lab.take(edge.data([change(1, 11)]));
  lab.take(edge.birth([metric("a", 7, 12)]));
  expect(lab.outcomes).toEqual(["filtered/unresolved", "forwarded"]);
  lab.take(edge.data([change(7, 13)]));
  expect(lab.host.value("g/n", "a")).toBe(13);
  expect(lab.host.faults).toEqual([]);
});

test("without snapshots the births that are known stand after a gap", () => {
  const { lab, edge } = born();
  lab.lose(edge.data([change(1, 10)]));
  lab.take(edge.data([change(2, 20)]));
  expect(lab.host.value("g/n", "b")).toBe(20);
  expect(lab.known.gaps).toBe(1);
});

test("what is replayed late is history, and changes no current value", () => {
  const { lab, edge } = born();
  const late = edge.data([change(1, 10), change(2, 20)]);
  lab.take(edge.data([change(1, 11)]));
  lab.takeLate(late);
  // b was not told since: then the late value is the newest there is.
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b")]).toEqual([11, 20]);
  const last = lab.host.seen.at(-1)?.decoded.metrics as { isHistorical?: boolean }[];
  expect(last.map(({ isHistorical }) => isHistorical === true)).toEqual([true, false]);
  lab.askRebirth("g", "n");
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b")]).toEqual([11, 20]);
  expect(lab.host.faults).toEqual([]);
});

test("what is replayed of an earlier life is filtered, births and data", () => {
  const { lab, edge } = begin();
  const old = [edge.birth([metric("a", 1, 1)]), edge.data([change(1, 2)]), edge.death()];
  lab.take(edge.birth([metric("a", 9, 5)]));
  lab.main.open();
  lab.take(edge.data([change(9, 6)]));
  lab.outcomes.length = 0;
  lab.takeLate(...old);
  expect(lab.outcomes).toEqual(["filtered/old-life", "filtered/old-life", "filtered/stale-death"]);
  expect(lab.host.value("g/n", "a")).toBe(6);
  expect(lab.host.isOnline("g/n")).toBe(true);
});

test("a lost birth that is replayed late counts, because it is the newest", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  const lost = edge.birth([metric("b", 1, 2), metric("a", 2, 1)]);
  lab.lose(lost);
  lab.take(edge.data([change(1, 222)]));
  lab.takeLate(lost);
  expect(lab.host.tags("g/n").get("b")?.alias).toBe("1");
  lab.takeAll(edge.snapshots());
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b")]).toEqual([1, 222]);
  expect(lab.host.faults).toEqual([]);
});

test("a lost birth that is replayed late proves nothing of what came behind it", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  const lost = edge.birth([metric("b", 1, 2), metric("a", 2, 1)]);
  lab.lose(lost);
  lab.lose(edge.birth([metric("a", 1, 1), metric("b", 2, 2)]));
  lab.take(edge.data([change(1, 11)]));
  lab.takeLate(lost);
  lab.take(edge.data([change(1, 12)]));
  expect(lab.host.value("g/n", "b")).toBe(2);
  lab.takeAll(edge.snapshots());
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b")]).toEqual([12, 2]);
  expect(lab.host.faults).toEqual([]);
});

test("a snapshot of an earlier life than the one that is known changes nothing", () => {
  const { lab, edge } = born();
  const early = edge.snapshots();
  lab.take(edge.birth([metric("z", 9, 9)]));
  lab.takeAll(early);
  expect([...lab.host.tags("g/n").keys()]).toContain("z");
  lab.askRebirth("g", "n");
  expect([lab.host.value("g/n", "z"), lab.host.isOnline("g/n/d")]).toEqual([9, false]);
});

test("a snapshot that was taken before a gap does not end the doubt", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  const early = edge.snapshots();
  lab.lose(edge.birth([metric("b", 1, 2), metric("a", 2, 1)]));
  lab.take(edge.data([change(1, 222)]));
  lab.takeAll(early);
  expect([lab.host.value("g/n", "a"), lab.desk.held]).toEqual([1, 1]);
  lab.takeAll(edge.snapshots());
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b")]).toEqual([1, 222]);
});

test("a snapshot that was on its way while a birth was lost does not hide that", () => {
  const { lab, edge } = born();
  lab.takeAll(edge.snapshots());
  const slow = edge.snapshots();
  lab.lose(edge.birth([metric("b", 1, 2), metric("a", 2, 1)]));
  lab.takeAll(slow);
  lab.take(edge.data([change(1, 222)]));
  expect([lab.host.value("g/n", "a"), lab.desk.held]).toEqual([1, 1]);
  lab.takeAll(edge.snapshots());
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b")]).toEqual([1, 222]);
  // Two snapshots later what was lost then is no reason any more.
  lab.takeAll([edge.data([change(1, 222)]), ...edge.snapshots(), ...edge.snapshots()]);
  edge.data([change(1, 223)]); // the plant's own gap
  lab.take(edge.data([change(1, 224)]));
  expect(lab.host.value("g/n", "b")).toBe(224);
  expect(lab.host.faults).toEqual([]);
});

test("a message that comes twice is told once", () => {
  const { lab, edge } = born();
  const data = edge.data([change(1, 10)]);
  lab.takeAll([data, data]);
  expect(lab.outcomes.slice(-2)).toEqual(["forwarded", "filtered/repeat"]);
  const birth = edge.birth([metric("a", 1, 1)]);
  lab.takeAll([birth, birth]);
  expect(lab.outcomes.slice(-2)).toEqual(["forwarded", "filtered/repeat"]);
  expect(lab.host.faults).toEqual([]);
});

test("a snapshot that tells nothing new publishes nothing", () => {
  const { lab, edge } = born();
  lab.take(edge.data([change(1, 10)]));
  const before = lab.host.seen.length;
  for (let round = 0; round < 3; round++) lab.takeAll(edge.snapshots());
  expect(lab.host.seen).toHaveLength(before);
  expect(lab.outcomes.slice(-6)).toEqual(Array(6).fill("filtered/birth-snapshot"));
});

test("a snapshot that is older than the data changes nothing; one that was faster is not undone", () => {
  const { lab, edge } = born();
  const early = edge.snapshots();
  lab.take(edge.data([change(1, 10)]));
  lab.takeAll(early);
  expect(lab.host.value("g/n", "a")).toBe(10);
  const slow = [edge.data([change(1, 11)]), edge.data([change(1, 12)])];
  lab.takeAll(edge.snapshots());
  expect(lab.host.value("g/n", "a")).toBe(12);
  lab.takeAll(slow);
  expect(lab.host.value("g/n", "a")).toBe(12);
  expect(lab.known.gaps).toBe(0);
  lab.take(edge.data([change(1, 13)]));
  expect(lab.host.value("g/n", "a")).toBe(13);
  expect(lab.host.faults).toEqual([]);
});

test("a death that was lost is told by the snapshot; so is one of a device", () => {
  const { lab, edge } = born();
  lab.lose(edge.deviceDeath("d"));
  lab.takeAll(edge.snapshots());
  expect([lab.host.isOnline("g/n"), lab.host.isOnline("g/n/d")]).toEqual([true, false]);
  lab.lose(edge.death());
  lab.takeAll(edge.snapshots());
  expect(lab.host.isOnline("g/n")).toBe(false);
  lab.take(edge.birth([metric("a", 1, 1)]));
  expect(lab.host.isOnline("g/n")).toBe(true);
  expect(lab.host.faults).toEqual([]);
});

test("a death of a later life than the one that is known is one; of an earlier life it is none", () => {
  const { lab, edge } = born();
  lab.take(edge.death(6));
  expect(lab.host.isOnline("g/n")).toBe(true);
  lab.take(edge.death(8));
  expect(lab.host.isOnline("g/n")).toBe(false);
  expect(lab.outcomes.slice(-2)).toEqual(["filtered/stale-death", "forwarded"]);
});

test("metrics that the birth does not name are left out, the others of the message go", () => {
  const { lab, edge } = born();
  lab.take(edge.data([change(1, 10), change(77, 1)]));
  lab.take(edge.data([change(77, 1)]));
  expect(lab.outcomes.slice(-2)).toEqual(["forwarded", "filtered/unresolved"]);
  expect(lab.host.value("g/n", "a")).toBe(10);
  expect(lab.host.faults).toEqual([]);
});

test("clocks that are set back in the plant stop nothing", () => {
  const { lab, edge } = born();
  lab.take(edge.data([change(1, 10)]));
  const message = edge.data([change(1, 11)]);
  // The send agent's clock alone.
  lab.take({ ...message, acceptedMs: message.acceptedMs - 3_600_000 });
  expect(lab.host.value("g/n", "a")).toBe(11);
  // The edge node's alone.
  const back = lab.plantMs;
  lab.plantMs -= 3_600_000;
  const other = edge.data([change(1, 12)]);
  lab.plantMs = back + 100;
  lab.take({ ...other, acceptedMs: lab.plantMs });
  expect(lab.host.value("g/n", "a")).toBe(12);
  expect(lab.outcomes.every((outcome) => outcome === "forwarded")).toBe(true);
});

test("what is not Sparkplug, not wanted or not readable has its name", () => {
  const { lab, edge } = begin({ nodes: ["g/+"] });
  const message = (topic: string, payload: Uint8Array) =>
    lab.take({ topic, payload, qos: 0, retain: false, properties: undefined, acceptedMs: 1 });
  const bytes = edge.birth([]).payload;
  const asked: [string, Uint8Array, string][] = [
    ["plant/x", bytes, "filtered/not-sparkplug"],
    ["spBv1.0/g/XDATA/n", bytes, "filtered/not-sparkplug"],
    ["spBv1.0/STATE/host", bytes, "filtered/state"],
    ["spBv1.0/g/NCMD/n", bytes, "filtered/command"],
    ["spBv1.0/g/DCMD/n/d", bytes, "filtered/command"],
    ["spBv1.0/other/NBIRTH/n", bytes, "filtered/nodes"],
    ["$tidegate/sparkplug/birth/other/n", bytes, "filtered/nodes"],
    ["$tidegate/something", bytes, "filtered/tidegate-internal"],
    ["$tidegate/sparkplug/birth/g/n", bytes, "lost/malformed"],
    ["spBv1.0/g/NBIRTH/n", bytes.subarray(0, 20), "lost/malformed"],
    ["spBv1.0/g/NDATA/n", new Uint8Array([0xff, 0xff]), "lost/malformed"],
  ];
  for (const [topic, payload] of asked) message(topic, payload);
  expect(lab.outcomes).toEqual(asked.map(([, , outcome]) => outcome));
  expect(lab.counters.total("malformed")).toBe(3);
  expect(lab.host.seen).toEqual([]);
});

test("edge nodes beyond the bound are lost by name; one that is dead makes room", () => {
  const lab = new Lab({ nodesMax: 2 });
  lab.speaker.begin([]);
  lab.main.open();
  const [one, two, three] = ["1", "2", "3"].map((name) => new PlantEdge(lab, "g", name)) as [
    PlantEdge,
    PlantEdge,
    PlantEdge,
  ];
  lab.takeAll([
    one.birth([metric("a", 1, 1)]),
    two.birth([metric("a", 1, 1)]),
    three.birth([metric("a", 1, 1)]),
  ]);
  expect(lab.outcomes.at(-1)).toBe("lost/sparkplug-limit");
  expect(lab.refused.at(-1)).toContain("raise sparkplug.nodes_max");
  lab.main.open();
  lab.takeAll([one.death(), three.birth([metric("a", 1, 1)])]);
  expect([lab.known.size, lab.known.evicted, lab.host.isOnline("g/3")]).toEqual([2, 1, true]);
});

test("devices that are dead make room for new ones of their edge node", () => {
  const lab = new Lab({ nodesMax: 2 });
  lab.speaker.begin([]);
  lab.main.open();
  const edge = new PlantEdge(lab);
  lab.take(edge.birth([metric("a", 1, 1)]));
  lab.main.open();
  lab.takeAll([edge.deviceBirth("d1", [metric("b", 2, 2)]), edge.deviceBirth("d2", [metric("c", 3, 3)])]);
  expect(lab.outcomes.at(-1)).toBe("lost/sparkplug-limit");
  lab.takeAll([edge.deviceDeath("d1"), edge.deviceBirth("d2", [metric("c", 3, 3)])]);
  expect([lab.outcomes.at(-1), lab.host.value("g/n/d2", "c"), lab.known.weight.parts]).toEqual([
    "forwarded",
    3,
    2,
  ]);
});

/** The clocks that are set: the edge node's, the send agent's, or both, to this many milliseconds from now. */
function setClocks(lab: Lab, which: string, byMs: number) {
  const agentMs = lab.agentOffMs;
  if (which !== "agent") lab.plantMs += byMs;
  if (which === "agent") lab.agentOffMs = agentMs + byMs;
  if (which === "edge") lab.agentOffMs = agentMs - byMs;
}

for (const which of ["edge", "agent", "both"]) {
  test(`data, births, deaths and snapshots count when the clock is set back by an hour: ${which}`, () => {
    const { lab, edge } = born();
    lab.takeAll(edge.snapshots());
    lab.take(edge.data([change(1, 10)]));
    setClocks(lab, which, -3_600_000);
    lab.outcomes.length = 0;
    lab.takeAll([edge.data([change(1, 11)]), edge.data([change(3, 31)], "d")]);
    expect([lab.host.value("g/n", "a"), lab.host.value("g/n/d", "c")]).toEqual([11, 31]);
    lab.lose(edge.data([change(1, 12), change(2, 22)]));
    lab.takeAll(edge.snapshots());
    expect([lab.host.value("g/n", "a"), lab.host.value("g/n", "b")]).toEqual([12, 22]);
    lab.take(edge.data([change(1, 13)]));
    lab.takeAll(edge.snapshots());
    expect([lab.host.value("g/n", "a"), lab.desk.held]).toEqual([13, 0]);
    lab.take(edge.death());
    expect(lab.host.isOnline("g/n")).toBe(false);
    lab.take(edge.birth([metric("a", 1, 14)]));
    expect([lab.host.value("g/n", "a"), lab.host.isOnline("g/n")]).toEqual([14, true]);
    lab.lose(edge.death());
    lab.takeAll(edge.snapshots());
    expect(lab.host.isOnline("g/n")).toBe(false);
    expect(lab.outcomes.filter((outcome) => !/^forwarded$|birth-snapshot$/.test(outcome))).toEqual([]);
    expect(lab.host.faults).toEqual([]);
  });

  test(`a birth or a death that comes first after the clock was set back counts: ${which}`, () => {
    for (const say of ["birth", "death", "snapshot"] as const) {
      const { lab, edge } = born();
      lab.takeAll([...edge.snapshots(), edge.data([change(1, 10)])]);
      setClocks(lab, which, 3_600_000);
      lab.takeAll([edge.data([change(1, 11)]), ...edge.snapshots()]);
      setClocks(lab, which, -3_600_000);
      if (say === "birth") {
        lab.take(edge.birth([metric("z", 1, 12)]));
        expect(lab.host.value("g/n", "z")).toBe(12);
      } else if (say === "death") lab.take(edge.death());
      else {
        lab.lose(edge.death());
        lab.takeAll(edge.snapshots());
      }
      expect(lab.host.isOnline("g/n")).toBe(say === "birth");
      expect(lab.host.faults).toEqual([]);
    }
  });
}

test("the death of an edge node that only a snapshot has told counts when the clock was set back since", () => {
  const { lab, edge } = begin();
  edge.birth([metric("a", 1, 1)]);
  lab.takeAll(edge.snapshots());
  lab.main.open();
  setClocks(lab, "both", -3_600_000);
  lab.take(edge.death());
  expect(lab.host.isOnline("g/n")).toBe(false);
});

test("without snapshots births and deaths of devices, and of a life that was lost, count after the clock was set back", () => {
  const { lab, edge } = born();
  lab.take(edge.data([change(1, 10)]));
  setClocks(lab, "both", -3_600_000);
  lab.take(edge.deviceBirth("d", [metric("c", 3, 4)]));
  expect(lab.host.value("g/n/d", "c")).toBe(4);
  setClocks(lab, "both", -3_600_000);
  lab.take(edge.deviceDeath("d"));
  expect(lab.host.isOnline("g/n/d")).toBe(false);
  setClocks(lab, "both", -3_600_000);
  lab.take(edge.death(8));
  expect(lab.host.isOnline("g/n")).toBe(false);
  expect(lab.outcomes.every((outcome) => outcome === "forwarded")).toBe(true);
  expect(lab.host.faults).toEqual([]);
});

test("what comes again after a restart of the receiver is no clock that was set back", () => {
  const { lab, edge } = born();
  const again = [edge.data([change(1, 10)]), edge.birth([metric("z", 1, 1)]), edge.data([change(1, 11)])];
  lab.takeAll(again);
  lab.outcomes.length = 0;
  lab.content -= 3;
  lab.takeAll(again.slice(0, 2));
  expect(lab.outcomes).toEqual(["filtered/old-life", "filtered/repeat"]);
  expect(lab.host.value("g/n", "z")).toBe(11);
});
