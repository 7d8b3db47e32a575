import { describe, expect, test } from "bun:test";
import { Pacer } from "../../../../../agents/send/link/pacer.ts";
import {
  PathQueue,
  type PathQueueOptions,
  type WriteResult,
} from "../../../../../agents/send/link/path-queue.ts";

const DATAGRAM = 100;

function makeQueue(change: Partial<PathQueueOptions> & { mbit?: number } = {}) {
  const written: string[] = [];
  const errors: (string | undefined)[] = [];
  const answers: WriteResult[] = [];
  const queue = new PathQueue({
    pacer: new Pacer(change.mbit ?? 1000, DATAGRAM, 0),
    overheadBytes: 0,
    roomBytes: 1000,
    interleaveBlocks: 1,
    write: (datagrams) => {
      const answer = answers.shift() ?? { written: datagrams.length };
      for (const datagram of datagrams.slice(0, answer.written))
        written.push(datagram.toString("latin1", 0, 2));
      return answer;
    },
    onError: (error) => errors.push(error),
    ...change,
  });
  return { queue, written, errors, answers };
}

function block(name: string, count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => Buffer.alloc(DATAGRAM, `${name}${index}`));
}

describe("PathQueue", () => {
  test("sends heartbeats first, and the blocks in order", () => {
    const { queue, written } = makeQueue();
    const sent: string[] = [];
    queue.addBlock(block("a", 2), 0, () => sent.push("a"));
    queue.addBlock(block("b", 1), 0, () => sent.push("b"));
    queue.addHeartbeat(block("h", 2), 0);
    expect(queue.pump(0)).toBeUndefined();
    expect(written).toEqual(["h0", "h1", "a0", "a1", "b0"]);
    expect(sent).toEqual(["a", "b"]);
    expect(queue.empty).toBe(true);
  });

  test("interleaves as many blocks as it was told to", () => {
    const { queue, written } = makeQueue({ interleaveBlocks: 2 });
    for (const name of ["a", "b", "c"]) queue.addBlock(block(name, 2), 0, () => {});
    queue.pump(0);
    expect(written.join(" ")).toBe("a0 b0 a1 c0 b1 c1");
  });

  test("goes on where the path had no more room, after pauses that grow to 50 ms", () => {
    const { queue, written, answers, errors } = makeQueue();
    queue.addBlock(block("a", 4), 0, () => {});
    answers.push({ written: 2 }, ...Array.from({ length: 8 }, () => ({ written: 0 })));
    const pauses = Array.from({ length: 9 }, () => queue.pump(0));
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 50, 50, 50]);
    expect(written).toEqual(["a0", "a1"]);
    answers.push({ written: 1 });
    expect(queue.pump(0)).toBe(1);
    expect(queue.pump(0)).toBeUndefined();
    expect(written).toEqual(["a0", "a1", "a2", "a3"]);
    expect(errors.every((error) => error === undefined)).toBe(true);
  });

  test("tells an error, tries again after 50 ms, and stalls after a second", () => {
    const { queue, answers, errors } = makeQueue();
    queue.addBlock(block("a", 1), 0, () => {});
    answers.push({ written: 0, error: "no" });
    expect(queue.pump(0)).toBe(50);
    expect(errors).toEqual(["no"]);
    expect(queue.counters.errors).toBe(1);
    expect(queue.isStalled(1000)).toBe(false);
    expect(queue.isStalled(1002)).toBe(true);
    expect(queue.pump(1002)).toBeUndefined();
    expect(queue.isStalled(9999)).toBe(false);
  });

  test("on a slow path leaves seven eighths of the time to what is not a heartbeat", () => {
    // 100 bytes take 100 ms; a heartbeat of two datagrams is due each second for a minute.
    const { queue, written } = makeQueue({ mbit: 0.008, roomBytes: 1 });
    let at = 0;
    for (let nowMs = 0; nowMs < 60_000; nowMs += 10) {
      if (nowMs % 300 === 0) queue.addHeartbeat(block("h", 2), nowMs);
      if (queue.hasRoom) queue.addBlock(block("a", 1), nowMs, () => at++);
      queue.pump(nowMs);
    }
    const beats = written.filter((name) => name.startsWith("h")).length;
    expect(beats / written.length).toBeGreaterThan(0.08);
    expect(beats / written.length).toBeLessThan(0.14);
    expect(at).toBeGreaterThan(500);
  });

  test("on a slow path has a brief heartbeat about every second, also while a whole one is under way", () => {
    // 100 bytes take 100 ms: a whole heartbeat of fifteen datagrams takes longer than a second.
    const { queue, written } = makeQueue({ mbit: 0.008, roomBytes: 1 });
    const beats: number[] = [];
    let at = 0;
    for (let nowMs = 0; nowMs < 120_000; nowMs += 10) {
      if (nowMs % 1000 === 0) queue.addHeartbeat(block("h", 15), nowMs, () => block("b", 1));
      if (queue.hasRoom) queue.addBlock(block("a", 1), nowMs, () => at++);
      const before = written.length;
      queue.pump(nowMs);
      if (written.slice(before).some((name) => name.startsWith("b"))) beats.push(nowMs);
    }
    const whole = written.filter((name) => name.startsWith("h"));
    expect(whole.length).toBeGreaterThanOrEqual(9 * 15);
    // Each whole one to its end, nothing but brief ones between its datagrams.
    expect(written.filter((name) => name !== "b0").join(" ")).toContain(
      block("h", 10)
        .map((_, n) => `h${n}`)
        .join(" "),
    );
    const pauses = beats.slice(1).map((beat, index) => beat - (beats[index] ?? 0));
    expect(Math.max(...pauses)).toBeLessThanOrEqual(2000);
    expect(beats.length).toBeGreaterThan(100);
    expect(at).toBeGreaterThan(850);
  });

  test("on a fast path leaves out no heartbeat", () => {
    const { queue, written } = makeQueue();
    for (let nowMs = 0; nowMs < 10_000; nowMs += 100) {
      queue.addHeartbeat(block("h", 2), nowMs);
      queue.pump(nowMs);
    }
    expect(written).toHaveLength(200);
  });
});
