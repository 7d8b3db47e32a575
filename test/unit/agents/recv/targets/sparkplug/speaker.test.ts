// Tests of speaker.ts, voice.ts and line.ts: births with each connection and when a host asks, wills, deaths, connections of their
// own, and what is not handed over when a connection is cut.
import { expect, test } from "bun:test";
import { deflateSync } from "node:zlib";
import { decodeSparkplug, encodeSparkplug } from "../../../../../support/sparkplug-book.ts";
import { change, Lab, metric, PlantEdge } from "./lab.ts";

function born(over: ConstructorParameters<typeof Lab>[0] = {}) {
  const lab = new Lab(over);
  const edge = new PlantEdge(lab);
  lab.speaker.begin([]);
  lab.main.open();
  lab.take(edge.birth([metric("a", 1, 1)]));
  if (over.connections === "per-node") openLines(lab);
  else lab.main.open();
  lab.take(edge.deviceBirth("d", [metric("c", 3, 3)]));
  return { lab, edge };
}

/** The connections of the nodes' own are opened with the next tick. */
function openLines(lab: Lab): void {
  lab.steadyMs += 1000;
  lab.speaker.tick(lab.steadyMs);
  for (const session of lab.sessions) if (session.of !== "" && session.connections === 0) session.open();
}

const willOf = (lab: Lab, key = "") => {
  const will = lab.sessionOf(key).will;
  const metrics = will && (decodeSparkplug(will.payload).metrics as { longValue: string }[]);
  return will && [will.topic, will.qos, will.retain, metrics?.[0]?.longValue];
};

test("each connection has the next bdSeq, the same in will and births; it begins again behind 255", () => {
  const { lab } = born();
  expect(willOf(lab)).toEqual(["spBv1.0/g/NDEATH/n", 1, false, "1"]);
  expect(lab.host.bdSeq("g/n")).toBe("1");
  lab.main.cut();
  expect(lab.host.isOnline("g/n")).toBe(false);
  lab.main.open();
  expect([willOf(lab)?.[3], lab.host.bdSeq("g/n"), lab.host.isOnline("g/n/d")]).toEqual(["2", "2", true]);
  lab.bdSeqs.set("", 255);
  lab.main.cut();
  lab.main.open();
  expect([willOf(lab)?.[3], lab.host.bdSeq("g/n")]).toEqual(["0", "0"]);
  expect(lab.host.faults).toEqual([]);
});

test("the first birth takes a new connection, because its death has to be the will of it; the second does not", () => {
  const lab = new Lab();
  const [one, two] = [new PlantEdge(lab, "g", "n"), new PlantEdge(lab, "g", "m")];
  lab.speaker.begin([]);
  lab.main.open();
  expect(willOf(lab)).toBeUndefined();
  lab.take(one.birth([metric("a", 1, 1)]));
  expect(lab.main.renewals).toBe(1);
  lab.main.open();
  lab.take(two.birth([metric("a", 1, 1)]));
  expect([lab.main.renewals, willOf(lab)?.[0]]).toEqual([1, "spBv1.0/g/NDEATH/n"]);
  expect([lab.host.isOnline("g/n"), lab.host.isOnline("g/m")]).toEqual([true, true]);
  expect(lab.host.faults).toEqual([]);
});

test("an attempt that never came to a CONNECT uses no bdSeq", () => {
  const { lab } = born();
  lab.main.cut();
  for (const id of ["refused", "dns", "unreachable"]) lab.main.cut(id);
  lab.main.open();
  expect(lab.host.bdSeq("g/n")).toBe("2");
});

test("a connection that comes back tells complete births with current values, and data goes on behind them", () => {
  const { lab, edge } = born();
  lab.takeAll([edge.data([change(1, 10)]), edge.data([change(3, 30)], "d")]);
  lab.main.cut();
  lab.main.open();
  expect([lab.host.value("g/n", "a"), lab.host.value("g/n/d", "c")]).toEqual([10, 30]);
  lab.take(edge.data([change(1, 11)]));
  expect(lab.host.value("g/n", "a")).toBe(11);
  expect(lab.host.faults).toEqual([]);
});

