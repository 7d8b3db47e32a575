// A log on a disk that flips bits, loses pages or cuts files short: the log opens all the same, every row it gives as
// intact is what was written, and what is missing is named.
import { afterAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BlockLog, ReadRow, Repair } from "../../../../shared/store/block-log.ts";
import { openBlockLog } from "../../../../shared/store/open.ts";
import { Workspace } from "../../../support/workspace.ts";
import { alterFile, appendRows, copyLog, forgetIndex, makeContent, makeRandom, PAGE } from "./sample-log.ts";

const ROWS = 400;
const workspace = new Workspace("damage");
let copies = 0;

/** A clean file of ROWS rows, and one as `kill -9` leaves it, with rows in the write-ahead log alone. */
const clean = workspace.path("clean");
const killed = workspace.path("killed");
{
  const log = openBlockLog(clean, "x.db", "os", { owner: "plant-7" });
  appendRows(log, 1, ROWS);
  log.close();
  const other = openBlockLog(workspace.path("live"), "x.db", "os", { owner: "plant-7" });
  appendRows(other, 1, ROWS);
  copyLog(workspace.path("live"), killed, "x.db");
  other.close();
}
afterAll(() => workspace.remove());

function takeCopy(of: string): string {
  const directory = workspace.path(`copy-${copies++}`);
  copyLog(of, directory, "x.db");
  return directory;
}

function open(directory: string): { log: BlockLog; repairs: readonly Repair[] } {
  const repairs: Repair[] = [];
  const options = { owner: "plant-7", onRepair: (repair: Repair) => repairs.push(repair) };
  return { log: openBlockLog(directory, "x.db", "os", options), repairs };
}

function readAll(log: BlockLog): ReadRow[] {
  const rows: ReadRow[] = [];
  for (let next = log.read(0, 64); next.length > 0; next = log.read(next.at(-1)?.id ?? 0, 64))
    rows.push(...next);
  return rows;
}

/** What is wrong with a log that was damaged: nothing, if each row is what it was, or is told to be lost. */
function judge(log: BlockLog, repairs: readonly Repair[]): string | undefined {
  const rows = readAll(log);
  for (const row of rows) {
    if (row.id > ROWS || row.first !== (row.id - 1) * 10 || row.count !== 10)
      return `row ${row.id} is not what it was`;
    if (row.intact && !Buffer.from(row.content).equals(makeContent(row.id)))
      return `row ${row.id} has another content`;
  }
  if (new Set(rows.map(({ id }) => id)).size !== rows.length) return "a row comes twice";
  if (repairs.length === 0 && rows.length !== ROWS)
    return `${ROWS - rows.length} rows are missing and nobody says so`;
  const isComplete = repairs.every(({ valuesComplete }) => valuesComplete);
  if (isComplete && log.value("next") !== String(ROWS * 10)) return `next is ${log.value("next")}`;
  const bytes = rows.reduce((sum, { content }) => sum + content.length, 0);
  if (log.bytes !== bytes) return `it has ${bytes} bytes and says ${log.bytes}`;
  // It is a log like any other again.
  const id = log.lastId;
  appendRows(log, 1, 1);
  return log.lastId > id && log.read(id, 1)[0]?.intact === true
    ? undefined
    : "it does not take rows any more";
}

/** A leaf full of rows in the middle of the table. */
function zeroLeaf(directory: string): void {
  alterFile(join(directory, "x.db"), (read, write, size) => {
    const pages = Array.from({ length: size / PAGE }, (_, index) => index * PAGE);
    const leaves = pages.filter((page) => read(page) === 0x0d && read(page + 4) > 6);
    const page = leaves[leaves.length >> 1] ?? 0;
    for (let at = page; at < page + PAGE; at++) write(at, 0);
  });
}

