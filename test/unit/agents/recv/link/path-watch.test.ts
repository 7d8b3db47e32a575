import { describe, expect, test } from "bun:test";
import { PathWatch } from "../../../../../agents/recv/link/path-watch.ts";
import { splitContent } from "../../../../../shared/framing/block.ts";
import { KIND_MESSAGES } from "../../../../../shared/framing/header.ts";
import { EPOCH, HEARTBEAT, makeEncoder } from "../../../shared/framing/samples.ts";

const encoder = makeEncoder();
const [content] = splitContent(0, 1, Buffer.from("x"), 1000);
if (content === undefined) throw new Error("there must be a block");
const [DATA = Buffer.alloc(0)] = encoder.encode(KIND_MESSAGES, 0, content);

/** A sender with two paths, as the receiver sees it. */
class Scene {
  readonly watch: PathWatch;
  readonly sent = [0, 0];
  nowMs = 0;

  constructor(silentAfterMs = 1000) {
    const paths = ["a", "b"].map((name) => ({ name, silentAfterMs }));
    this.watch = new PathWatch(paths, 0);
  }

  /** Puts a datagram on a path; lost unless it arrives. */
  data(path: number, arrives = true): void {
    this.sent[path] = (this.sent[path] ?? 0) + 1;
    if (arrives) this.watch.note(path, DATA, this.nowMs);
  }

  /** Makes a heartbeat; returns what brings it along a path, and what makes it whole. */
  beat(run = encoder, epoch = EPOCH) {
    const sections = ["a", "b"].map((name, index) => ({
      type: "path" as const,
      name,
      state: "none" as const,
      counters: new Map([["datagrams", this.sent[index] ?? 0]]),
    }));
    const datagrams = run.encodeHeartbeat(Buffer.from("h"));
    const block = datagrams[0]?.readUInt32BE(28) ?? 0;
    for (const path of [0, 1]) this.sent[path] = (this.sent[path] ?? 0) + datagrams.length;
    return {
      arrive: (path: number) => {
        for (const datagram of datagrams) this.watch.note(path, datagram, this.nowMs);
      },
      read: () => this.watch.heartbeat(epoch, block, { ...HEARTBEAT, sections }),
    };
  }

  /** A heartbeat that comes by both paths, first by the first. */
  beatBoth(): void {
    const { arrive, read } = this.beat();
    arrive(0);
    read();
    arrive(1);
  }
}

describe("PathWatch", () => {
  test("counts nothing as missing before the second heartbeat, nor on a path without loss", () => {
    const scene = new Scene();
    for (let i = 0; i < 5; i++) scene.data(0);
    expect(scene.watch.missing(0)).toBeUndefined();
    scene.beatBoth();
    for (let round = 0; round < 200; round++) {
      for (let i = 0; i < round % 7; i++) scene.data(round % 2);
      scene.beatBoth();
      expect([scene.watch.missing(0), scene.watch.missing(1)]).toEqual([0, 0]);
    }
  });

  test("counts exactly what a path has lost since the first heartbeat", () => {
    const scene = new Scene();
    scene.data(1, false); // Before: nobody knows of it.
    scene.beatBoth();
    for (let i = 0; i < 10; i++) scene.data(1, i % 3 !== 0);
    for (let i = 0; i < 10; i++) scene.data(0);
    scene.beatBoth();
    expect([scene.watch.missing(0), scene.watch.missing(1)]).toEqual([0, 4]);
    scene.data(1, false);
    scene.beatBoth();
    expect(scene.watch.missing(1)).toBe(5);
  });

  test("does not take the delay of a path for loss", () => {
    const scene = new Scene();
    scene.beatBoth();
    const late: (() => void)[] = [];
    for (let round = 0; round < 20; round++) {
      const { arrive, read } = scene.beat();
      arrive(0);
      read();
      // The second path brings everything ten heartbeats later, in its order.
      late.push(() => arrive(1));
      scene.sent[1] = (scene.sent[1] ?? 0) + 1;
      late.push(() => scene.watch.note(1, DATA, scene.nowMs));
      if (late.length > 20) for (const bring of late.splice(0, 2)) bring();
      expect([scene.watch.missing(0), scene.watch.missing(1)]).toEqual([0, 0]);
    }
  });

  test("begins anew with each run of the sender, even when its first heartbeat tells of it", () => {
    const scene = new Scene();
    scene.beatBoth();
    scene.data(0, false);
    scene.beatBoth();
    expect(scene.watch.missing(0)).toBe(1);
    scene.sent.fill(0);
    const next = makeEncoder({ epoch: EPOCH + 1n });
    for (const [missing, arrives] of [
      [0, true],
      [0, false],
      [1, true],
    ] as const) {
      const { arrive, read } = scene.beat(next, EPOCH + 1n);
      arrive(0);
      read();
      expect(scene.watch.missing(0)).toBe(missing);
      scene.data(0, arrives);
    }
    expect(scene.watch.missing(1)).toBeUndefined();
  });

  test("calls a path silent only while another brings something, and once", () => {
    const scene = new Scene();
    const { watch } = scene;
    watch.note(0, DATA, 100);
    watch.note(1, DATA, 100);
    expect(watch.tick(1000)).toEqual([]);
    watch.note(0, DATA, 1050);
    expect(watch.tick(1099)).toEqual([]);
    expect(watch.tick(1100)).toEqual([{ path: 1, silent: true, silentMs: 1000 }]);
    expect(watch.isSilent(1)).toBe(true);
    expect(watch.tick(1200)).toEqual([]);
    // Both are quiet now: the link is, and the first path is not to blame.
    expect(watch.tick(5000)).toEqual([]);
    watch.note(1, DATA, 6000);
    expect(watch.tick(6000)).toEqual([
      { path: 0, silent: true, silentMs: 4950 },
      { path: 1, silent: false, silentMs: 0 },
    ]);
  });

  test("calls a path silent that has never brought anything", () => {
    const { watch } = new Scene();
    watch.note(0, DATA, 900);
    expect(watch.tick(1000)).toEqual([{ path: 1, silent: true, silentMs: 1000 }]);
    expect(watch.silentMs(1, 1000)).toBeUndefined();
  });

  test("remembers few heartbeats, however many are forged", () => {
    const { watch } = new Scene();
    const forged = Buffer.from(encoder.encodeHeartbeat(Buffer.from("h"))[0] ?? []);
    for (let block = 0; block < 10_000; block++) {
      forged.writeUInt32BE(block, 28);
      watch.note(0, forged, 0);
    }
    expect(watch.missing(0)).toBeUndefined();
  });
});
