// Large contents beside the database: they come back as they were, go with their rows, and what a disk does to them is told
// for each row.
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, spyOn, test } from "bun:test";
import * as fs from "node:fs";
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BlockLog } from "../../../../shared/store/block-log.ts";
import { sumRow } from "../../../../shared/store/checksum.ts";
import { openBlockLog, openBlockLogReadOnly } from "../../../../shared/store/open.ts";
import { salvage } from "../../../../shared/store/salvage.ts";
import { Segments } from "../../../../shared/store/segments.ts";
import { Workspace } from "../../../support/workspace.ts";
import { alterFile } from "./sample-log.ts";

const workspace = new Workspace("segments");
afterAll(() => workspace.remove());
let directories = 0;
const freshDirectory = () => workspace.path(`log-${directories++}`);

const MEGABYTE = 1024 * 1024;
const makeLarge = (id: number, bytes = 100_000) => Buffer.alloc(bytes, `content of row ${id}, `);

function append(log: BlockLog, id: number, content: Uint8Array): void {
  log.append({ stream: 0, first: id, count: 1, skip: 0, timeMs: id, clockDifferenceMs: 0, content });
}

function fill(log: BlockLog, from: number, to: number, bytes?: number): void {
  for (let id = from; id <= to; id++) log.write(() => append(log, id, makeLarge(id, bytes)));
}

/** Where the rows behind `id` lie in their segments, and their bytes. */
function placesIn(directory: string, id: number): unknown[] {
  const db = new Database(join(directory, "x.db"));
  try {
    return db.query("SELECT at, bytes FROM block WHERE id > ? ORDER BY id").values(id);
  } finally {
    db.close();
  }
}

const segmentsIn = (directory: string) =>
  readdirSync(directory)
    .filter((name) => name.startsWith("x.db.segment-"))
    .sort();

describe.each(["fsync", "os"] as const)("a log with durability %s", (durability) => {
  test("gives large and small contents back, after a restart and to one who only looks", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", durability);
    fill(log, 1, 5);
    log.write(() => append(log, 6, Buffer.from("small")));
    const looked = openBlockLogReadOnly(directory, "x.db");
    const contents = [1, 2, 3, 4, 5].map((id) => makeLarge(id));
    const wanted = [...contents, Buffer.from("small")].map((content) => ({ content, intact: true }));
    const read = (from: BlockLog) =>
      from.read(0, 64).map(({ content, intact }) => ({ content: Buffer.from(content), intact }));
    expect(read(log)).toEqual(wanted);
    expect(read(looked)).toEqual(wanted);
    looked.close();
    log.close();
    expect(statSync(join(directory, "x.db")).size).toBeLessThan(100_000);
    const again = openBlockLog(directory, "x.db", durability);
    expect(read(again)).toEqual(wanted);
    expect(again.bytes).toBe(500_005);
    again.close();
  });

  test("keeps nothing of a transaction that fails, and gives its space back", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", durability);
    fill(log, 1, 1);
    const fail = () =>
      log.write(() => {
        append(log, 2, makeLarge(99));
        throw new Error("no space");
      });
    expect(fail).toThrow("no space");
    expect(statSync(join(directory, segmentsIn(directory)[0] ?? "")).size).toBe(100_000);
    fill(log, 2, 2);
    expect(log.read(0, 9).map(({ id, intact }) => [id, intact])).toEqual([
      [1, true],
      [2, true],
    ]);
    expect(Buffer.from(log.read(1, 1)[0]?.content ?? []).equals(makeLarge(2))).toBe(true);
    expect(log.bytes).toBe(200_000);
    log.close();
  });

  test("deletes a segment when its last row is gone, not before, and not at once", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", durability);
    fill(log, 1, 40, MEGABYTE);
    expect(segmentsIn(directory)).toHaveLength(5);
    log.write(() => log.deleteTo(15));
    // The second time it is put aside, as others were begun before; when none were, it goes.
    for (let round = 0; round < 2; round++) {
      log.rest?.();
      expect(segmentsIn(directory)).toHaveLength(5);
    }
    log.rest?.();
    expect(segmentsIn(directory)).toHaveLength(4);
    log.write(() => log.deleteBetween(17, 40));
    for (let round = 0; round < 3; round++) log.rest?.();
    // The one with row 16, and the one that is written to.
    expect(segmentsIn(directory)).toHaveLength(2);
    expect(log.read(0, 9).map(({ id, intact }) => [id, intact])).toEqual([[16, true]]);
    expect(log.bytes).toBe(MEGABYTE);
    log.write(() => log.deleteTo(16));
    log.close();
    const again = openBlockLog(directory, "x.db", durability);
    for (let round = 0; round < 3; round++) again.rest?.();
    expect(segmentsIn(directory)).toEqual([]);
    again.close();
  });
});

