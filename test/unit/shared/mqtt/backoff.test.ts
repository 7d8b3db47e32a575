import { expect, test } from "bun:test";
import { Backoff } from "../../../../shared/mqtt/backoff.ts";
import { seededRandom } from "./fake-socket.ts";

test("Backoff.next() grows to the maximum, stays within the bounds and starts again after reset()", () => {
  const highest = new Backoff(500, 30_000, () => 1 - Number.EPSILON);
  expect(Array.from({ length: 6 }, () => highest.next())).toEqual([
    1500, 4500, 13_500, 30_000, 30_000, 30_000,
  ]);
  highest.reset();
  expect(highest.next()).toBe(1500);
  const lowest = new Backoff(500, 30_000, () => 0);
  expect(Array.from({ length: 3 }, () => lowest.next())).toEqual([500, 500, 500]);
  const random = new Backoff(500, 30_000, seededRandom(1));
  for (let i = 0; i < 1000; i++) {
    const waitMs = random.next();
    expect(Number.isInteger(waitMs) && waitMs >= 500 && waitMs <= 30_000).toBe(true);
  }
});

test("Backoff spreads agents that fail together", () => {
  const waits = Array.from({ length: 100 }, (_, seed) => {
    const backoff = new Backoff(500, 30_000, seededRandom(seed));
    for (let i = 0; i < 9; i++) backoff.next();
    return backoff.next();
  });
  expect(new Set(waits).size).toBeGreaterThan(90);
});

test("Backoff with a maximum below the minimum keeps the minimum", () => {
  expect(new Backoff(500, 100, () => 0.9).next()).toBe(500);
});
