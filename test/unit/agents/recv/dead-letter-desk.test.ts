import { expect, test } from "bun:test";
import { DeadLetterDesk } from "../../../../agents/recv/dead-letter-desk.ts";
import { LETTERS_MARK } from "../../../../agents/recv/spool-salvage.ts";
import { FakeTarget, names, TargetLab } from "./target-lab.ts";

function refuseAll(hq: FakeTarget): void {
  hq.answer = () => ["lost/refused", "not authorized (0x87)"];
}

function open() {
  const hq = new FakeTarget("hq");
  const lab = new TargetLab([hq]);
  return { hq, lab };
}

/** A site where these messages were refused. */
function openWith(topics: readonly string[]) {
  const { hq, lab } = open();
  refuseAll(hq);
  hq.connect();
  lab.arrive(topics);
  lab.run();
  lab.desk.save();
  return { hq, lab };
}

const letters = (lab: TargetLab) =>
  [...lab.letters.list()].map(({ message, reason }) => `${message.topic} ${reason}`);

test("DeadLetterDesk keeps the message as it came with reason and detail, and only of losses that can be mended", () => {
  const { hq, lab } = open();
  const outcomes = [
    "lost/refused",
    "lost/oversize",
    "lost/invalid-topic",
    "lost/poison",
    "lost/expired",
    "filtered/x",
  ];
  hq.rule = (message) => ({ publish: { ...message, topic: `prefix/${message.topic}` } });
  hq.answer = (topic) => [outcomes[Number(topic.slice(-1))] as "lost/refused", `because ${topic}`];
  hq.connect();
  lab.arrive(names("t", 0, 5), 3);
  lab.run();
  lab.desk.save();
  expect(letters(lab)).toEqual(["t0 refused", "t1 oversize", "t2 invalid-topic", "t3 poison"]);
  const [first] = [...lab.letters.list()];
  expect(first).toMatchObject({ target: "hq", detail: "because prefix/t0", atMs: lab.nowMs });
  expect(Buffer.from(first?.message.payload as Uint8Array).toString()).toBe("t0t");
});

test("DeadLetterDesk.requeue() has a letter published again: lost - 1, held, and forwarded when acknowledged", () => {
  const { hq, lab } = openWith(["a", "b", "c"]);
  expect(lab.ledger("hq")).toMatchObject({ accepted: 3, lost: { refused: 3 }, held: 0 });
  hq.answer = undefined;
  expect(lab.letterDesk.requeue({ ids: [2] })).toEqual({ requeued: 1, missing: 0, left: 0 });
  lab.run();
  expect(lab.ledger("hq")).toMatchObject({ lost: { refused: 2 }, held: 1, forwarded: 0 });
  expect(hq.sent.at(-1)).toBe("b");
  hq.settle(1);
  expect(lab.ledger("hq")).toMatchObject({ lost: { refused: 2 }, held: 0, forwarded: 1 });
  lab.desk.save();
  expect(letters(lab)).toEqual(["a refused", "c refused"]);
});

test("DeadLetterDesk.requeue() leaves the letter where it is when it is refused again, under its new reason", () => {
  const { hq, lab } = openWith(["a", "b"]);
  lab.letterDesk.requeue({ ids: [1] });
  lab.run();
  lab.desk.save();
  expect(letters(lab)).toEqual(["a refused", "b refused"]);
  hq.answer = () => ["lost/oversize", "too large"];
  lab.letterDesk.requeue({ ids: [1] });
  lab.run();
  lab.desk.save();
  lab.desk.save();
  expect(letters(lab)).toEqual(["b refused", "a oversize"]);
  expect(lab.ledger("hq")).toMatchObject({ accepted: 2, held: 0, lost: { refused: 1, oversize: 1 } });
});