test("what was published and not handed over goes again behind the births, as history, and is settled once", () => {
  const { lab, edge } = born();
  lab.main.isStuck = true;
  lab.outcomes.length = 0;
  lab.takeAll([edge.data([change(1, 10)]), edge.data([change(1, 11)])]);
  expect(lab.outcomes).toEqual([]);
  lab.main.cut();
  lab.main.open();
  lab.desk.settling.release();
  expect(lab.outcomes).toEqual(["forwarded", "forwarded"]);
  expect(lab.host.value("g/n", "a")).toBe(11);
  const told = lab.host
    .of("NDATA")
    .map(({ decoded }) => decoded.metrics as { isHistorical?: boolean; intValue: number }[]);
  expect(told.map(([one]) => [one?.intValue, one?.isHistorical])).toEqual([
    [10, true],
    [11, true],
  ]);
  expect(lab.host.faults).toEqual([]);
});

test("what was not handed over of a life that has ended meanwhile is not said behind the next birth", () => {
  const { lab, edge } = born();
  lab.main.isStuck = true;
  lab.outcomes.length = 0;
  lab.take(edge.data([change(1, 10)]));
  lab.take(edge.birth([metric("other", 1, 5)]));
  lab.main.cut();
  lab.main.open();
  lab.desk.settling.release();
  expect(lab.host.value("g/n", "other")).toBe(5);
  expect(lab.outcomes.sort()).toEqual(["filtered/old-life", "forwarded"]);
  expect(lab.host.faults).toEqual([]);
});

test("a host that asks gets births at once, no more often than is allowed, and every command else is refused by name", () => {
  const { lab, edge } = born({ rebirthMinMs: 5000 });
  lab.steadyMs = 10_000;
  lab.take(edge.data([change(1, 10)]));
  const births = () => [lab.host.count("NBIRTH"), lab.host.count("DBIRTH")];
  const [nodes = 0, devices = 0] = births();
  lab.askRebirth("g", "n");
  expect(births()).toEqual([nodes + 1, devices + 1]);
  for (let again = 0; again < 50; again++) lab.askRebirth("g", "n");
  lab.speaker.tick(14_999);
  expect(births()).toEqual([nodes + 1, devices + 1]);
  lab.steadyMs = 15_000;
  lab.speaker.tick(15_000);
  lab.speaker.tick(15_020);
  expect(births()).toEqual([nodes + 2, devices + 2]);
  expect(lab.host.value("g/n", "a")).toBe(10);
  expect(lab.counters.get("commands/answered")).toBe(51);

  const rebirth = { name: "Node Control/Rebirth", datatype: 11, booleanValue: true };
  lab.command("spBv1.0/g/NCMD/n", [{ name: "Node Control/Reboot", datatype: 11, booleanValue: true }]);
  lab.command("spBv1.0/g/NCMD/n", [{ ...rebirth, booleanValue: false }]);
  lab.command("spBv1.0/g/DCMD/n/d", [{ name: "c", datatype: 3, intValue: 1 }]);
  lab.command("spBv1.0/g/NCMD/other", [rebirth]);
  lab.command("spBv1.0/g/NCMD/n", [rebirth], true);
  lab.command("spBv1.0/g/NCMD/n", []);
  lab.command("spBv1.0/g/NDATA/n", [rebirth]);
  lab.desk.command(
    { topic: "spBv1.0/g/NCMD/n", payload: new Uint8Array([9]), retain: false },
    lab.speaker.main,
  );
  expect(lab.counters.group("commands/refused")).toEqual({ write: 3, unknown: 1, retained: 1, malformed: 3 });
  expect(births()).toEqual([nodes + 2, devices + 2]);
  // One that asks and writes at once is answered, and what it would write is refused.
  lab.steadyMs = 60_000;
  lab.command("spBv1.0/g/DCMD/n/d", [rebirth, { name: "c", datatype: 3, intValue: 1 }]);
  expect(lab.counters.get("commands/refused/write")).toBe(4);
  expect(births()).toEqual([nodes + 3, devices + 3]);
  expect(lab.host.faults).toEqual([]);
});

test("while the link is down for long all are dead, and asking brings nobody back; then they are born again", () => {
  const { lab, edge } = born();
  lab.speaker.setSilent(true);
  expect([lab.host.isOnline("g/n"), lab.host.isOnline("g/n/d")]).toEqual([false, false]);
  lab.askRebirth("g", "n");
  expect(lab.host.isOnline("g/n")).toBe(false);
  expect(lab.counters.get("commands/refused/unknown")).toBe(1);
  // A broker that comes back meanwhile hears nothing of them.
  lab.main.cut();
  const before = lab.host.count("NBIRTH");
  lab.main.open();
  expect(lab.host.count("NBIRTH")).toBe(before);
  lab.speaker.setSilent(false);
  lab.main.open();
  lab.take(edge.data([change(1, 10)]));
  expect([lab.host.isOnline("g/n"), lab.host.isOnline("g/n/d"), lab.host.value("g/n", "a")]).toEqual([
    true,
    true,
    10,
  ]);
  expect(lab.host.faults).toEqual([]);
});

