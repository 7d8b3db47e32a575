// The tables of a log, its format number, and the way from older formats to this one. Refuses files of a newer format
// and files that belong to something else.
import type { Database } from "bun:sqlite";
import type { LogRow } from "./block-log.ts";
import { sumRow, sumValue } from "./checksum.ts";

export const FORMAT = 2;
/** Written into each file, so that a file whose header is lost can still be read. */
export const PAGE_BYTES = 4096;

const VALUE_TABLE = `CREATE TABLE value (
  name TEXT PRIMARY KEY, value TEXT NOT NULL, change INTEGER NOT NULL, checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;`;

const TABLES = `
CREATE TABLE block (
  id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
  skip INTEGER NOT NULL, time_ms INTEGER NOT NULL, clock_difference_ms INTEGER NOT NULL,
  checksum INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE INDEX block_sequence ON block (stream, first);
${VALUE_TABLE}`;

/** Columns of a row, without its content; checksum last. */
export const FACT_COLUMNS =
  "id, stream, first, count, skip, time_ms AS timeMs, clock_difference_ms AS clockDifferenceMs, checksum";

/** From format n, the key, to n + 1. Each runs in one transaction. */
const STEPS: ReadonlyMap<number, (db: Database) => void> = new Map([[1, addChecksums]]);

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
    `SELECT ${FACT_COLUMNS}, content FROM block WHERE id > ? ORDER BY id LIMIT 1`,
  );
  const update = db.query("UPDATE block SET checksum = ? WHERE id = ?");
  for (let row = read.get(0); row !== null; row = read.get(row.id)) {
    // What was altered before stays recognizably so.
    const whole = sumRow(row);
    const isAltered = whole % 0x1_0000_0000 !== row.checksum;
    update.run(isAltered ? whole - (whole % 0x1_0000_0000) + row.checksum : whole, row.id);
  }
}