describe.each(["fsync", "os"] as const)(
  "a log with durability %s that has used its segments up",
  (durability) => {
    /** Four files, of which the first three are used again by what is written next. */
    function makeUsed(directory: string): BlockLog {
      const log = openBlockLog(directory, "x.db", durability);
      fill(log, 1, 32, MEGABYTE);
      log.write(() => log.deleteTo(24));
      for (let round = 0; round < 2; round++) log.rest?.();
      expect(segmentsIn(directory)).toHaveLength(4);
      return log;
    }

    test("writes to them again, and gives back what it wrote, after a restart, too", () => {
      const directory = freshDirectory();
      const log = makeUsed(directory);
      const before = statSync(join(directory, "x.db.segment-3")).ino;
      for (let id = 33; id <= 250; id++) log.write(() => append(log, id, makeLarge(id, 100_000 + id)));
      expect(segmentsIn(directory)).toHaveLength(4);
      expect(statSync(join(directory, "x.db.segment-3")).ino).toBe(before);
      const check = (from: BlockLog) => {
        for (const { id, intact, content } of from.read(32, 300)) {
          expect(intact).toBe(true);
          expect(makeLarge(id, 100_000 + id).equals(content)).toBe(true);
        }
        expect(from.read(249, 9).map(({ id }) => id)).toEqual([250]);
      };
      check(log);
      log.close();
      const again = openBlockLog(directory, "x.db", durability);
      check(again);
      again.close();
    });

    test("keeps nothing of a transaction that fails in one", () => {
      const directory = freshDirectory();
      const log = makeUsed(directory);
      fill(log, 33, 33);
      const fail = () =>
        log.write(() => {
          append(log, 34, makeLarge(99));
          throw new Error("no space");
        });
      expect(fail).toThrow("no space");
      fill(log, 34, 35);
      for (const { id, content } of log.read(32, 9)) expect(makeLarge(id).equals(content)).toBe(true);
      expect(log.read(32, 9).map(({ intact }) => intact)).toEqual([true, true, true]);
      log.close();
      expect(placesIn(directory, 32)).toEqual([
        [0, 100_000],
        [102_400, 100_000],
        [204_800, 100_000],
      ]);
    });

    test("writes to none of them before the second look, and to none that has rows", () => {
      const directory = freshDirectory();
      const log = openBlockLog(directory, "x.db", durability);
      log.write(() => {
        for (let id = 1; id <= 20; id++) append(log, id, makeLarge(id, MEGABYTE));
      });
      fill(log, 21, 40, MEGABYTE);
      log.write(() => log.deleteBetween(25, 32));
      log.rest?.();
      fill(log, 41, 48, MEGABYTE);
      expect(segmentsIn(directory)).toHaveLength(6);
      for (let round = 0; round < 2; round++) log.rest?.();
      fill(log, 49, 60, MEGABYTE);
      expect(segmentsIn(directory)).toHaveLength(7);
      for (const { id, content } of log.read(0, 99))
        expect(makeLarge(id, MEGABYTE).equals(content)).toBe(true);
      expect(log.read(0, 99).filter(({ intact }) => intact)).toHaveLength(52);
      log.close();
    });

    test("begins another where one that was put aside is gone", () => {
      const directory = freshDirectory();
      const log = makeUsed(directory);
      rmSync(join(directory, "x.db.segment-3"));
      fill(log, 33, 50, MEGABYTE);
      expect(log.read(32, 64).map(({ intact }) => intact)).toEqual(new Array(18).fill(true));
      log.close();
    });

    test("keeps no more of them than it begins, and none that is much larger", () => {
      const directory = freshDirectory();
      const log = openBlockLog(directory, "x.db", durability);
      fill(log, 1, 1, 20 * MEGABYTE);
      fill(log, 2, 33, MEGABYTE);
      log.write(() => log.deleteTo(33));
      for (let round = 0; round < 2; round++) log.rest?.();
      // The one that is written to, and four that were begun; not the large one.
      expect(segmentsIn(directory)).not.toContain("x.db.segment-1");
      const sizes = segmentsIn(directory).map((name) => statSync(join(directory, name)).size);
      expect(Math.max(...sizes)).toBe(8 * MEGABYTE);
      for (let round = 0; round < 2; round++) log.rest?.();
      expect(segmentsIn(directory).length).toBeLessThanOrEqual(1);
      log.close();
    });

    test("fills the last page of each content, so that no part of a page is to be read", () => {
      const directory = freshDirectory();
      const log = makeUsed(directory);
      fill(log, 33, 34);
      log.close();
      const db = new Database(join(directory, "x.db"));
      const places = db.query("SELECT at, bytes FROM block WHERE id > 32").values();
      db.close();
      expect(places).toEqual([
        [0, 100_000],
        [102_400, 100_000],
      ]);
    });
  },
);