test("a death while the broker is away is told when it is back, with the bdSeq that the hosts know", () => {
  const { lab, edge } = born();
  lab.main.will = undefined; // a broker that has lost it
  lab.main.cut();
  lab.take(edge.death());
  lab.main.open();
  lab.desk.settling.release();
  expect(lab.host.isOnline("g/n")).toBe(false);
  expect(lab.outcomes.at(-1)).toBe("forwarded");
  expect(lab.host.faults).toEqual([]);
});

test("a goodbye says all deaths first", async () => {
  const { lab } = born();
  const other = new PlantEdge(lab, "g", "m");
  lab.take(other.birth([metric("a", 1, 1)]));
  await lab.speaker.close(1000);
  expect([lab.host.isOnline("g/n"), lab.host.isOnline("g/m")]).toEqual([false, false]);
  expect(lab.sessions.every(({ isClosed }) => isClosed)).toBe(true);
});

test("per node: each has a connection, a will and a bdSeq of its own; who dies gives it back", () => {
  const { lab, edge } = born({ connections: "per-node" });
  const other = new PlantEdge(lab, "g", "m");
  lab.take(other.birth([metric("a", 1, 1)]));
  openLines(lab);
  expect([willOf(lab), willOf(lab, "g/n"), willOf(lab, "g/m")]).toEqual([
    undefined,
    ["spBv1.0/g/NDEATH/n", 1, false, "0"],
    ["spBv1.0/g/NDEATH/m", 1, false, "0"],
  ]);
  lab.sessionOf("g/n").cut();
  expect([lab.host.isOnline("g/n"), lab.host.isOnline("g/m")]).toEqual([false, true]);
  lab.sessionOf("g/n").open();
  expect([lab.host.isOnline("g/n"), lab.host.isOnline("g/n/d"), lab.host.bdSeq("g/n")]).toEqual([
    true,
    true,
    "1",
  ]);
  lab.take(edge.death());
  expect(lab.host.isOnline("g/n")).toBe(false);
  expect([lab.sessionOf("g/n").isClosed, lab.sessionOf("g/m").isClosed, lab.speaker.lines]).toEqual([
    true,
    false,
    2,
  ]);
  lab.take(edge.birth([metric("a", 1, 5)]));
  openLines(lab);
  expect([lab.host.value("g/n", "a"), lab.host.bdSeq("g/n")]).toEqual([5, "2"]);
  expect(lab.host.faults).toEqual([]);
  expect(lab.outcomes.every((outcome) => outcome === "forwarded")).toBe(true);
});

test("per node: beyond the bound, and when a login is refused again and again, the main connection speaks", () => {
  const { lab } = born({ connections: "per-node", connectionsMax: 1 });
  lab.main.isListening = false;
  const other = new PlantEdge(lab, "g", "m");
  lab.take(other.birth([metric("a", 1, 1)]));
  // It did not listen for commands yet: it connects again.
  expect(lab.main.renewals).toBe(1);
  lab.main.isListening = true;
  lab.main.open();
  expect(lab.host.isOnline("g/m")).toBe(true);
  expect(lab.refused).toEqual(["g/m: 1 edge nodes have one each"]);
  const own = lab.sessionOf("g/n");
  for (let attempt = 0; attempt < 3; attempt++) own.cut("auth");
  expect([own.isClosed, lab.host.isOnline("g/n"), lab.speaker.lines]).toEqual([true, true, 1]);
  lab.askRebirth("g", "n");
  expect(lab.host.faults).toEqual([]);
});

test("per node: the main connection does not answer for a node that has one of its own", () => {
  const { lab } = born({ connections: "per-node" });
  const before = lab.host.count("NBIRTH");
  lab.askRebirth("g", "n");
  expect([lab.host.count("NBIRTH"), lab.counters.get("commands/answered")]).toEqual([before, 0]);
});

test("a birth that is larger than the broker takes is lost by name, with its data, and costs no seq", () => {
  const { lab, edge } = born();
  lab.main.cut();
  lab.main.open(200);
  lab.outcomes.length = 0;
  lab.take(edge.birth([metric("x".repeat(300), 1, 1)]));
  lab.take(edge.data([change(1, 2)]));
  expect(lab.outcomes).toEqual(["lost/oversize", "lost/oversize"]);
  lab.take(edge.birth([metric("a", 1, 1)]));
  lab.take(edge.data([{ alias: 1, stringValue: "y".repeat(300) }]));
  lab.take(edge.data([change(1, 3)]));
  expect(lab.outcomes.slice(2)).toEqual(["forwarded", "lost/oversize", "forwarded"]);
  expect(lab.host.value("g/n", "a")).toBe(3);
  expect(lab.host.faults).toEqual([]);
});

