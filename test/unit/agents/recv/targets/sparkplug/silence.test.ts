// Tests of silence.ts: when edge nodes are held for dead.
import { expect, test } from "bun:test";
import { Silence } from "../../../../../../agents/recv/targets/sparkplug/silence.ts";

const NEVER = Number.NEGATIVE_INFINITY;

test("Silence begins when the link has been away for long, and ends with it", () => {
  const silence = new Silence(1000);
  expect(silence.tick("waiting", NEVER, 5000)).toBe(false);
  expect(silence.tick("down", NEVER, 5999)).toBe(false);
  expect(silence.tick("down", NEVER, 6000)).toBe(true);
  expect(silence.tick("degraded", NEVER, 6100)).toBe(false);
  expect(silence.tick("down", NEVER, 6200)).toBe(false);
  expect(silence.tick("down", NEVER, 7200)).toBe(true);
  expect(silence.tick("up", NEVER, 7300)).toBe(false);
});

test("Silence waits until a backlog is told, and breaks for one", () => {
  const silence = new Silence(1000);
  silence.tick("down", NEVER, 0);
  expect(silence.tick("down", 900, 1800)).toBe(false);
  expect(silence.tick("down", 900, 1900)).toBe(true);
  expect(silence.tick("down", 2000, 2001)).toBe(false);
  expect(silence.tick("down", 2000, 3000)).toBe(true);
});