describe("a log whose segments were damaged", () => {
  test.each([
    ["a flipped byte costs its row", (file: string) => alterFile(file, (_, write) => write(250_000, 1)), [3]],
    [
      "a file that is cut short costs the rows behind",
      (file: string) => Bun.spawnSync(["truncate", "-s", "250000", file]),
      [3, 4, 5],
    ],
    ["a file that is gone costs its rows", (file: string) => rmSync(file), [1, 2, 3, 4, 5]],
    [
      "something else in its place costs its rows",
      (file: string) => {
        rmSync(file);
        mkdirSync(file);
      },
      [1, 2, 3, 4, 5],
    ],
  ])("%s and no other", (_, damage, lost) => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", "os");
    fill(log, 1, 5);
    log.write(() => append(log, 6, Buffer.from("small")));
    log.close();
    damage(join(directory, "x.db.segment-1"));
    const again = openBlockLog(directory, "x.db", "os");
    const rows = again.read(0, 64);
    expect(rows.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(rows.filter(({ intact }) => !intact).map(({ id }) => id)).toEqual(lost as number[]);
    fill(again, 7, 7);
    expect(again.read(6, 1)[0]?.intact).toBe(true);
    again.close();
  });

  test("a figure of a place that was altered is told, not followed", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", "os");
    fill(log, 1, 2);
    log.close();
    const db = new Database(join(directory, "x.db"));
    db.run("UPDATE block SET at = 5 WHERE id = 1");
    db.close();
    const repairs: string[] = [];
    const again = openBlockLog(directory, "x.db", "os", { onRepair: ({ reason }) => repairs.push(reason) });
    expect(repairs).toEqual(["the figures of row 1 are altered"]);
    expect(again.read(0, 9).map(({ id, intact }) => [id, intact])).toEqual([[2, true]]);
    again.close();
  });
});

test("openBlockLog() brings format 2 up to date, with what is in it", () => {
  const directory = freshDirectory();
  const log = openBlockLog(directory, "x.db", "memory");
  log.close();
  openBlockLog(directory, "x.db", "os", { owner: "plant-7" }).close();
  const db = new Database(join(directory, "x.db"));
  for (const index of ["block_sequence", "block_segment"]) db.run(`DROP INDEX ${index}`);
  db.run("CREATE INDEX block_sequence ON block (stream, first)");
  for (const column of ["segment", "at", "bytes"]) db.run(`ALTER TABLE block DROP COLUMN ${column}`);
  db.run("PRAGMA user_version = 2");
  db.close();
  expect(() => openBlockLog(directory, "x.db", "os", { owner: "plant-8" })).toThrow(
    'belongs to link "plant-7"',
  );
  const again = openBlockLog(directory, "x.db", "os", { owner: "plant-7" });
  expect(again.repairs).toEqual([]);
  fill(again, 1, 2);
  expect(again.read(0, 9).map(({ intact }) => intact)).toEqual([true, true]);
  again.close();
});

test.each(["fsync", "os"] as const)(
  "writeDurably() with durability %s syncs every segment that it fills",
  (durability) => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", durability);
    const sync = spyOn(fs, "fdatasyncSync");
    try {
      log.writeDurably(() => {
        for (let id = 1; id <= 10; id++) append(log, id, makeLarge(id, MEGABYTE));
      });
      expect(segmentsIn(directory)).toHaveLength(2);
      expect(sync).toHaveBeenCalledTimes(2);
    } finally {
      sync.mockRestore();
      log.close();
    }
  },
);

