// Opening a log: whose it is, which format it has, what stands in the way; and the space that it takes.
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { sumRow, sumValue } from "../../../../shared/store/checksum.ts";
import { openBlockLog, openBlockLogReadOnly } from "../../../../shared/store/open.ts";
import { FORMAT, LogRefusal } from "../../../../shared/store/schema.ts";
import { Workspace } from "../../../support/workspace.ts";
import { appendRows, copyLog, makeContent } from "./sample-log.ts";

const workspace = new Workspace("open");
afterAll(() => workspace.remove());
let count = 0;
const freshDirectory = () => workspace.path(`log-${count++}`);

const bytesOf = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => makeContent(from + at).length).reduce((a, b) => a + b, 0);

function refusal(work: () => unknown): { message: string; isRefusal: boolean } {
  try {
    work();
  } catch (error) {
    return { message: (error as Error).message, isRefusal: error instanceof LogRefusal };
  }
  return { message: "", isRefusal: false };
}

/** As the first version made it: a checksum of the content alone, values without one, ids counted by SQLite. */
function makeFormat1(directory: string): void {
  mkdirSync(directory);
  const db = new Database(join(directory, "x.db"), { create: true, strict: true });
  db.run("PRAGMA auto_vacuum = INCREMENTAL");
  db.run("PRAGMA journal_mode = WAL");
  db.run(`CREATE TABLE block (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    skip INTEGER NOT NULL, time_ms INTEGER NOT NULL, clock_difference_ms INTEGER NOT NULL,
    checksum INTEGER NOT NULL, content BLOB NOT NULL
  ) STRICT`);
  db.run("CREATE INDEX block_sequence ON block (stream, first)");
  db.run("CREATE TABLE value (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID");
  db.run("PRAGMA user_version = 1");
  for (let id = 1; id <= 20; id++) {
    const content = makeContent(id);
    const checksum = id === 13 ? 1 : crc32(content);
    db.query("INSERT INTO block VALUES (?, 0, ?, 10, 0, 5, 0, ?, ?)").run(id, id * 10, checksum, content);
  }
  db.query("INSERT INTO value VALUES ('next', '210')").run();
  db.run("DELETE FROM block WHERE id = 20");
  db.close();
}

/** As a later one left it, cleanly closed: with checksums, and all contents in the database. */
function makeFormat2(directory: string, owner: string): void {
  makeFormat1(directory);
  const db = new Database(join(directory, "x.db"), { strict: true });
  db.run("DROP TABLE value");
  db.run(
    "CREATE TABLE value (name TEXT PRIMARY KEY, value TEXT NOT NULL, change INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT, WITHOUT ROWID",
  );
  const insert = db.query("INSERT INTO value VALUES (?, ?, 7, ?)");
  for (const [name, value] of [
    ["next", "210"],
    ["owner", owner],
    ["open", "0"],
  ] as const)
    insert.run(name, value, sumValue(name, value, 7));
  const update = db.query("UPDATE block SET checksum = ? WHERE id = ?");
  for (let id = 1; id < 20; id++) {
    const facts = { id, stream: 0, first: id * 10, count: 10, skip: 0, timeMs: 5, clockDifferenceMs: 0 };
    update.run(sumRow({ ...facts, content: makeContent(id) }), id);
  }
  db.run("PRAGMA user_version = 2");
  db.close();
}

/** As the version before this one left it: rows can say where their content lies. */
function makeFormat3(directory: string, owner: string): void {
  makeFormat2(directory, owner);
  const db = new Database(join(directory, "x.db"), { strict: true });
  for (const column of ["segment", "at", "bytes"])
    db.run(`ALTER TABLE block ADD COLUMN ${column} INTEGER NOT NULL DEFAULT 0`);
  db.run("PRAGMA user_version = 3");
  db.close();
}