test("DeadLetterDesk.requeue() chooses by target and reason, and counts what is not there", () => {
  const targets = ["hq", "lab"].map((name) => new FakeTarget(name));
  const lab = new TargetLab(targets);
  for (const target of targets) {
    target.answer = (topic) => [topic === "b" ? "lost/oversize" : "lost/refused"];
    target.connect();
  }
  lab.arrive(["a", "b", "c"]);
  lab.run();
  lab.desk.save();
  for (const target of targets) target.disconnect();
  expect(lab.letterDesk.requeue({ ids: [1, 77] })).toEqual({ requeued: 1, missing: 1, left: 0 });
  expect(lab.letterDesk.requeue({ target: "lab", reason: "refused" }).requeued).toBe(2);
  expect(lab.letterDesk.requeue({ target: "lab" }).requeued).toBe(1);
  expect(lab.letterDesk.requeue({ target: "none" }).requeued).toBe(0);
  expect(lab.letterDesk.requeue({ target: "lab" }).requeued).toBe(0);
});

test("DeadLetterDesk goes on with what was on its way when the agent died, and loses or counts nothing twice", () => {
  const { hq, lab } = openWith(["a", "b", "c"]);
  hq.disconnect();
  lab.letterDesk.requeue({ ids: [1, 2] });
  lab.desk.save();
  const again = new FakeTarget("hq");
  lab.crash([again]);
  expect(lab.ledger("hq")).toMatchObject({ lost: { refused: 1 }, held: 2 });
  again.connect();
  lab.run();
  lab.desk.save();
  expect(again.sent).toEqual(["a", "b"]);
  expect(lab.ledger("hq")).toMatchObject({ lost: { refused: 1 }, held: 0, forwarded: 2 });
  expect(letters(lab)).toEqual(["c refused"]);
});

test("DeadLetterDesk forgets letters of messages that will be judged again after a crash", () => {
  const { hq, lab } = open();
  refuseAll(hq);
  hq.connect();
  lab.arrive(["a"]);
  lab.run();
  lab.desk.save();
  lab.arrive(["b", "c"]);
  lab.run();
  // The letters are on disk, the counters are not.
  lab.letterDesk.flush();
  expect(letters(lab)).toEqual(["a refused", "b refused", "c refused"]);
  const again = new FakeTarget("hq");
  again.answer = (topic) => [topic === "b" ? "lost/refused" : "forwarded"];
  lab.crash([again]);
  again.connect();
  lab.run();
  lab.desk.save();
  expect(letters(lab)).toEqual(["a refused", "b refused"]);
  expect(lab.ledger("hq")).toMatchObject({ lost: { refused: 2 }, forwarded: 1, held: 0 });
});

test("DeadLetterDesk counts as accepted anew a letter that the ledger does not know", () => {
  const { hq, lab } = openWith(["a"]);
  hq.disconnect();
  // The counters are of another spool.
  lab.log.write(() => lab.log.setValue("target.hq/counter/lost/refused", "0"));
  lab.log.write(() => lab.log.setValue("target.hq/base", "1"));
  const again = new FakeTarget("hq");
  lab.crash([again]);
  expect(lab.ledger("hq")).toMatchObject({ accepted: 0, held: 0 });
  lab.letterDesk.requeue({ ids: [1] });
  expect(lab.ledger("hq")).toMatchObject({ accepted: 1, held: 1 });
  again.connect();
  lab.run();
  expect(lab.ledger("hq")).toMatchObject({ accepted: 1, held: 0, forwarded: 1 });
});

test("DeadLetterDesk books again as lost a letter that was dropped while it waited", () => {
  const { hq, lab } = openWith(["a", "b"]);
  hq.disconnect();
  lab.letterDesk.requeue({ ids: [1] });
  lab.letters.remove([1]);
  hq.connect();
  lab.run();
  expect(lab.ledger("hq")).toMatchObject({ accepted: 2, held: 0, lost: { refused: 2 } });
});

