import { expect, test } from "bun:test";
import { PLAIN_PLAN, type TargetPlan } from "../../../../agents/recv/targets/plan.ts";
import { FakeTarget, names, TargetLab } from "./target-lab.ts";

const NEWEST: TargetPlan = { ...PLAIN_PLAN, backlog: "newest-first", drainPerSecond: 100 };

function open(plan: TargetPlan = PLAIN_PLAN, spoolBytesMax?: number) {
  const hq = new FakeTarget("hq", plan);
  const lab = new TargetLab([hq], spoolBytesMax);
  return { hq, lab };
}

function isBalanced(lab: TargetLab, name: string): boolean {
  const { accepted, forwarded, held, filtered, lost } = lab.ledger(name);
  const sum = (record: Record<string, number>) => Object.values(record).reduce((a, b) => a + b, 0);
  return held >= 0 && accepted === forwarded + held + sum(filtered) + sum(lost);
}

test("TargetDesk keeps the order of all messages with backlog oldest-first, at any rate", () => {
  for (const drainPerSecond of [0, 100]) {
    const { hq, lab } = open({ ...PLAIN_PLAN, drainPerSecond });
    lab.arriveMany("old", 20);
    lab.run();
    hq.connect();
    lab.arriveMany("new", 5);
    lab.pass(1000);
    expect(hq.sent).toEqual([...names("old", 1, 20), ...names("new", 1, 5)]);
  }
});

test("TargetDesk sends with backlog newest-first what comes at once, and the backlog at its rate behind it", () => {
  const { hq, lab } = open(NEWEST);
  lab.arriveMany("old", 200);
  hq.connect(1000);
  lab.run();
  const burst = hq.sent.length;
  expect(burst).toBeWithin(1, 20);
  lab.arrive(["live"]);
  lab.run();
  expect(hq.sent).toEqual([...names("old", 1, burst), "live"]);
  lab.pass(1000);
  // 100 a second, and the burst.
  expect(hq.sent.length).toBeWithin(100, 125);
  lab.pass(1500);
  expect(hq.sent.filter((topic) => topic !== "live")).toEqual(names("old", 1, 200));
});

test("TargetDesk with backlog newest-first goes on in both after a crash, twice if need be", () => {
  const { hq, lab } = open(NEWEST);
  lab.arriveMany("a", 50);
  hq.connect(1000);
  lab.run();
  lab.arriveMany("b", 5);
  lab.run();
  lab.desk.save();
  const before = hq.sent.length;
  const again = new FakeTarget("hq", NEWEST);
  lab.crash([again]);
  lab.arriveMany("c", 30);
  again.connect(1000);
  lab.run();
  lab.arriveMany("d", 3);
  lab.run();
  lab.desk.save();
  const second = again.sent.length;
  expect(again.sent.filter((topic) => topic.startsWith("d"))).toEqual(names("d", 1, 3));
  const last = new FakeTarget("hq", NEWEST);
  lab.crash([last]);
  last.connect(1000);
  lab.pass(2000);
  const all = [...hq.sent.slice(0, before), ...again.sent.slice(0, second), ...last.sent];
  expect(new Set(all)).toEqual(
    new Set([...names("a", 1, 50), ...names("b", 1, 5), ...names("c", 1, 30), ...names("d", 1, 3)]),
  );
  expect(all).toHaveLength(88);
  expect(lab.ledger("hq")).toMatchObject({ accepted: 88, forwarded: 88, held: 0 });
});

test("TargetDesk releases what is settled in the middle of the spool, and never what is not", () => {
  const { hq, lab } = open(NEWEST);
  hq.answer = undefined;
  lab.arriveMany("old", 3, 1000);
  hq.connect(1);
  lab.run();
  // One of the backlog is under way and fills the window; the rest waits behind the live one.
  hq.settle(1);
  lab.arriveMany("live", 100, 1000);
  hq.answer = () => ["forwarded"];
  lab.run();
  lab.desk.save();
  expect(lab.spool.bytes).toBeLessThan(3 * 1100);
  lab.pass(500);
  lab.desk.save();
  expect(lab.spool.bytes).toBe(0);
  expect(hq.sent).toHaveLength(103);
});

