import { expect, test } from "bun:test";
import { PoisonWatch } from "../../../../shared/mqtt/poison-watch.ts";
import { seededRandom } from "./fake-socket.ts";

const QUIET_MS = 1000;

/** A broker and its sessions in time: what the tap would do, in a loop. */
class World {
  readonly watch = new PoisonWatch<string>(QUIET_MS);
  nowMs = 0;
  readonly poisoned: string[] = [];
  /** Sessions in which all may be sent, and those that tested one message. */
  plain = 0;
  tests = 0;

  constructor(readonly waiting: string[]) {}

  /**
   * One session: it lives `lifeMs` by itself; `kills` ends it `killMs` after this message was sent; else it is
   * acknowledged after `ackMs`.
   */
  session(lifeMs: number, kills: (message: string) => boolean = () => false, killMs = 5, ackMs = 1): void {
    let left = lifeMs;
    const quietMs = this.watch.noteOpen();
    if (quietMs === 0) this.plain++;
    else {
      this.tests++;
      if (left <= quietMs) {
        this.#end(undefined, left);
        return;
      }
      this.nowMs += quietMs;
      left -= quietMs;
      this.watch.endQuiet();
      expect(this.watch.phase).toBe("alone");
    }
    while (this.waiting.length > 0) {
      const first = this.waiting[0] as string;
      if (this.watch.phase === "alone") this.watch.noteSent(this.nowMs);
      const isKill = kills(first);
      const spent = isKill ? killMs : ackMs;
      if (left <= spent || isKill) {
        this.#end(first, Math.min(left, spent));
        return;
      }
      left -= spent;
      this.nowMs += spent;
      this.waiting.shift();
      this.watch.noteProgress();
    }
    this.#end(undefined, left);
  }

  #end(first: string | undefined, afterMs: number): void {
    this.nowMs += afterMs;
    if (this.watch.noteEnd(first, this.nowMs)) this.poisoned.push(this.waiting.shift() as string);
    this.nowMs += 200;
  }
}

test("PoisonWatch finds the one message that ends each session, after five, and lets the rest go", () => {
  const world = new World(["a", "bad", "c"]);
  for (let count = 0; count < 5; count++) {
    expect(world.poisoned).toEqual([]);
    world.session(60_000, (message) => message === "bad");
  }
  expect(world.poisoned).toEqual(["bad"]);
  expect([world.plain, world.tests]).toEqual([2, 3]);
  world.session(60_000);
  expect(world.waiting).toEqual([]);
});

test("PoisonWatch costs nothing when a broker is restarted once, and little when twice", () => {
  const world = new World(["a", "b"]);
  world.session(0.5);
  world.session(60_000);
  expect([world.plain, world.tests, world.waiting.length]).toEqual([2, 0, 0]);
  const twice = new World(["a", "b"]);
  twice.session(0.5);
  twice.session(0.5);
  expect(twice.watch.isTesting).toBe(true);
  twice.session(60_000);
  expect([twice.waiting.length, twice.poisoned.length]).toEqual([0, 0]);
});

test("PoisonWatch blames no message for a broker that ends sessions whatever is sent, after any fixed time", () => {
  for (let lifeMs = 1; lifeMs < 5000; lifeMs += 7) {
    const world = new World(["a", "b", "c"]);
    // It never acknowledges in time: the acknowledgement takes longer than the broker lives.
    for (let count = 0; count < 60; count++) world.session(lifeMs, () => false, 5, 100_000);
    expect([lifeMs, world.poisoned]).toEqual([lifeMs, []]);
  }
});

test("PoisonWatch blames no message for a broker that flaps at random and answers when it lives", () => {
  const random = seededRandom(7);
  for (const meanMs of [1, 10, 100, 1000, 10_000]) {
    const world = new World(Array.from({ length: 2000 }, (_, index) => `m${index}`));
    for (let count = 0; count < 20_000 && world.waiting.length > 0; count++)
      world.session(-Math.log(1 - random()) * meanMs, () => false, 5, 2);
    expect([meanMs, world.poisoned]).toEqual([meanMs, []]);
  }
});

test("PoisonWatch needs the same message three times in a row: an acknowledgement in between starts anew", () => {
  const world = new World(["bad", "c"]);
  const isBad = (message: string) => message === "bad";
  for (let count = 0; count < 4; count++) world.session(60_000, isBad);
  expect(world.watch.isTesting).toBe(true);
  world.watch.noteOpen();
  world.watch.noteProgress();
  for (let count = 0; count < 4; count++) world.session(60_000, isBad);
  expect(world.poisoned).toEqual([]);
});

test("PoisonWatch acquits a message that the session outlives, and one that ends it late", () => {
  const late = new World(["slow"]);
  for (let count = 0; count < 50; count++) late.session(600_000, () => true, 5000);
  expect(late.poisoned).toEqual([]);
  const watch = new PoisonWatch<string>(QUIET_MS);
  watch.noteEnd("a", 0);
  watch.noteEnd("a", 1);
  watch.noteOpen();
  watch.endQuiet();
  expect(watch.noteSent(2)).toBe(QUIET_MS / 2);
  watch.endAlone();
  expect([watch.phase, watch.isTesting]).toEqual(["open", false]);
});

test("PoisonWatch puts no more than ten aside when the broker takes nothing at all, and goes on when it takes one", () => {
  const world = new World(Array.from({ length: 30 }, (_, index) => `m${index}`));
  for (let count = 0; count < 500; count++) world.session(60_000, () => true);
  expect(world.poisoned).toHaveLength(10);
  world.session(60_000, (message) => message !== "m10");
  for (let count = 0; count < 500; count++) world.session(60_000, (message) => message === "m11");
  expect(world.poisoned.at(-1)).toBe("m11");
  expect(world.waiting).toEqual([]);
});