test("DeadLetterDesk holds up no target while its disk is full, and keeps the letters when there is space again", () => {
  const { hq, lab } = openWith(["a"]);
  lab.isLetterDiskFull = true;
  lab.arrive(["b", "c"]);
  lab.run();
  lab.desk.save();
  expect(lab.letterDesk.problem).toBe("database or disk is full");
  expect([lab.letterDesk.unkept, letters(lab)]).toEqual([2, ["a refused"]]);
  // The books and the spool go on.
  expect(lab.spool.bytes).toBe(0);
  expect(lab.log.value("target.hq/counter/lost/refused")).toBe("3");
  lab.isLetterDiskFull = false;
  lab.desk.save();
  expect([lab.letterDesk.problem, lab.letterDesk.unkept]).toEqual([undefined, 0]);
  expect(letters(lab)).toEqual(["a refused", "b refused", "c refused"]);
  // They are known for good, although no counter has changed since.
  const again = new FakeTarget("hq");
  lab.crash([again]);
  expect(letters(lab)).toEqual(["a refused", "b refused", "c refused"]);
  expect(hq.sent).toEqual(["a", "b", "c"]);
});

test("DeadLetterDesk gives up the oldest of what a full disk does not take, past its memory, and counts them", () => {
  const { lab } = openWith([]);
  lab.isLetterDiskFull = true;
  for (let round = 0; round < 20; round++) {
    lab.arrive([`m${round}`], 1024 * 1024);
    lab.run();
  }
  lab.desk.save();
  expect(lab.letterDesk.unkept).toBe(15);
  expect(lab.letterDesk.dropped).toBe(5);
  expect(lab.ledger("hq")).toMatchObject({ accepted: 20, held: 0, lost: { refused: 20 } });
});

test("DeadLetterDesk keeps a letter when it is counted, not before: what waits for its turn may be judged again", () => {
  const { hq, lab } = open();
  hq.answer = undefined;
  hq.connect();
  lab.arrive(["a", "b"]);
  lab.run();
  hq.flights.splice(1, 1)[0]?.settle("lost/refused");
  lab.desk.save();
  expect(letters(lab)).toEqual([]);
  const again = new FakeTarget("hq");
  refuseAll(again);
  lab.crash([again]);
  again.connect();
  lab.run();
  lab.desk.save();
  expect(letters(lab)).toEqual(["a refused", "b refused"]);
  expect(lab.ledger("hq")).toMatchObject({ accepted: 2, held: 0, lost: { refused: 2 } });
});

test("DeadLetterDesk.requeue() has no more than 10,000 of a target under way, and says that others wait", () => {
  const { hq, lab } = openWith(names("t", 1, 10_010));
  hq.disconnect();
  expect(lab.letterDesk.requeue({ target: "hq" })).toEqual({ requeued: 10_000, missing: 0, left: 1 });
  expect(lab.ledger("hq")).toMatchObject({ held: 10_000, lost: { refused: 10 } });
  hq.answer = () => ["forwarded"];
  hq.connect(100);
  lab.run();
  lab.desk.save();
  expect(lab.letterDesk.requeue({ target: "hq" })).toEqual({ requeued: 10, missing: 0, left: 0 });
  lab.run();
  lab.desk.save();
  expect(lab.ledger("hq")).toMatchObject({ accepted: 10_010, forwarded: 10_010, held: 0 });
  expect(letters(lab)).toEqual([]);
});

test("DeadLetterDesk has its mark kept for good when the old one could meet letters that it does not know", () => {
  const { lab } = openWith(["a", "b"]);
  const isUrgent = (mark: string | undefined) =>
    new DeadLetterDesk(lab.letters, mark, "fresh", () => 0).isMarkUrgent;
  expect(lab.log.value(LETTERS_MARK)).toBe("store:2");
  expect([isUrgent("store:2"), isUrgent("store:3"), isUrgent("other:2"), isUrgent(undefined)]).toEqual([
    false,
    true,
    true,
    true,
  ]);
});