test("TargetDesk.save() lets another start go on behind what was settled, with the same figures", () => {
  const { hq, lab } = open();
  hq.answer = undefined;
  lab.arrive(["a", "b", "c"]);
  lab.arrive(["d", "e"]);
  hq.connect();
  lab.run();
  hq.settle(2);
  lab.desk.save();
  const again = new FakeTarget("hq");
  lab.crash([again]);
  again.connect();
  lab.run();
  expect(again.sent).toEqual(["c", "d", "e"]);
  expect(lab.ledger("hq")).toMatchObject({ accepted: 5, forwarded: 5, held: 0 });
});

test("TargetDesk books messages that are older than the retention as lost, connected or not", () => {
  const { hq, lab } = open({ ...PLAIN_PLAN, retentionHours: 1 });
  lab.arriveMany("old", 3);
  lab.pass(20);
  lab.nowMs += 1_800_000;
  lab.arriveMany("young", 2);
  lab.pass(20);
  expect(lab.ledger("hq")).toMatchObject({ held: 5, lost: {} });
  lab.nowMs += 1_800_000;
  lab.pass(20);
  expect(lab.ledger("hq")).toMatchObject({ held: 2, lost: { age: 3 } });
  lab.desk.save();
  hq.connect();
  lab.run();
  expect(hq.sent).toEqual(names("young", 1, 2));
  expect(lab.ledger("hq")).toMatchObject({ held: 0, forwarded: 2, lost: { age: 3 } });
});

test("TargetDesk books of a content that grows too old only what has not been sent", () => {
  const { hq, lab } = open({ ...PLAIN_PLAN, retentionHours: 1 });
  hq.answer = undefined;
  lab.arrive(["a", "b", "c"]);
  hq.connect(1);
  lab.run();
  lab.nowMs += 3_700_000;
  lab.pass(20);
  // Booked when the cursor passes, which waits for "a".
  expect(lab.ledger("hq")).toMatchObject({ held: 3, lost: {} });
  hq.settle(1);
  lab.run();
  expect(lab.ledger("hq")).toMatchObject({ held: 0, forwarded: 1, lost: { age: 2 } });
});

test("TargetDesk frees what grows too old behind a message in flight to a broker that is away", () => {
  const { hq, lab } = open({ ...PLAIN_PLAN, retentionHours: 1 });
  hq.answer = undefined;
  lab.arrive(["a", "b", "c"]);
  lab.arriveMany("m", 20, 1000);
  hq.connect(1);
  lab.run();
  hq.disconnect();
  lab.nowMs += 3_700_000;
  lab.pass(20);
  lab.desk.save();
  expect(lab.ledger("hq")).toMatchObject({ accepted: 23, held: 0, lost: { age: 23 } });
  expect(lab.spool.bytes).toBe(0);
  // The connection that it was sent on again says that it did arrive.
  hq.connect(1);
  hq.settle(1);
  lab.run();
  expect(lab.ledger("hq")).toMatchObject({ held: 0, forwarded: 1, lost: { age: 22 } });
});

test.each([
  ["drop-oldest", "m11"],
  ["drop-newest", "m1"],
] as const)(
  "TargetDesk.bound() with %s leaves as much as there is room for, and books the rest",
  (overflow, first) => {
    const { hq, lab } = open({ ...PLAIN_PLAN, overflow }, 11_000);
    for (let round = 0; round < 4; round++) {
      for (let index = 1; index <= 5; index++) lab.arrive([`m${round * 5 + index}`], 1000);
      lab.run();
      lab.desk.bound();
      expect(lab.spool.bytes).toBeLessThanOrEqual(11_000);
      expect(isBalanced(lab, "hq")).toBe(true);
    }
    const { held, lost } = lab.ledger("hq");
    expect([held, lost.overflow]).toEqual([10, 10]);
    hq.connect();
    lab.run();
    expect(hq.sent[0]).toBe(first);
    expect(hq.sent).toHaveLength(10);
    expect(hq.sent).toEqual(hq.sent.toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1))));
    expect(lab.ledger("hq")).toMatchObject({ held: 0, forwarded: 10, lost: { overflow: 10 } });
  },
);