describe("openBlockLog()", () => {
  test("finds nothing wrong with what is not", () => {
    for (const source of [clean, killed]) {
      const { log, repairs } = open(takeCopy(source));
      expect(repairs).toEqual([]);
      expect(judge(log, repairs)).toBeUndefined();
      log.close();
    }
  }, 60_000);

  test.each(["clean", "killed"])(
    "opens a %s file with a flipped bit anywhere, and believes none",
    (which) => {
      const source = which === "clean" ? clean : killed;
      for (let seed = 1; seed <= 50; seed++) {
        const random = makeRandom(seed);
        const directory = takeCopy(source);
        const file = join(directory, which === "killed" && seed % 2 === 0 ? "x.db-wal" : "x.db");
        alterFile(file, (read, write, size) => {
          const at = random(size);
          write(at, read(at) ^ (1 << random(8)));
        });
        const { log, repairs } = open(directory);
        const wrong = judge(log, repairs);
        // One page holds at most a few dozen of these rows.
        const rows = readAll(log).filter(({ id, intact }) => intact && id <= ROWS).length;
        log.close();
        expect({ seed, wrong, enough: rows >= ROWS - 40 }).toEqual({ seed, wrong: undefined, enough: true });
        rmSync(directory, { recursive: true });
      }
    },
    60_000,
  );

  test("opens a file with a page of zeros or of noise anywhere", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = makeRandom(seed);
      const directory = takeCopy(seed % 2 === 0 ? clean : killed);
      alterFile(join(directory, "x.db"), (_read, write, size) => {
        const page = random(Math.floor(size / PAGE)) * PAGE;
        for (let at = page; at < page + PAGE; at++) write(at, seed % 3 === 0 ? 0 : random(256));
      });
      const { log, repairs } = open(directory);
      expect({ seed, wrong: judge(log, repairs) }).toEqual({ seed, wrong: undefined });
      log.close();
      rmSync(directory, { recursive: true });
    }
  }, 60_000);

  test("opens a file that was cut short, and one of nothing but its write-ahead log", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const directory = takeCopy(seed % 2 === 0 ? clean : killed);
      const random = makeRandom(seed);
      alterFile(join(directory, "x.db"), (_read, _write, size) =>
        truncateSync(join(directory, "x.db"), 1 + random(size - 1)),
      );
      const { log, repairs } = open(directory);
      expect({ seed, wrong: judge(log, repairs), repairs: repairs.length }).toEqual({
        seed,
        wrong: undefined,
        repairs: 1,
      });
      log.close();
    }
    for (const content of [
      "",
      "not a database, and longer than a header of a hundred bytes would be".repeat(9),
    ]) {
      const directory = takeCopy(killed);
      writeFileSync(join(directory, "x.db"), content);
      const { log, repairs } = open(directory);
      expect(repairs).toHaveLength(1);
      expect(judge(log, repairs)).toBeUndefined();
      log.close();
    }
  });

  test("tells when the write-ahead log of a file that was in use is gone", () => {
    const directory = takeCopy(killed);
    rmSync(join(directory, "x.db-wal"));
    const { log, repairs } = open(directory);
    expect(repairs).toMatchObject([{ reason: "its write-ahead log is missing", valuesComplete: false }]);
    log.close();
  });

  test("names the sequences that are gone, and keeps the damaged file", () => {
    const directory = takeCopy(clean);
    forgetIndex(join(directory, "x.db"));
    zeroLeaf(directory);
    const { log, repairs } = open(directory);
    const [repair] = repairs;
    expect(repair?.rowsMissing).toBeGreaterThan(0);
    expect(repair?.missing).toEqual([
      { stream: 0, first: expect.any(Number), count: (repair?.rowsMissing ?? 0) * 10 },
    ]);
    expect(existsSync(repair?.movedTo ?? "")).toBe(true);
    expect(log.value("next")).toBe(String(ROWS * 10));
    log.close();
    // The next start has nothing to complain of.
    const again = open(directory);
    expect(again.repairs).toEqual([]);
    again.log.close();
  });

  test("knows of rows whose page is gone all but their content, from the index", () => {
    const directory = takeCopy(clean);
    zeroLeaf(directory);
    const { log, repairs } = open(directory);
    expect(repairs).toMatchObject([{ rowsMissing: 0, missing: [], valuesComplete: true }]);
    const rows = readAll(log);
    expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: ROWS }, (_, index) => index + 1));
    const lost = rows.filter(({ intact }) => !intact);
    expect(lost.length).toBe(repairs[0]?.rowsWithoutContent ?? -1);
    expect(lost.length).toBeWithin(2, 40);
    log.close();
  });

  test("keeps a bounded number of damaged files", () => {
    const directory = takeCopy(clean);
    for (let round = 0; round < 6; round++) {
      alterFile(join(directory, "x.db"), (_read, write) => write(0, round));
      const log = openBlockLog(directory, "x.db", "os", { clock: () => round * 1000 });
      log.close();
    }
    const kept = readdirSync(directory).filter((name) => /damaged-\d+$/.test(name));
    expect(kept).toHaveLength(3);
    expect(kept.every((name) => name > "x.db.damaged-19700101000002")).toBe(true);
  });

  test("takes up a salvage that the power cut short", () => {
    const directory = takeCopy(killed);
    const file = join(directory, "x.db");
    copyFileSync(join(clean, "x.db"), `${file}.salvaged`);
    rmSync(file);
    const { log, repairs } = open(directory);
    expect(repairs).toEqual([]);
    expect(readAll(log)).toHaveLength(ROWS);
    log.close();
    expect(readdirSync(directory).some((name) => /damaged-\d+-wal$/.test(name))).toBe(true);
  });
});

describe("a log that is damaged while it is in use", () => {
  test("goes on, and gives every row that is left", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const directory = takeCopy(clean);
      const random = makeRandom(seed);
      const { log, repairs } = open(directory);
      log.read(0, 1);
      const wrong: string[] = [];
      alterFile(join(directory, "x.db"), (_read, write, size) => {
        const page = (1 + random(Math.floor(size / PAGE) - 1)) * PAGE;
        for (let at = page; at < page + PAGE; at++) write(at, 0xff);
      });
      try {
        const rows = readAll(log);
        if (rows.some(({ id, first }) => first !== (id - 1) * 10)) wrong.push("a row is not what it was");
        if (rows.length < ROWS - 40) wrong.push(`${rows.length} rows are left`);
        if (readStreamAll(log).length < ROWS - 40) wrong.push("the stream breaks off");
        for (let tries = 0; tries < 2; tries++) {
          try {
            log.write(() => log.deleteTo(ROWS / 2));
            break;
          } catch (error) {
            if (tries > 0) wrong.push(`cannot delete: ${error}`);
          }
        }
        if (readAll(log)[0]?.id !== ROWS / 2 + 1 && repairs.length === 0) wrong.push("rows are still there");
      } catch (error) {
        wrong.push(String(error));
      }
      expect({ seed, wrong }).toEqual({ seed, wrong: [] });
      log.close();
      rmSync(directory, { recursive: true });
    }
  }, 60_000);
});

function readStreamAll(log: BlockLog): ReadRow[] {
  const rows: ReadRow[] = [];
  for (let next = log.readStream(0, 0, 64); next.length > 0; ) {
    rows.push(...next);
    next = log.readStream(0, (next.at(-1)?.first ?? 0) + 1, 64);
  }
  return rows;
}