describe("openBlockLog()", () => {
  test("refuses the log of another link, and leaves it as it is", () => {
    const directory = freshDirectory();
    openBlockLog(directory, "x.db", "os", { owner: "plant-7" }).close();
    const before = readFileSync(join(directory, "x.db"));
    const { message, isRefusal } = refusal(() => openBlockLog(directory, "x.db", "os", { owner: "plant-8" }));
    expect(isRefusal).toBe(true);
    expect(message).toBe(
      `cannot open ${directory}/x.db: it belongs to link "plant-7", must be of link "plant-8": give each link a directory of its own`,
    );
    expect(readFileSync(join(directory, "x.db")).equals(before)).toBe(true);
    openBlockLog(directory, "x.db", "os", { owner: "plant-7" }).close();
  });

  test("refuses a newer format, and a database of something else", () => {
    const directory = freshDirectory();
    openBlockLog(directory, "x.db", "os").close();
    const db = new Database(join(directory, "x.db"));
    db.run(`PRAGMA user_version = ${FORMAT + 1}`);
    db.close();
    const newer = refusal(() => openBlockLog(directory, "x.db", "os"));
    expect(newer.isRefusal).toBe(true);
    expect(newer.message).toContain(`its format is ${FORMAT + 1}, must be ${FORMAT} or less`);
    const other = freshDirectory();
    openBlockLog(other, "y.db", "os").close();
    const foreign = new Database(join(other, "x.db"), { create: true });
    foreign.run("CREATE TABLE recipes (name TEXT)");
    foreign.close();
    expect(refusal(() => openBlockLog(other, "x.db", "os"))).toEqual({
      message: `cannot open ${other}/x.db: it is a database of something else`,
      isRefusal: true,
    });
  });

  test("brings format 1 up to date, and does not call good what was altered before", () => {
    const directory = freshDirectory();
    makeFormat1(directory);
    const log = openBlockLog(directory, "x.db", "os", { owner: "plant-7" });
    expect(log.repairs).toEqual([]);
    expect(log.value("next")).toBe("210");
    const rows = log.read(0, 100);
    expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: 19 }, (_, index) => index + 1));
    expect(rows.filter(({ intact }) => !intact).map(({ id }) => id)).toEqual([13]);
    expect([log.bytes, log.lastId]).toEqual([bytesOf(1, 19), 20]);
    log.close();
    const again = openBlockLog(directory, "x.db", "os", { owner: "plant-7" });
    expect(again.repairs).toEqual([]);
    again.close();
  });

  test.each([2, 3])("brings format %d up to date, and can read 3 before that", (format) => {
    const directory = freshDirectory();
    if (format === 2) makeFormat2(directory, "plant-7");
    else makeFormat3(directory, "plant-7");
    expect(refusal(() => openBlockLog(directory, "x.db", "os", { owner: "plant-8" })).isRefusal).toBe(true);
    if (format === 3) {
      const look = openBlockLogReadOnly(directory, "x.db");
      expect([look.read(0, 100).length, look.bytes]).toEqual([19, bytesOf(1, 19)]);
      look.close();
    } else expect(refusal(() => openBlockLogReadOnly(directory, "x.db")).message).toContain("must be 3 to 4");
    for (let start = 0; start < 2; start++) {
      const log = openBlockLog(directory, "x.db", "os", { owner: "plant-7" });
      expect(log.repairs).toEqual([]);
      const rows = log.read(0, 100);
      expect(rows.length).toBe(19 + start);
      expect(rows.every(({ intact }) => intact)).toBe(true);
      expect([log.bytes, log.lastId, log.value("next")]).toEqual([
        bytesOf(1, 19) + start * makeContent(21).length,
        20 + start,
        "210",
      ]);
      expect(log.countMessages(0, 100)).toBe(100 + start * 10);
      // An id that was given once is never given again.
      const facts = { stream: 0, first: 210, count: 10, skip: 0, timeMs: 6, clockDifferenceMs: 0 };
      if (start === 0) log.write(() => log.append({ ...facts, content: makeContent(21) }));
      log.close();
    }
  });

  test("knows at a start how much it holds without looking at the rows", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", "os");
    appendRows(log, 1, 30);
    log.write(() => log.deleteBetween(5, 9));
    const { bytes, lastId } = log;
    expect(bytes).toBe(bytesOf(1, 4) + bytesOf(10, 30));
    expect(() =>
      log.write(() => {
        log.deleteTo(20);
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(log.bytes).toBe(bytes);
    copyLog(directory, `${directory}-killed`, "x.db");
    log.close();
    for (const place of [directory, `${directory}-killed`]) {
      const again = openBlockLog(place, "x.db", "os");
      expect([again.bytes, again.lastId]).toEqual([bytes, lastId]);
      again.close();
    }
  });

  test("refuses a second owner, and a directory that is a file", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", "os");
    expect(refusal(() => openBlockLog(directory, "x.db", "os")).message).toBe(
      `cannot open ${directory}/x.db: another process has it open: is the agent running already?`,
    );
    log.close();
    const file = freshDirectory();
    writeFileSync(file, "");
    expect(refusal(() => openBlockLog(file, "x.db", "os")).message).toBe(
      `cannot open ${file}/x.db: ${file} is not a directory`,
    );
  });

  test("gives ids on behind those that were deleted", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", "os");
    appendRows(log, 1, 5);
    log.write(() => log.deleteTo(5));
    log.close();
    const again = openBlockLog(directory, "x.db", "os");
    appendRows(again, 6, 6);
    expect(again.read(0, 10).map(({ id }) => id)).toEqual([6]);
    again.close();
  });

  test("does not take a transaction that was rolled back for lost rows", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", "os");
    appendRows(log, 1, 3);
    expect(() =>
      log.write(() => {
        log.append({
          stream: 0,
          first: 30,
          count: 1,
          skip: 0,
          timeMs: 0,
          clockDifferenceMs: 0,
          content: makeContent(4),
        });
        throw new Error("no");
      }),
    ).toThrow("no");
    appendRows(log, 4, 4);
    expect(log.read(0, 10).map(({ id }) => id)).toEqual([1, 2, 3, 4]);
    log.close();
  });
});