test("devices of an edge node whose birth is larger than the broker takes are not held for ever, and not told", () => {
  const { lab, edge } = born();
  lab.main.cut();
  lab.main.open(200);
  lab.outcomes.length = 0;
  lab.take(edge.birth([metric("x".repeat(300), 1, 1)]));
  lab.take(edge.deviceBirth("d", [metric("c", 3, 3)]));
  lab.take(edge.data([change(3, 4)], "d"));
  lab.take(edge.deviceDeath("d"));
  expect(lab.outcomes).toEqual(Array(4).fill("lost/oversize"));
  const births = lab.host.count("DBIRTH");
  lab.take(edge.deviceBirth("d", [metric("c", 3, 3)]));
  lab.main.cut();
  lab.main.open(200);
  expect(lab.host.count("DBIRTH")).toBe(births);
  expect(lab.host.faults).toEqual([]);
});

test("a broker that asks for births and does not read gets them when it has read", () => {
  const { lab } = born();
  const before = lab.host.count("NBIRTH");
  lab.main.waitingBytes = 5_000_000;
  for (let round = 0; round < 10; round++) {
    lab.askRebirth("g", "n");
    lab.steadyMs += 10_000;
    lab.speaker.tick(lab.steadyMs);
  }
  expect(lab.host.count("NBIRTH")).toBe(before);
  lab.main.waitingBytes = 0;
  lab.speaker.tick(lab.steadyMs);
  expect(lab.host.count("NBIRTH")).toBe(before + 1);
});

test("what waits counts as what came out of a compressed payload", () => {
  const lab = new Lab();
  lab.speaker.begin([]);
  const edge = new PlantEdge(lab);
  const { topic, payload, acceptedMs } = edge.birth([metric("x".repeat(1_000_000), 1, 1)]);
  const packed = encodeSparkplug({ uuid: "SPBV1.0_COMPRESSED", body: deflateSync(payload) });
  const message = {
    topic,
    payload: packed,
    acceptedMs,
    qos: 0,
    retain: false,
    properties: undefined,
  } as const;
  expect(packed.length).toBeLessThan(5000);
  expect(lab.desk.room).toBeGreaterThan(0);
  for (let count = 0; count < 70; count++) lab.desk.take(message, () => {});
  expect(lab.desk.room).toBe(0);
  lab.main.open();
  lab.desk.settling.release();
  expect(lab.desk.room).toBeGreaterThan(0);
});

test("state_bytes_max counts lives that snapshots have told, and devices that are gone no more", () => {
  const lab = new Lab({ stateBytesMax: 200_000 });
  lab.speaker.begin([]);
  lab.main.open();
  const edges = [0, 1, 2, 3].map((index) => new PlantEdge(lab, "g", `n${index}`));
  for (const edge of edges) edge.birth([{ ...metric("a", 1, 1), stringValue: "x".repeat(60_000) }]);
  for (const edge of edges) lab.takeAll(edge.snapshots());
  expect(lab.known.size).toBe(3);
  expect(lab.known.weight.bytes).toBeGreaterThan(180_000);
  for (const edge of edges.slice(0, 3)) lab.take(edge.birth([metric("a", 1, 1)]));
  lab.known.noteKept();
  expect(lab.known.weight.bytes).toBeGreaterThan(0);
  expect(lab.known.weight.bytes).toBeLessThan(20_000);
});

test("data of a device whose birth is larger than the broker takes is lost by name, too", () => {
  const { lab, edge } = born();
  lab.main.cut();
  lab.main.open(250);
  lab.outcomes.length = 0;
  lab.take(edge.deviceBirth("big", [metric("x".repeat(300), 9, 1)]));
  lab.take(edge.data([change(9, 2)], "big"));
  lab.take(edge.data([change(3, 33)], "d"));
  expect(lab.outcomes).toEqual(["lost/oversize", "lost/oversize", "forwarded"]);
  lab.take(edge.deviceBirth("big", [metric("small", 9, 1)]));
  lab.take(edge.data([change(9, 2)], "big"));
  expect([lab.host.value("g/n/big", "small"), lab.host.value("g/n/d", "c")]).toEqual([2, 33]);
  expect(lab.host.faults).toEqual([]);
});

