// Tests of agents/send/sparkplug: what is followed and what is kept back, requests that are limited and never forgotten, snapshots
// that are spread over their period, and the dead who did not say so.
import { describe, expect, test } from "bun:test";
import { Follower, type Given } from "../../../../../agents/send/sparkplug/follower.ts";
import { type Ask, Rebirths } from "../../../../../agents/send/sparkplug/rebirths.ts";
import { SnapshotPlan } from "../../../../../agents/send/sparkplug/snapshot-plan.ts";
import type { SparkplugConfig } from "../../../../../agents/send/sparkplug-config.ts";
import { formatSnapshotTopic, readMark } from "../../../../../shared/sparkplug/snapshot.ts";
import { Random } from "../../../../sim/random.ts";
import { decode, encode, makePayload, parse } from "../../../shared/sparkplug/samples.ts";

const CONFIG: SparkplugConfig = {
  groups: undefined,
  primaryHostId: undefined,
  stateFormats: ["3.0"],
  snapshotMs: 60_000,
  rebirth: true,
  rebirthMinMs: 30_000,
  rebirthsPerSecondMax: 10,
  nodesMax: 1000,
  metricsPerNodeMax: 1000,
  memoryBytesMax: 16_777_216,
};

type Json = Record<string, unknown>;
const payload = (seq: number, ...metrics: Json[]) => encode({ timestamp: 1, seq, metrics } as never);
const bdSeq = { name: "bdSeq", datatype: 4, longValue: 1 };
const speed = { name: "speed", alias: 1, timestamp: 1, datatype: 10, doubleValue: 1 };

class Plant {
  readonly follower: Follower;
  readonly malformed: string[] = [];
  nowMs = 1_000_000;

  constructor(config: Partial<SparkplugConfig> = {}) {
    this.follower = new Follower({ ...CONFIG, ...config }, this.nowMs);
  }

  take(topic: string, bytes: Uint8Array, isKeptBack = false): string | undefined {
    return this.follower.take(topic, bytes, isKeptBack, this.nowMs, (reason) => this.malformed.push(reason));
  }

  birth(node: string, ...metrics: Json[]): void {
    this.take(`spBv1.0/g/NBIRTH/${node}`, payload(0, bdSeq, ...metrics));
  }

  asks(): string[] {
    const asked: Ask[] = [];
    this.follower.askAround(this.nowMs, (ask) => asked.push(ask) > 0);
    return asked.map(({ group, node, reason }) => `${group}/${node} ${reason}`);
  }

  tell(give: () => Given = () => "taken"): Map<string, Uint8Array> {
    const told = new Map<string, Uint8Array>();
    this.follower.tellDue(this.nowMs, 7777, (key, bytes) => {
      const given = give();
      if (given === "taken")
        told.set(formatSnapshotTopic(key).slice("$tidegate/sparkplug/birth/".length), bytes);
      return given;
    });
    return told;
  }
}

