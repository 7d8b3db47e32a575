import { expect, test } from "bun:test";
import { Pace } from "../../../../../agents/recv/targets/pace.ts";

function count(perSecond: number, seconds: number, stepMs: number): number {
  const pace = new Pace(perSecond);
  let taken = 0;
  for (let at = 0; at <= seconds * 1000; at += stepMs) {
    pace.tick(at);
    for (; pace.isOpen && taken < 1e6; taken++) pace.take();
  }
  return taken;
}

test("Pace lets through what its rate says, in ticks of any length, with a tenth of a second at once", () => {
  expect(count(100, 10, 20)).toBeWithin(1000, 1011);
  expect(count(1000, 10, 20)).toBeWithin(10_000, 10_101);
  expect(count(1, 10, 20)).toBeWithin(10, 12);
  // Ticks that are late: what was missed beyond the burst is not made up for.
  expect(count(100, 10, 1000)).toBeWithin(100, 111);
});

test("Pace of 0 is no limit", () => {
  expect(count(0, 0.1, 20)).toBe(1e6);
});