test("TargetDesk.bound() does not harm a target that has read what another lags behind with", () => {
  const slow = new FakeTarget("slow");
  const fast = new FakeTarget("fast");
  const lab = new TargetLab([slow, fast], 5000);
  fast.connect(100);
  lab.arriveMany("m", 20, 1000);
  lab.run();
  const losses = lab.desk.bound();
  expect([...losses.keys()]).toEqual(["slow"]);
  expect(lab.ledger("fast")).toMatchObject({ forwarded: 20, lost: {} });
  expect(isBalanced(lab, "slow")).toBe(true);
});

test("TargetDesk.bound() counts once what was settled out of turn in a content that it drops", () => {
  const { hq, lab } = open(PLAIN_PLAN, 3000);
  hq.answer = undefined;
  lab.arrive(["a", "b", "c"], 1000);
  hq.connect(2);
  lab.run();
  hq.flights.splice(1, 1)[0]?.settle("forwarded");
  expect(lab.ledger("hq")).toMatchObject({ forwarded: 0, held: 3 });
  lab.arriveMany("m", 2, 1000);
  lab.desk.bound();
  expect(isBalanced(lab, "hq")).toBe(true);
  // "a" was in flight when the content went, and "c" had not been sent.
  expect(lab.ledger("hq")).toMatchObject({ accepted: 5, forwarded: 1, lost: { overflow: 2 }, held: 2 });
  // The broker's answer for what was booked as lost says what became of it.
  hq.settle(2);
  lab.run();
  expect(lab.ledger("hq")).toMatchObject({ accepted: 5, forwarded: 2, lost: { overflow: 1 }, held: 2 });
});

test("TargetDesk sends what may go at once in its order with all else, and books each of them once", () => {
  const { hq, lab } = open();
  const judged: string[] = [];
  hq.rule = (message) => {
    judged.push(message.topic);
    return message.topic === "no" ? { outcome: "filtered/topics" } : { publish: message };
  };
  const topics = ["a", "b", "no", "one", "c", "d", "e", "f"];
  const qosOf = (topic: string) => (topic === "one" ? 1 : 0);
  hq.answer = (topic) => (topic === "one" ? undefined : ["forwarded"]);
  hq.roomNow = 4;
  hq.connect(10);
  lab.arrive(topics, 1, qosOf);
  lab.run();
  expect(hq.sent).toEqual(topics.filter((topic) => topic !== "no"));
  expect(judged).toEqual(topics);
  // Behind "one", which is not acknowledged, nothing is booked.
  expect(lab.ledger("hq")).toMatchObject({ forwarded: 2, filtered: { topics: 1 }, held: 5 });
  lab.desk.save();
  expect(lab.log.value("target.hq/cursor")).toBe("1:3");
  hq.settle(1);
  lab.run();
  expect(lab.ledger("hq")).toMatchObject({ accepted: 8, forwarded: 7, filtered: { topics: 1 }, held: 0 });
  hq.roomNow = 5000;
  const many = names("m", 1, 3000);
  lab.arrive(many, 1, () => 0);
  lab.run();
  expect(hq.sent.slice(7)).toEqual(many);
  expect(lab.ledger("hq")).toMatchObject({ accepted: 3008, forwarded: 3007, held: 0 });
  lab.desk.save();
  expect(lab.log.value("target.hq/cursor")).toBe("2:0");
});

test("TargetDesk sends no more at once than its window while an older message waits", () => {
  const { hq, lab } = open();
  hq.answer = () => undefined;
  hq.sendNow = ({ topic, qos }) => {
    if (qos === 0) hq.sent.push(topic);
    return qos === 0;
  };
  hq.connect(10);
  lab.arrive(["slow", ...names("m", 1, 100)], 1, (topic) => (topic === "slow" ? 1 : 0));
  lab.arrive(names("n", 1, 100), 1, () => 0);
  lab.run();
  expect(hq.sent).toEqual(["slow", ...names("m", 1, 9)]);
  expect(lab.ledger("hq")).toMatchObject({ forwarded: 0, held: 201 });
  hq.settle(1);
  lab.run();
  expect(hq.sent).toHaveLength(201);
  expect(lab.ledger("hq")).toMatchObject({ forwarded: 201, held: 0 });
  expect(lab.desk.idle).toBe(true);
});