describe("openBlockLogReadOnly()", () => {
  test("sees what the agent that was killed had committed, and leaves its write-ahead log alone", () => {
    const live = freshDirectory();
    const log = openBlockLog(live, "x.db", "os");
    appendRows(log, 1, 50);
    const copy = freshDirectory();
    copyLog(live, copy, "x.db");
    log.close();
    const look = openBlockLogReadOnly(copy, "x.db");
    expect(look.read(0, 100)).toHaveLength(50);
    look.close();
    expect(existsSync(join(copy, "x.db-wal"))).toBe(true);
    const again = openBlockLog(copy, "x.db", "os");
    expect(again.repairs).toEqual([]);
    expect(again.read(0, 100)).toHaveLength(50);
    again.close();
  });
});

describe("BlockLog", () => {
  test("oldest() stops before the first row that is not old enough", () => {
    const log = openBlockLog(freshDirectory(), "x.db", "os");
    appendRows(log, 1, 20);
    expect(log.oldest(100, Number.MAX_SAFE_INTEGER, 11)).toBe(10);
    expect(log.oldest(4, Number.MAX_SAFE_INTEGER, 11)).toBe(4);
    expect(log.oldest(100, 8, 11)).toBe(7);
    expect(log.oldest(100, Number.MAX_SAFE_INTEGER, 1)).toBeUndefined();
    expect(log.oldest(100, Number.MAX_SAFE_INTEGER)).toBe(20);
    log.close();
  });

  test("rest() gives the space of a drained backlog back, and the write-ahead log stays small", () => {
    const directory = freshDirectory();
    const file = join(directory, "x.db");
    const log = openBlockLog(directory, "x.db", "os");
    const content = Buffer.alloc(15 * 1024, 7);
    const facts = { stream: 0, count: 1, skip: 0, timeMs: 0, clockDifferenceMs: 0, content };
    for (let id = 1; id <= 4500; id++) log.write(() => log.append({ ...facts, first: id }));
    const full = statSync(file).size;
    expect(full).toBeGreaterThan(60_000_000);
    expect(statSync(`${file}-wal`).size).toBeLessThan(20_000_000);
    for (let id = 50; id <= 4500; id += 50) log.write(() => log.deleteTo(id));
    // Each call does a little; the space itself goes with the checkpoint of a later transaction.
    for (let round = 0; round < 40; round++) {
      log.rest?.();
      log.write(() => log.setValue("round", String(round)));
    }
    log.close();
    expect(statSync(file).size).toBeLessThan(full / 2);
  });
});

describe("openBlockLogReadOnly()", () => {
  test("leaves nothing beside a log that nobody writes to, whatever its name has in it", () => {
    const directory = `${freshDirectory()} #1 ?x=%41`;
    const log = openBlockLog(directory, "x.db", "os");
    appendRows(log, 1, 5);
    log.close();
    const before = readdirSync(directory).sort();
    const copy = openBlockLogReadOnly(directory, "x.db");
    expect(copy.read(0, 10)).toHaveLength(5);
    expect(readdirSync(directory).sort()).toEqual(before);
    copy.close();
    expect(readdirSync(directory).sort()).toEqual(before);
  });

  test("leaves nothing beside a copy that came with its write-ahead log, and sees all that is in it", () => {
    const live = freshDirectory();
    const log = openBlockLog(live, "x.db", "os");
    appendRows(log, 1, 50);
    const copy = freshDirectory();
    copyLog(live, copy, "x.db");
    log.close();
    rmSync(join(copy, "x.db-shm"));
    const before = readdirSync(copy).sort();
    const temporary = () => readdirSync(tmpdir()).filter((name) => name.startsWith("tidegate-look-"));
    const others = temporary();
    const look = openBlockLogReadOnly(copy, "x.db");
    expect(look.read(0, 100)).toHaveLength(50);
    expect(readdirSync(copy).sort()).toEqual(before);
    look.close();
    expect(readdirSync(copy).sort()).toEqual(before);
    expect(temporary()).toEqual(others);
  });

  test("sees what a running agent has just written", () => {
    const directory = freshDirectory();
    const log = openBlockLog(directory, "x.db", "os");
    appendRows(log, 1, 5);
    const other = openBlockLogReadOnly(directory, "x.db");
    expect(other.read(0, 10)).toHaveLength(5);
    other.close();
    log.close();
  });
});