test("a device whose new birth the broker does not take is told to be dead first, and once", () => {
  const { lab, edge } = born();
  lab.main.cut();
  lab.main.open(250);
  lab.outcomes.length = 0;
  expect(lab.host.isOnline("g/n/d")).toBe(true);
  const deaths = lab.host.count("DDEATH");
  for (let round = 0; round < 2; round++) lab.take(edge.deviceBirth("d", [metric("x".repeat(300), 3, 1)]));
  expect([lab.host.isOnline("g/n"), lab.host.isOnline("g/n/d")]).toEqual([true, false]);
  expect(lab.host.count("DDEATH")).toBe(deaths + 1);
  expect(lab.outcomes).toEqual(["lost/oversize", "lost/oversize"]);
  lab.take(edge.deviceBirth("d", [metric("c", 3, 5)]));
  expect([lab.host.isOnline("g/n/d"), lab.host.value("g/n/d", "c")]).toEqual([true, 5]);
  expect(lab.host.faults).toEqual([]);
});

test("an edge node whose new birth the broker does not take is told to be dead first, not left alive with old values", () => {
  const { lab, edge } = born();
  lab.main.cut();
  lab.main.open(200);
  expect(lab.host.isOnline("g/n")).toBe(true);
  lab.take(edge.birth([metric("x".repeat(300), 1, 1)]));
  expect([lab.host.isOnline("g/n"), lab.host.isOnline("g/n/d"), lab.outcomes.at(-1)]).toEqual([
    false,
    false,
    "lost/oversize",
  ]);
  const deaths = lab.host.count("NDEATH");
  lab.take(edge.birth([metric("x".repeat(300), 1, 1)]));
  expect(lab.host.count("NDEATH")).toBe(deaths);
  lab.take(edge.birth([metric("a", 1, 5)]));
  expect([lab.host.isOnline("g/n"), lab.host.value("g/n", "a")]).toEqual([true, 5]);
  expect(lab.host.faults).toEqual([]);
});

test("a broker that acknowledges no death has a thousand of them at QoS 1, the others come at QoS 0", () => {
  const { lab, edge } = born();
  const { main } = lab;
  const take = main.publish.bind(main);
  const unacknowledged: (() => void)[] = [];
  const deaths = { 0: 0, 1: 0 };
  main.publish = (outgoing) => {
    if (!outgoing.topic.includes("/NDEATH/")) return take(outgoing);
    deaths[outgoing.qos]++;
    take({ ...outgoing, done: undefined });
    if (outgoing.qos === 1) unacknowledged.push(() => outgoing.done?.());
  };
  const dieAndRise = () => lab.takeAll([edge.death(), edge.birth([metric("a", 1, 1)])]);
  for (let life = 0; life < 1010; life++) dieAndRise();
  expect(deaths).toEqual({ 0: 10, 1: 1000 });
  unacknowledged[0]?.();
  dieAndRise();
  expect(deaths).toEqual({ 0: 10, 1: 1001 });
  expect(lab.host.isOnline("g/n")).toBe(true);
  expect(lab.host.faults).toEqual(Array(10).fill("spBv1.0/g/NDEATH/n has QoS 0"));
});

test("a host application that comes (back) has all edge nodes born again, not more often than is allowed", () => {
  const { lab } = born({ rebirthMinMs: 5000 });
  const other = new PlantEdge(lab, "g", "m");
  lab.take(other.birth([metric("a", 1, 1)]));
  lab.steadyMs = 10_000;
  const state = (topic: string, text: string, retain = false) =>
    lab.desk.command({ topic, payload: Buffer.from(text), retain }, lab.speaker.main);
  const births = () => lab.host.count("NBIRTH");
  const before = births();
  const online = JSON.stringify({ online: true, timestamp: 1 });
  state("spBv1.0/STATE/scada", online, true);
  state("spBv1.0/STATE/scada", JSON.stringify({ online: false, timestamp: 1 }));
  state("spBv1.0/STATE/scada", "nonsense");
  state("STATE/scada", "OFFLINE");
  expect(births()).toBe(before);
  state("spBv1.0/STATE/scada", online);
  expect(births()).toBe(before + 2);
  for (let again = 0; again < 20; again++) state("STATE/scada", "ONLINE");
  lab.speaker.tick(14_999);
  expect(births()).toBe(before + 2);
  lab.steadyMs = 15_000;
  lab.speaker.tick(15_000);
  lab.speaker.tick(15_020);
  expect(births()).toBe(before + 4);
  expect(lab.refused).toEqual([]);
  expect(lab.host.faults).toEqual([]);
});
