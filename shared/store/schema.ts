// The tables of a log, its format number, and the way from older formats to this one. Refuses files of a newer format
// and files that belong to something else.
import type { Database } from "bun:sqlite";
import type { LogRow } from "./block-log.ts";
import { sumRow, sumValue } from "./checksum.ts";

export const FORMAT = 4;
/** The first formats in which values have checksums, and in which rows say where their content lies. */
export const CHECKSUMS_SINCE = 2;
export const PLACES_SINCE = 3;
/** Written into each file, so that a file whose header is lost can still be read. */
export const PAGE_BYTES = 4096;

const VALUE_TABLE = `CREATE TABLE value (
  name TEXT PRIMARY KEY, value TEXT NOT NULL, change INTEGER NOT NULL, checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;`;

/** Where a content lies that is not in its row; at the end, as the way from format 2 puts them there. */
const PLACE_COLUMNS = ["segment", "at", "bytes"].map((name) => `${name} INTEGER NOT NULL DEFAULT 0`);

/**
 * All that a row says but for its content a second time, on other pages than the table: a page of either that a disk has
 * spoilt costs nothing that lies in a segment. And what is summed up over many rows is read from here alone.
 */
const INDEXES = [
  "CREATE INDEX block_sequence ON block (stream, first, count, skip, time_ms, clock_difference_ms, checksum, segment, at, bytes)",
  "CREATE INDEX block_segment ON block (segment) WHERE segment > 0",
];

const TABLES = `
CREATE TABLE block (
  id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
  skip INTEGER NOT NULL, time_ms INTEGER NOT NULL, clock_difference_ms INTEGER NOT NULL,
  checksum INTEGER NOT NULL, content BLOB NOT NULL, ${PLACE_COLUMNS.join(", ")}
) STRICT;
${INDEXES.join(";\n")};
${VALUE_TABLE}`;

/** Names of the values that hold the content bytes of all rows and the last id ever given: no start has to look for them. */
export const BYTES = "log.bytes";
export const LAST_ID = "log.last_id";

/** Columns of a row, without its content; checksum last. */
export const FACT_COLUMNS =
  "id, stream, first, count, skip, time_ms AS timeMs, clock_difference_ms AS clockDifferenceMs, checksum, segment, at, bytes";

/** From format n, the key, to n + 1. Each runs in one transaction. */
const STEPS: ReadonlyMap<number, (db: Database) => void> = new Map([
  [1, addChecksums],
  [2, addPlaces],
  [3, addTotals],
]);

/** A log that this agent must not touch: starting again will not help. */
export class LogRefusal extends Error {}

/** Name of the value that says which link a log belongs to. */
export const OWNER = "owner";

export function readFormat(db: Database): number {
  return db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
}

export function refuseFormat(format: number): void {
  if (format > FORMAT) {
    throw new LogRefusal(
      `its format is ${format}, must be ${FORMAT} or less: a newer version wrote it; start that one, or another directory`,
    );
  }
}

/** Makes the tables of an empty file, or brings an older one up to date. Must be told before anything is written. */
export function prepareTables(db: Database): void {
  let format = readFormat(db);
  refuseFormat(format);
  if (format === 0) {
    db.run(`PRAGMA page_size = ${PAGE_BYTES}`);
    // Pages that a drained backlog leaves behind can be given back to the disk a few at a time.
    db.run("PRAGMA auto_vacuum = INCREMENTAL");
    db.run("PRAGMA journal_mode = WAL");
    db.run("BEGIN IMMEDIATE");
    db.run(TABLES);
    format = FORMAT;
    db.run(`PRAGMA user_version = ${FORMAT}`);
    db.run("COMMIT");
    return;
  }
  for (; format < FORMAT; format++) {
    const step = STEPS.get(format);
    if (step === undefined) throw new LogRefusal(`its format is ${format}, must be ${FORMAT}`);
    db.transaction(() => {
      step(db);
      db.run(`PRAGMA user_version = ${format + 1}`);
    }).immediate();
  }
}

/** Format 1 had a checksum of the content alone, and none of the values. */
function addChecksums(db: Database): void {
  const values = db.query<{ name: string; value: string }, []>("SELECT name, value FROM value").all();
  db.run("DROP TABLE value");
  db.run(VALUE_TABLE);
  const insert = db.query("INSERT INTO value VALUES (?, ?, 1, ?)");
  for (const { name, value } of values) insert.run(name, value, sumValue(name, value, 1));
  const read = db.query<LogRow & { checksum: number }, [number]>(
    `SELECT id, stream, first, count, skip, time_ms AS timeMs, clock_difference_ms AS clockDifferenceMs, checksum, content
     FROM block WHERE id > ? ORDER BY id LIMIT 1`,
  );
  const update = db.query("UPDATE block SET checksum = ? WHERE id = ?");
  for (let row = read.get(0); row !== null; row = read.get(row.id)) {
    // What was altered before stays recognizably so.
    const whole = sumRow(row);
    const isAltered = whole % 0x1_0000_0000 !== row.checksum;
    update.run(isAltered ? whole - (whole % 0x1_0000_0000) + row.checksum : whole, row.id);
  }
}

/** Format 2 had all contents in the database; they stay there. */
function addPlaces(db: Database): void {
  for (const column of PLACE_COLUMNS) db.run(`ALTER TABLE block ADD COLUMN ${column}`);
}

/** Format 3 counted its ids in a table of SQLite's own, a page more for each transaction, and its bytes at each start. */
function addTotals(db: Database): void {
  db.run("DROP INDEX block_sequence");
  for (const index of INDEXES) db.run(index);
  const counted = readNumber(db, "SELECT count(*) AS n FROM sqlite_master WHERE name = 'sqlite_sequence'");
  const where = counted === 0 ? "SELECT max(id) AS n FROM block" : "SELECT seq AS n FROM sqlite_sequence";
  writeTotals(db, countBytes(db), readNumber(db, where), 1);
}

/** Reads every row's head: for a file that does not say. */
export function countBytes(db: Database): number {
  return readNumber(db, "SELECT sum(length(content) + bytes) AS n FROM block");
}

export function readNumber(db: Database, query: string): number {
  return db.query<{ n: number | null }, []>(query).get()?.n ?? 0;
}

export function writeTotals(db: Database, bytes: number, lastId: number, change: number): void {
  const insert = db.query("INSERT OR REPLACE INTO value VALUES (?, ?, ?, ?)");
  for (const [name, total] of [
    [BYTES, bytes],
    [LAST_ID, lastId],
  ] as const)
    insert.run(name, String(total), change, sumValue(name, String(total), change));
}