describe("Follower", () => {
  test("keeps commands and STATE in the plant, and lets everything else cross", () => {
    const plant = new Plant();
    const rule = (topic: string) => plant.take(topic, Buffer.from([]));
    expect(rule("spBv1.0/g/NCMD/n")).toBe("sparkplug-command");
    expect(rule("spBv1.0/g/DCMD/n/d")).toBe("sparkplug-command");
    expect(rule("spBv1.0/STATE/h")).toBe("sparkplug-state");
    expect(rule("STATE/h")).toBe("sparkplug-state");
    expect(rule("spBv1.0/g/NDATA/n")).toBeUndefined();
    expect(rule("plant/x")).toBeUndefined();
    expect(plant.malformed).toEqual([]);
  });

  test("counts what is malformed by name, lets it cross, and learns nothing from it", () => {
    const plant = new Plant();
    plant.birth("n", speed);
    expect(plant.take("spBv1.0/g/NDATA/n", Buffer.from([0x12, 0x09]))).toBeUndefined();
    expect(plant.take("spBv1.0/g/FOO/n", Buffer.from([]))).toBeUndefined();
    expect(plant.malformed).toEqual(["truncated", "message-type"]);
    expect(Object.fromEntries(plant.follower.counts.malformed)).toEqual({ truncated: 1, "message-type": 1 });
    plant.take("spBv1.0/g/NDATA/n", payload(1, { alias: 1, doubleValue: 2 }));
    expect(plant.follower.counts.troubles.size).toBe(0);
  });

  test("follows only the groups it is told to", () => {
    const plant = new Plant({ groups: ["other"] });
    plant.birth("n");
    expect(plant.take("spBv1.0/g/NCMD/n", payload(0))).toBe("sparkplug-command");
    expect(plant.follower.book.size).toBe(0);
  });

  test("tells nothing of what a filter keeps back, and takes no gap for missed because of it", () => {
    const plant = new Plant();
    plant.birth("n", speed);
    plant.take("spBv1.0/g/NDATA/n", payload(1, { alias: 1, timestamp: 5, doubleValue: 666 }), true);
    plant.take("spBv1.0/g/DBIRTH/n/d", payload(2, speed), true);
    plant.take("spBv1.0/g/NDATA/n", payload(3, { alias: 99, doubleValue: 1 }));
    expect([...plant.follower.counts.troubles.keys()]).toEqual(["unknown-metric"]);
    plant.nowMs += 1000;
    const told = plant.tell();
    expect([...told.keys()]).toEqual(["g/n"]);
    const metrics = decode(told.get("g/n") as Uint8Array).metrics as Json[];
    expect(metrics[1]).toMatchObject({ name: "speed", doubleValue: 1 });
    expect(plant.follower.book.find("g", "n")?.devices.size).toBe(0);
  });

  test("tells a birth soon, a death soon, and everyone once a period", () => {
    const plant = new Plant();
    for (let node = 0; node < 50; node++) plant.birth(`n${node}`, speed);
    expect(plant.tell().size).toBe(0);
    plant.nowMs += 100;
    expect(plant.tell().size).toBe(50);
    const seen = new Map<string, number>();
    let most = 0;
    for (let tick = 0; tick < 600; tick++) {
      plant.nowMs += 100;
      const told = plant.tell();
      most = Math.max(most, told.size);
      for (const topic of told.keys()) seen.set(topic, (seen.get(topic) ?? 0) + 1);
    }
    expect([...seen.values()].every((count) => count >= 1)).toBe(true);
    expect(seen.size).toBe(50);
    // Spread over the period, and not all at once.
    expect(most).toBeLessThan(6);
    plant.take("spBv1.0/g/NDEATH/n7", encode({ metrics: [bdSeq] } as never));
    plant.nowMs += 100;
    const mark = readMark(parse(plant.tell().get("g/n7") as Uint8Array));
    expect(mark).toMatchObject({ isOnline: false, takenMs: 7777n });
  });

  test("keeps what the link does not take for the next time, the longest due first", () => {
    const plant = new Plant();
    for (let node = 0; node < 5; node++) {
      plant.birth(`n${node}`, speed);
      plant.nowMs += 10;
    }
    plant.nowMs += 100;
    let room = 2;
    expect([...plant.tell(() => (room-- > 0 ? "taken" : "full")).keys()]).toEqual(["g/n0", "g/n1"]);
    expect([...plant.tell().keys()]).toEqual(["g/n2", "g/n3", "g/n4"]);
    expect(plant.follower.counts.snapshots).toBe(5);
    plant.birth("n0", speed);
    plant.nowMs += 100;
    expect(plant.tell(() => "too-large").size).toBe(0);
    expect(plant.follower.counts.snapshotsTooLarge).toBe(1);
    expect(plant.tell().size).toBe(0);
  });

  test("after a lost connection asks everyone, and takes for dead who says nothing, but not who does", () => {
    const plant = new Plant();
    for (const node of ["born", "data", "silent"]) plant.birth(node, speed);
    plant.follower.doubt();
    expect(plant.asks()).toEqual([
      "g/born connection-lost",
      "g/data connection-lost",
      "g/silent connection-lost",
    ]);
    plant.birth("born", speed);
    plant.take("spBv1.0/g/NDATA/data", payload(1, { alias: 1, doubleValue: 2 }));
    // A death of an earlier life is no sign of life.
    plant.take("spBv1.0/g/NDEATH/silent", encode({ metrics: [{ ...bdSeq, longValue: 9 }] } as never));
    plant.nowMs += 59_999;
    plant.follower.judgeSuspects(plant.nowMs, plant.nowMs);
    expect(plant.follower.counts.presumedDead).toBe(0);
    plant.nowMs += 1;
    plant.follower.judgeSuspects(plant.nowMs, plant.nowMs);
    expect(plant.follower.counts.presumedDead).toBe(1);
    const isOnline = (node: string) => plant.follower.book.find("g", node)?.isOnline;
    expect([isOnline("born"), isOnline("data"), isOnline("silent")]).toEqual([true, true, false]);
    expect(plant.follower.book.find("g", "data")?.isComplete).toBe(false);
  });

  test("takes nobody for dead who was not asked yet, however many there are", () => {
    const plant = new Plant({ rebirthsPerSecondMax: 1 });
    for (let node = 0; node < 100; node++) plant.birth(`n${node}`, speed);
    plant.follower.doubt();
    for (let second = 0; second < 70; second++) {
      plant.nowMs += 1000;
      plant.asks();
      plant.follower.judgeSuspects(plant.nowMs, plant.nowMs);
    }
    expect(plant.follower.rebirths.asked).toBe(70);
    expect(plant.follower.counts.presumedDead).toBe(10);
  });

  test("asks those whom the last run knew, and tells who does not answer dead, with the life that was known", () => {
    const before = new Plant();
    for (const node of ["silent", "back", "dies", "gone"]) before.birth(node, speed);
    const notes = new Map(before.follower.drainNotes() as Map<string, string>);
    before.take("spBv1.0/g/NDEATH/gone", encode({ metrics: [bdSeq] } as never));
    expect([...(before.follower.drainNotes() ?? [])]).toEqual([["g/gone", undefined]]);
    expect(before.follower.drainNotes()).toBeUndefined();
    notes.delete("g/gone");
    notes.set("g/bad", "{}");
    const plant = new Plant();
    plant.follower.remember(notes);
    plant.follower.doubtGhosts();
    expect(plant.asks()).toEqual([
      "g/silent connection-lost",
      "g/back connection-lost",
      "g/dies connection-lost",
    ]);
    plant.birth("back", speed);
    plant.take("spBv1.0/g/NDEATH/silent", encode({ metrics: [{ ...bdSeq, longValue: 9 }] } as never));
    plant.take("spBv1.0/g/NDEATH/dies", encode({ metrics: [bdSeq] } as never));
    plant.nowMs += 60_000;
    plant.follower.judgeSuspects(plant.nowMs, 5555);
    expect(plant.follower.counts.presumedDead).toBe(1);
    const told = plant.tell();
    expect([...told.keys()]).toEqual(["g/silent", "g/back"]);
    expect(readMark(parse(told.get("g/silent") as Uint8Array))).toEqual({
      isOnline: false,
      isNodeOnline: false,
      bdSeq: 1n,
      nodeBirthTimestamp: 1n,
      birthTimestamp: 1n,
      takenMs: 5555n,
      seq: undefined,
      isComplete: false,
    });
    expect([...(plant.follower.drainNotes() ?? [])].filter(([, value]) => value === undefined)).toEqual([
      ["g/dies", undefined],
      ["g/silent", undefined],
    ]);
    plant.nowMs += 100_000;
    expect([...plant.tell().keys()]).toEqual(["g/back"]);
  });

  test("does not ask for births again of a node that is over a limit", () => {
    const plant = new Plant({ metricsPerNodeMax: 1 });
    plant.birth("n", speed);
    for (let seq = 1; seq < 5; seq++)
      plant.take("spBv1.0/g/NDATA/n", payload(seq, { alias: 1, doubleValue: 2 }));
    expect(plant.asks()).toEqual([]);
    expect(Object.fromEntries(plant.follower.counts.refused)).toEqual({ "metrics-max": 5 });
  });

  test("asks nobody when it is not to", () => {
    const plant = new Plant({ rebirth: false });
    plant.take("spBv1.0/g/NDATA/n", payload(5, { alias: 1 }));
    plant.follower.doubt();
    expect(plant.asks()).toEqual([]);
    expect(plant.follower.counts.troubles.get("data-before-birth")).toBe(1);
  });
});