test("Segments.append() never writes where a file is already", () => {
  const directory = freshDirectory();
  mkdirSync(directory);
  const first = new Segments(join(directory, "x.db"), new Map());
  first.append(makeLarge(1));
  first.close();
  const second = new Segments(join(directory, "x.db"), new Map());
  expect(second.append(makeLarge(2)).segment).toBe(2);
  second.close();
});

describe("a log whose disk is in trouble", () => {
  test("gives back the space of all files that a failed transaction has filled", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", "os");
    for (let round = 0; round < 3; round++) {
      const fail = () =>
        log.write(() => {
          append(log, 1, makeLarge(1, 8 * MEGABYTE));
          append(log, 2, makeLarge(2));
          throw new Error("no space");
        });
      expect(fail).toThrow("no space");
    }
    for (let round = 0; round < 3; round++) log.rest?.();
    // The one that is written to.
    expect(segmentsIn(directory)).toHaveLength(1);
    fill(log, 1, 3);
    expect(log.read(0, 9).map(({ intact }) => intact)).toEqual([true, true, true]);
    log.close();
  });

  test("deletes the other files when one cannot be deleted", () => {
    const directory = freshDirectory();
    openBlockLog(directory, "x.db", "os").close();
    mkdirSync(join(directory, "x.db.segment-1"));
    for (const name of ["2", "007", "99999999999999999999"])
      writeFileSync(join(directory, `x.db.segment-${name}`), "left over");
    const log = openBlockLog(directory, "x.db", "os");
    for (let round = 0; round < 3; round++) log.rest?.();
    expect(segmentsIn(directory)).not.toContain("x.db.segment-2");
    fill(log, 1, 2, 9 * MEGABYTE);
    expect(segmentsIn(directory)).toContain("x.db.segment-4");
    log.close();
  });

  test("takes no content for lost while the process has too many files open", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", "os");
    fill(log, 1, 1);
    const script = `
      const { openSync, closeSync } = require("node:fs");
      const { openBlockLogReadOnly } = await import(${JSON.stringify(join(import.meta.dir, "../../../../shared/store/open.ts"))});
      const log = openBlockLogReadOnly(${JSON.stringify(directory)}, "x.db");
      const fds = [];
      try { for (;;) fds.push(openSync("/dev/null", "r")); } catch {}
      let first;
      try { first = "intact " + log.read(0, 9)[0].intact; } catch (error) { first = error.message; }
      for (const fd of fds) closeSync(fd);
      console.log(JSON.stringify([first, log.read(0, 9)[0].intact]));`;
    const child = Bun.spawnSync(["sh", "-c", 'ulimit -n 256; exec "$0" -e "$1"', process.execPath, script]);
    expect(child.stderr.toString()).toBe("");
    expect(JSON.parse(child.stdout.toString())).toEqual(["too many files and connections are open", true]);
    log.close();
  });

  test("a salvage prefers the version of a row whose content is there", () => {
    const directory = freshDirectory();
    const file = join(directory, "x.db");
    const log = openBlockLog(directory, "x.db", "os");
    fill(log, 1, 1);
    const raw = new Database(file, { strict: true });
    const content = makeLarge(1);
    const facts = { id: 1, stream: 0, first: 1, count: 1, skip: 0, timeMs: 1, clockDifferenceMs: 0, content };
    // As a transaction leaves it that was taken back and tried again.
    raw.run("DELETE FROM block");
    raw.run("PRAGMA wal_checkpoint(TRUNCATE)");
    for (const segment of [77, 1]) {
      const sum = sumRow(facts, { segment, at: 0, bytes: content.length });
      raw
        .query("INSERT OR REPLACE INTO block VALUES (1, 0, 1, 1, 0, 1, 0, ?, x'', ?, 0, ?)")
        .run(sum, segment, content.length);
    }
    const found = salvage(file, "a test", "as-read", { owner: undefined, nowMs: 1, adopt: undefined });
    expect(found).toMatchObject({ rows: 1, rowsWithoutContent: 0 });
    raw.close();
    const again = new Database(file, { readonly: true });
    expect(again.query("SELECT segment FROM block").all()).toEqual([{ segment: 1 }]);
    again.close();
    log.close();
  });
});
