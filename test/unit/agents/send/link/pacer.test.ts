import { describe, expect, test } from "bun:test";
import { Pacer } from "../../../../../agents/send/link/pacer.ts";

const BURST_MS = 4;

/** Sends as fast as the pacer lets it, woken by a timer that is never early and up to `coarseMs` late. */
function run(mbitPerSecond: number, wireBytes: number, seconds: number, coarseMs: number) {
  const pacer = new Pacer(mbitPerSecond, wireBytes, 0);
  const sent: { atMs: number; bytes: number }[] = [];
  let nowMs = 0;
  let wakeups = 0;
  while (nowMs < seconds * 1000) {
    wakeups++;
    let bytes = 0;
    while (pacer.take(wireBytes, nowMs)) bytes += wireBytes;
    if (bytes > 0) sent.push({ atMs: nowMs, bytes });
    const waitMs = pacer.waitMs(wireBytes);
    expect(waitMs).toBeGreaterThan(0);
    // A timer counts whole milliseconds.
    nowMs += coarseMs === 0 ? waitMs : Math.ceil(waitMs / coarseMs) * coarseMs;
  }
  return { sent, wakeups };
}

/** The most bytes in any window of this length. */
function worstWindow(sent: readonly { atMs: number; bytes: number }[], windowMs: number): number {
  let worst = 0;
  let sum = 0;
  let from = 0;
  for (const { atMs, bytes } of sent) {
    sum += bytes;
    while ((sent[from]?.atMs ?? 0) <= atMs - windowMs) sum -= sent[from++]?.bytes ?? 0;
    worst = Math.max(worst, sum);
  }
  return worst;
}

describe("Pacer", () => {
  test.each([
    [0.0096, 228, 600],
    [0.1152, 1408, 120],
    [1, 1466, 60],
    [100, 1466, 5],
    [1000, 1466, 2],
    [10_000, 1466, 0.5],
    [10_000, 8966, 0.5],
  ])(
    "at %d Mbit/s with %d bytes never lets out more than its burst and keeps its rate",
    (mbit, bytes, seconds) => {
      const perMs = (mbit * 1_000_000) / 8 / 1000;
      const burst = bytes + perMs * BURST_MS;
      for (const coarseMs of [0, 1]) {
        const { sent } = run(mbit, bytes, seconds, coarseMs);
        for (const windowMs of [1, 10, 100, 1000])
          expect(worstWindow(sent, windowMs)).toBeLessThanOrEqual(burst + perMs * windowMs + 1);
        const total = sent.reduce((sum, part) => sum + part.bytes, 0) - burst;
        expect(Math.abs(total / (perMs * seconds * 1000) - 1)).toBeLessThan(
          0.01 + (2 * bytes) / (perMs * seconds * 1000),
        );
      }
    },
  );

  test("at 9,600 bit/s lets out one datagram at a time", () => {
    const { sent } = run(0.0096, 228, 60, 1);
    expect(sent.every(({ bytes }) => bytes === 228)).toBe(true);
    const gaps = sent.slice(1).map(({ atMs }, index) => atMs - (sent[index]?.atMs ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(190 - BURST_MS);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(191);
  });

  test("at 10 Gbit/s is content with a timer of 1 ms", () => {
    const { sent, wakeups } = run(10_000, 1466, 0.5, 1);
    expect(wakeups).toBeLessThanOrEqual(501);
    const bursts = sent.slice(1).map(({ bytes }) => bytes);
    expect(Math.max(...bursts)).toBeLessThanOrEqual(1_250_000 + 1466);
  });

  test("does not save up while nothing leaves, nor when the clock stands still", () => {
    const pacer = new Pacer(8, 1000, 0); // 1,000 bytes a millisecond
    let bytes = 0;
    while (pacer.take(1000, 10_000)) bytes += 1000;
    expect(bytes).toBe(1000 * (BURST_MS + 1));
    expect(pacer.take(1000, 10_000)).toBe(false);
    expect(pacer.take(1000, 9000)).toBe(false);
    expect(pacer.waitMs(1000)).toBe(1);
  });

  test("makes up for wake-ups that come late, no more than a quarter faster", () => {
    for (const [mbit, bytes] of [
      [10, 1466],
      [100, 1466],
      [1000, 8966],
    ] as const) {
      const perMs = (mbit * 1_000_000) / 8 / 1000;
      const burst = bytes + perMs * BURST_MS;
      const pacer = new Pacer(mbit, bytes, 0);
      const sent: { atMs: number; bytes: number }[] = [];
      let nowMs = 0;
      for (let wakeup = 1; nowMs < 10_000; wakeup++) {
        let sum = 0;
        while (pacer.take(bytes, nowMs)) sum += bytes;
        if (sum > 0) sent.push({ atMs: nowMs, bytes: sum });
        // Now and then the host does something else for a while.
        nowMs += Math.ceil(pacer.waitMs(bytes)) + (wakeup % 60 === 0 ? 12 : 0);
      }
      const total = sent.reduce((sum, part) => sum + part.bytes, 0);
      expect(total / (perMs * nowMs)).toBeGreaterThan(0.995);
      expect(total).toBeLessThanOrEqual(perMs * nowMs + burst);
      for (const windowMs of [1, 10, 100])
        expect(worstWindow(sent, windowMs)).toBeLessThanOrEqual(burst + 1.25 * perMs * windowMs + 1);
    }
  });

  test("makes up for no more than a tenth of a second, and for nothing when nothing waited", () => {
    const perMs = 1000;
    for (const [idleMs, waits, most] of [
      [10_000, true, 100],
      [10_000, false, 0],
    ] as const) {
      const pacer = new Pacer(8, 1000, 0);
      while (pacer.take(1000, 0));
      // A failed take() means that something waits; a last one that went well, that nothing does.
      if (!waits) expect(pacer.take(1000, 1)).toBe(true);
      let total = 0;
      for (let nowMs = idleMs; nowMs < idleMs + 1000; nowMs++) while (pacer.take(1000, nowMs)) total += 1000;
      expect(total).toBeLessThanOrEqual(perMs * (1000 + BURST_MS + 1 + most));
      expect(total).toBeGreaterThanOrEqual(perMs * (1000 + most));
    }
  });

  test("puts back what did not leave", () => {
    const pacer = new Pacer(8, 4000, 0);
    expect(pacer.take(8000, 0)).toBe(true);
    expect(pacer.take(4000, 0)).toBe(false);
    pacer.giveBack(4000);
    expect(pacer.take(4000, 0)).toBe(true);
    expect(pacer.timeMs(4000)).toBe(4);
  });
});