test("Follower never throws and stays within its bounds, whatever comes: 5,000 random messages", () => {
  const seed = Number(process.env.TIDEGATE_SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`follower: TIDEGATE_SEED=${seed}`);
  const random = new Random(seed);
  const plant = new Plant({ nodesMax: 20, metricsPerNodeMax: 12, memoryBytesMax: 60_000 });
  const types = ["NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH", "NCMD", "STATE", "X"];
  for (let round = 0; round < 5000; round++) {
    plant.nowMs += random.below(50);
    const type = random.pick(types);
    const device = type.startsWith("D") || random.chance(0.02) ? `/d${random.below(5)}` : "";
    const bytes = makePayload(random);
    if (random.chance(0.1) && bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
    plant.take(`spBv1.0/g/${type}/n${random.below(40)}${device}`, bytes, random.chance(0.05));
    if (random.chance(0.01)) plant.follower.doubt();
    plant.follower.judgeSuspects(plant.nowMs, plant.nowMs);
    plant.asks();
    for (const payload of plant.tell().values()) expect(typeof readMark(parse(payload))).toBe("object");
    expect(plant.follower.book.size).toBeLessThanOrEqual(20);
    expect(plant.follower.book.bytes).toBeLessThanOrEqual(60_000);
  }
  const { counts } = plant.follower;
  expect(
    Math.min(counts.births, counts.snapshots, counts.troubles.size, counts.refused.size),
  ).toBeGreaterThan(0);
});

describe("Rebirths", () => {
  const limits = { minMs: 1000, perSecondMax: 3, nodesMax: 50 };
  const ask = (node: string): Ask => ({ group: "g", node, reason: "sequence-gap" });
  const names = (rebirths: Rebirths, nowMs: number, can = true) => {
    const asked: string[] = [];
    rebirths.tick(nowMs, ({ node }) => {
      if (can) asked.push(node);
      return can;
    });
    return asked;
  };

  test("asks so many a second, and all in their turn", () => {
    const rebirths = new Rebirths(limits, 0);
    for (let node = 0; node < 9; node++) rebirths.want(ask(`n${node}`));
    rebirths.want(ask("n0"));
    expect(rebirths.heldBack).toBe(1);
    expect(names(rebirths, 0)).toEqual(["n0", "n1", "n2"]);
    expect(names(rebirths, 10)).toEqual([]);
    expect(names(rebirths, 1100)).toEqual(["n3", "n4", "n5"]);
    expect(names(rebirths, 2200)).toEqual(["n6", "n7", "n8"]);
    expect([rebirths.asked, rebirths.waiting]).toEqual([9, 0]);
  });

  test("asks one node after longer and longer times while it changes nothing, and from the start when it was well", () => {
    const rebirths = new Rebirths(limits, 0);
    const times: number[] = [];
    for (let ms = 0; ms < 100_000; ms += 100) {
      rebirths.want(ask("n"));
      if (names(rebirths, ms).length > 0) times.push(ms);
    }
    expect(times).toEqual([0, 1000, 3000, 7000, 15_000, 31_000, 63_000, 95_000]);
    rebirths.settle("g", "n");
    expect(rebirths.waiting).toBe(0);
    expect(names(rebirths, 300_000)).toEqual([]);
    rebirths.want(ask("n"));
    expect(names(rebirths, 300_000)).toEqual(["n"]);
    rebirths.want(ask("n"));
    expect(names(rebirths, 301_000)).toEqual(["n"]);
  });

  test("forgets nobody who could not be reached, and holds no more than it may", () => {
    const rebirths = new Rebirths(limits, 0);
    for (let node = 0; node < 60; node++) rebirths.want(ask(`n${node}`));
    expect(rebirths.waiting).toBe(50);
    expect(names(rebirths, 0, false)).toEqual([]);
    expect([rebirths.asked, rebirths.waiting]).toEqual([0, 50]);
    expect(names(rebirths, 0)).toEqual(["n0", "n1", "n2"]);
  });

  test("names that nobody listens to do not keep others out of the queue", () => {
    const rebirths = new Rebirths(limits, 0);
    for (let node = 0; node < 60; node++) rebirths.want(ask(`made-up ${node}`));
    expect(names(rebirths, 0, false)).toEqual([]);
    rebirths.want(ask("real"));
    expect(rebirths.waiting).toBe(50);
    const asked: string[] = [];
    rebirths.tick(2000, ({ node }) => node === "real" && asked.push(node) > 0);
    expect(asked).toEqual(["real"]);
  });
});

test("SnapshotPlan comes back to everyone within a period, whenever it was told last", () => {
  const plan = new SnapshotPlan(60_000);
  for (let index = 0; index < 200; index++) {
    const key = { group: "g", node: `n${index}`, device: undefined };
    const nowMs = 5_000_000 + index * 997;
    plan.hurry(key, nowMs);
    plan.noteSent(key, nowMs);
    expect(plan.listDue(nowMs).some(({ node }) => node === key.node)).toBe(false);
    expect(plan.listDue(nowMs + 60_000).some(({ node }) => node === key.node)).toBe(true);
    plan.forget(key);
  }
  expect(plan.size).toBe(0);
});
