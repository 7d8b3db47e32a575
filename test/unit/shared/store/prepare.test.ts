// Contents that are on the disk before their rows are: they are used where they lie, stay while they are awaited, and nothing else
// is written over them or mistaken for them.
import { afterAll, describe, expect, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { BlockLog, Place, Preparation } from "../../../../shared/store/block-log.ts";
import { openBlockLog } from "../../../../shared/store/open.ts";
import { waitFor } from "../../../support/wait.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("prepare");
afterAll(() => workspace.remove());
let directories = 0;

const MEGABYTE = 1024 * 1024;
const make = (id: number, bytes = 100_000) => Buffer.alloc(bytes, `content of row ${id}, `);

function open(durability: "fsync" | "os" | "memory" = "fsync") {
  const directory = workspace.path(`log-${directories++}`);
  return { directory, log: openBlockLog(directory, "x.db", durability) };
}

function append(log: BlockLog, id: number, content: Uint8Array, place?: Place): void {
  const row = { stream: 0, first: id, count: 1, skip: 0, timeMs: id, clockDifferenceMs: 0, content };
  log.append({ ...row, place });
}

async function prepare(log: BlockLog, contents: readonly Uint8Array[]): Promise<Preparation> {
  let outcome: unknown = "nothing yet";
  const way = log.prepare?.(contents, (error) => {
    outcome = error;
  });
  if (way === undefined) throw new Error("nothing was prepared");
  expect(way.isDone).toBe(false);
  await waitFor("the disk", 5000, () => way.isDone);
  expect(outcome).toBeUndefined();
  return way;
}

const segmentsIn = (directory: string) =>
  readdirSync(directory).filter((name) => name.startsWith("x.db.segment-"));
const bytesIn = (directory: string) =>
  segmentsIn(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
const read = (log: BlockLog) =>
  log.read(0, 64).map(({ content, intact }) => [Buffer.from(content), intact] as const);

describe("prepare()", () => {
  test("puts contents where their rows then find them, once", async () => {
    const { directory, log } = open();
    const contents = [make(1), Buffer.from("small"), make(3)];
    const { places } = await prepare(log, contents);
    expect(places.map((place) => place?.at)).toEqual([0, undefined, 100_000]);
    expect(read(log)).toEqual([]);
    log.write(() => {
      for (const [index, content] of contents.entries()) append(log, index, content, places[index]);
    });
    expect(read(log)).toEqual(contents.map((content) => [content, true]));
    expect(bytesIn(directory)).toBe(200_000);
    log.close();
  });

  test("keeps nobody waiting when nothing is large, or when nothing is synced", () => {
    for (const durability of ["fsync", "os", "memory"] as const) {
      const { log } = open(durability);
      const large = durability === "fsync" ? [] : [make(1)];
      expect(log.prepare?.([Buffer.from("small"), ...large], () => {})).toBeUndefined();
      log.close();
    }
  });

  test("fills more than one file, and closes none that the disk is still at work on", async () => {
    const { directory, log } = open();
    for (let round = 0; round < 5; round++) {
      const contents = [1, 2, 3, 4].map((each) => make(round * 4 + each, 5 * MEGABYTE));
      const { places } = await prepare(log, contents);
      log.write(() => {
        for (const [index, content] of contents.entries())
          append(log, round * 4 + index, content, places[index]);
      });
    }
    expect(log.read(0, 64).map(({ intact }) => intact)).toEqual(Array(20).fill(true));
    expect(segmentsIn(directory)).toHaveLength(10);
    log.close();
  });

  test("leaves files alone until the rows are there, however often it is looked for idle ones", async () => {
    const { directory, log } = open();
    const { places } = await prepare(log, [make(1, 9 * MEGABYTE)]);
    // Another file is begun.
    log.write(() => append(log, 1, make(2)));
    for (let look = 0; look < 4; look++) log.rest?.();
    log.write(() => append(log, 2, make(1, 9 * MEGABYTE), places[0]));
    expect(log.read(0, 64).map(({ intact }) => intact)).toEqual([true, true]);
    log.write(() => log.deleteTo(2));
    log.write(() => append(log, 3, make(3, 9 * MEGABYTE)));
    log.write(() => append(log, 4, make(4)));
    log.write(() => log.deleteTo(4));
    for (let look = 0; look < 4; look++) log.rest?.();
    expect(segmentsIn(directory)).toHaveLength(1);
    log.close();
  });

  test("outlasts a transaction that fails: its rows may be tried again", async () => {
    const { directory, log } = open();
    const contents = [make(1), make(2)];
    const { places } = await prepare(log, contents);
    const write = (isFailing: boolean) =>
      log.write(() => {
        for (const [index, content] of contents.entries()) append(log, index, content, places[index]);
        append(log, 2, make(3));
        if (isFailing) throw new Error("no space");
      });
    expect(() => write(true)).toThrow("no space");
    write(false);
    expect(read(log)).toEqual([make(1), make(2), make(3)].map((content) => [content, true]));
    expect(bytesIn(directory)).toBe(300_000);
    log.close();
  });

  test("can be waited for at once; then nobody is called", () => {
    const { log } = open();
    let called = 0;
    const way = log.prepare?.([make(1)], () => called++);
    way?.finish();
    expect(way?.isDone).toBe(true);
    log.write(() => append(log, 1, make(1), way?.places[0]));
    expect(read(log)).toEqual([[make(1), true]]);
    log.close();
    return Bun.sleep(50).then(() => expect(called).toBe(0));
  });

  test("gives nothing to a row that names a place where nothing was prepared", () => {
    const { log } = open();
    log.write(() => append(log, 1, make(1)));
    log.write(() => append(log, 2, make(2), { segment: 1, at: 0, bytes: 100_000 }));
    expect(read(log)).toEqual([make(1), make(2)].map((content) => [content, true]));
    log.close();
  });
});