test("TargetDesk.bound() passes what was settled behind the content that it drops", () => {
  const { hq, lab } = open(PLAIN_PLAN, 3000);
  hq.answer = undefined;
  lab.arrive(["a"], 1000);
  lab.arrive(["b"], 1000);
  hq.connect(4);
  lab.run();
  hq.flights.splice(1, 1)[0]?.settle("forwarded");
  lab.arriveMany("m", 1, 1000);
  lab.desk.bound();
  expect(lab.ledger("hq")).toMatchObject({ accepted: 3, forwarded: 1, lost: { overflow: 1 }, held: 1 });
  hq.connect(0);
  lab.desk.save();
  expect(lab.log.value("target.hq/cursor")).toBe("2:0");
});

test("TargetDesk.bound() has booked what is gone when the agent dies right after", () => {
  const { lab } = open(PLAIN_PLAN, 5000);
  lab.arriveMany("m", 20, 1000);
  lab.run();
  lab.desk.bound();
  const again = new FakeTarget("hq");
  lab.crash([again]);
  again.connect(100);
  lab.run();
  const { forwarded, lost } = lab.ledger("hq");
  expect(forwarded + (lost.overflow ?? 0)).toBe(20);
  expect(lab.ledger("hq").held).toBe(0);
});

test("TargetDesk makes one backlog of what a broker that comes and goes has not been sent", () => {
  const { hq, lab } = open(NEWEST);
  for (let round = 1; round <= 50; round++) {
    lab.arrive([`m${round}`]);
    hq.connect(0);
    lab.run();
  }
  lab.desk.save();
  expect(lab.log.value("target.hq/cursor")).toBe("0:0-50,50:0");
  hq.connect(1000);
  lab.arrive(["live"]);
  lab.pass(2000);
  expect(hq.sent.filter((topic) => topic !== "live")).toEqual(names("m", 1, 50));
  expect(lab.ledger("hq")).toMatchObject({ accepted: 51, forwarded: 51, held: 0 });
});

test("TargetDesk waits for a disk that does not give back the backlog, and books nothing as lost", () => {
  const { hq, lab } = open(NEWEST);
  lab.arriveMany("old", 3);
  lab.crash([hq]);
  const read = lab.log.read.bind(lab.log);
  lab.log.read = () => {
    throw new Error("disk I/O error");
  };
  hq.connect();
  lab.run();
  expect(hq.sent).toEqual([]);
  expect(lab.desk.idle).toBe(false);
  expect(() => lab.desk.bound()).toThrow("disk I/O error");
  lab.log.read = read;
  lab.desk.wake();
  lab.run();
  expect(hq.sent).toEqual(names("old", 1, 3));
  expect(lab.ledger("hq")).toMatchObject({ forwarded: 3, held: 0, lost: {} });
});

test("TargetDesk begins at the oldest row when a damaged file has lost its cursor, and balances its books", () => {
  const { lab } = open();
  lab.arriveMany("m", 5);
  lab.log.write(() => {
    lab.log.setValue("cursors_lost", "1");
    lab.log.setValue("damaged", "1");
    lab.log.deleteValue("target.hq/cursor");
    lab.log.deleteBetween(2, 3);
  });
  const again = new FakeTarget("hq");
  lab.crash([again]);
  again.connect();
  lab.run();
  lab.desk.save();
  expect(again.sent).toEqual(["m1", "m4", "m5"]);
  expect(lab.ledger("hq")).toMatchObject({ accepted: 5, forwarded: 3, held: 0, lost: { corrupt: 2 } });
});

test("TargetDesk books rows that are gone from the middle of a backlog as corrupt, once", () => {
  const { hq, lab } = open(NEWEST);
  lab.arriveMany("m", 5);
  hq.connect(0);
  lab.run();
  lab.arrive(["live"]);
  lab.desk.save();
  lab.log.write(() => {
    lab.log.setValue("damaged", "1");
    lab.log.deleteBetween(4, 5);
  });
  const again = new FakeTarget("hq", NEWEST);
  lab.crash([again]);
  again.connect();
  lab.pass(1000);
  lab.desk.save();
  lab.desk.save();
  expect(lab.ledger("hq")).toMatchObject({ accepted: 6, forwarded: 4, held: 0, lost: { corrupt: 2 } });
});
