import { expect, test } from "bun:test";
import { createAnchoredClock, holdForTurn } from "../../../shared/anchored-clock.ts";

test("createAnchoredClock() runs with the steady clock, and tells each step of the wall clock once", () => {
  let wallMs = 1_000_000;
  let steadyMs = 50;
  const steps: number[] = [];
  const clock = createAnchoredClock(
    () => wallMs,
    () => steadyMs,
    (deviationMs) => steps.push(deviationMs),
  );
  const pass = (ms: number) => {
    wallMs += ms;
    steadyMs += ms;
    return clock();
  };
  expect(clock()).toBe(1_000_000);
  expect(pass(500)).toBe(1_000_500);
  wallMs += 18_000_000;
  expect(pass(500)).toBe(1_001_000);
  expect(pass(500)).toBe(1_001_500);
  wallMs -= 36_000_000;
  expect(pass(500)).toBe(1_002_000);
  wallMs += 18_000_000;
  expect(pass(500)).toBe(1_002_500);
  // A time service that slews is no step.
  wallMs += 900;
  expect(pass(500)).toBe(1_003_000);
  expect(steps).toEqual([18_000_000, -18_000_000, 0]);
});

test("holdForTurn() gives one time in a turn, and the next one in the next", async () => {
  let nowMs = 5;
  const clock = holdForTurn(() => nowMs++);
  expect([clock(), clock(), clock()]).toEqual([5, 5, 5]);
  await Promise.resolve();
  expect([clock(), clock()]).toEqual([6, 6]);
});
