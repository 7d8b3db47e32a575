// Lines that are held back: the same of a kind, and kinds that somebody makes up.
import { expect, test } from "bun:test";
import { LogLimiter } from "../../../shared/log.ts";

const EVERY_MS = 10_000;

test("LogLimiter lets one line of a kind through in its time, and says how many it held back", () => {
  const limiter = new LogLimiter(EVERY_MS);
  expect(limiter.allow("a", 0)).toBe(0);
  expect([limiter.allow("a", 1), limiter.allow("a", 9999), limiter.allow("b", 9999)]).toEqual([
    undefined,
    undefined,
    0,
  ]);
  expect([limiter.allow("a", 10_000), limiter.allow("a", 20_000)]).toEqual([2, 0]);
  expect([...limiter.heldBack(100_000)]).toEqual([]);
});

test("LogLimiter lets so many kinds of a group through, however many there are, and counts the rest once", () => {
  const limiter = new LogLimiter(EVERY_MS, 3);
  let lines = 0;
  let told = 0;
  let heldBack = 0;
  for (let nowMs = 0; nowMs < 60_000; nowMs += 10) {
    if (limiter.allow(`topic/${nowMs}`, nowMs, "refused") !== undefined) lines++;
    for (const [group, held] of limiter.heldBack(nowMs)) {
      expect(group).toBe("refused");
      told++;
      heldBack += held;
    }
  }
  expect(lines).toBe(18);
  expect(told).toBe(5);
  for (const [, held] of limiter.heldBack(70_000)) heldBack += held;
  expect(lines + heldBack).toBe(6000);
  expect([...limiter.heldBack(80_000)]).toEqual([]);
});

test("LogLimiter keeps groups apart, and a known kind in a full group has its line when its time has come", () => {
  const limiter = new LogLimiter(EVERY_MS, 1);
  expect([limiter.allow("a", 0, "x"), limiter.allow("b", 0, "x"), limiter.allow("b", 0, "y")]).toEqual([
    0,
    undefined,
    0,
  ]);
  expect(limiter.allow("a", 5, "x")).toBeUndefined();
  expect(limiter.allow("a", 10_000, "x")).toBe(1);
  expect([...limiter.heldBack(10_000)]).toEqual([["x", 1]]);
});
