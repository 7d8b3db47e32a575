// Looks a log's file over before it is used, without changing a byte of it: says what is wrong with it in a few words,
// or nothing. Refuses a file that this agent must not touch. Bounded: see FULL_CHECK_BYTES_MAX.
import { Database } from "bun:sqlite";
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { areFactsIntact, type RowFacts, sumValue } from "./checksum.ts";
import { isDamage } from "./fault.ts";
import {
  CHECKSUMS_SINCE,
  FACT_COLUMNS,
  LogRefusal,
  OWNER,
  PLACES_SINCE,
  readFormat,
  refuseFormat,
} from "./schema.ts";
import { judgeWal } from "./wal.ts";

/**
 * Of a larger file, and of one that a slow disk takes longer to give, only the values are checked at the start: what is
 * wrong with its rows is found by reading them.
 */
const FULL_CHECK_BYTES_MAX = 512 * 1024 ** 2;
const FULL_CHECK_MS_MAX = 5000;
/** Of very many rows the newest are looked at one by one, as many as this time allows. */
const FACTS_MS_MAX = 1000;
const ROWS_PER_LOOK_AT_CLOCK = 1024;
const CHUNK_BYTES = 1024 * 1024;
/** "1" in a file that an agent has open, or had when it died. */
export const OPEN = "open";

export type Fault = { readonly reason: string; readonly known: "nothing" | "as-read" };

export function checkFile(file: string, owner: string | undefined): Fault | undefined {
  const wal = `${file}-wal`;
  const size = sizeOf(file);
  if (size === 0) {
    const reason = "it is empty, and its write-ahead log is not";
    return sizeOf(wal) > 0 ? { reason, known: "nothing" } : undefined;
  }
  // Before SQLite sees it: SQLite drops what follows a fault in the write-ahead log without a word.
  const broken = judgeWal(file);
  const known = broken === undefined ? "as-read" : "nothing";
  const isWhole = size <= FULL_CHECK_BYTES_MAX && readAhead(file);
  try {
    const db = new Database(file, { readonly: true, strict: true });
    try {
      const reason = checkDatabase(db, isWhole, owner) ?? broken ?? judgeMissingWal(db, sizeOf(wal) > 0);
      return reason === undefined ? undefined : { reason, known };
    } finally {
      db.close();
    }
  } catch (error) {
    if (isDamage(error)) return { reason: `SQLite says: ${(error as Error).message}`, known };
    throw error;
  }
}

function checkDatabase(db: Database, isWhole: boolean, owner: string | undefined): string | undefined {
  const format = readFormat(db);
  refuseFormat(format);
  const tables = db.query<{ name: string }, []>("SELECT name FROM sqlite_master WHERE type = 'table'").all();
  const names = tables.map(({ name }) => name);
  const isLog = names.includes("block") && names.includes("value");
  if (names.length > 0 && !isLog) throw new LogRefusal("it is a database of something else");
  if (!isLog) return undefined;
  if (format === 0) return "its format number is gone";
  if (format >= CHECKSUMS_SINCE) {
    const values = readValues(db);
    if (values === undefined) return "a value in it is altered";
    refuseOther(owner, values.get(OWNER));
  }
  if (!isWhole) return undefined;
  return checkTables(db) ?? (format >= PLACES_SINCE ? checkFacts(db) : undefined);
}

/** A file that is in use always has a write-ahead log. */
function judgeMissingWal(db: Database, hasWal: boolean): string | undefined {
  const isOpen = !hasWal && readFormat(db) >= CHECKSUMS_SINCE && readValues(db)?.get(OPEN) === "1";
  return isOpen ? "its write-ahead log is missing" : undefined;
}

/** All values, undefined when one of them is not what was written. */
export function readValues(db: Database): Map<string, string> | undefined {
  const rows = db
    .query<{ name: string; value: string; change: number; checksum: number }, []>("SELECT * FROM value")
    .all();
  const isIntact = rows.every(
    ({ name, value, change, checksum }) => sumValue(name, value, change) === checksum,
  );
  return isIntact ? new Map(rows.map(({ name, value }) => [name, value])) : undefined;
}

export function refuseOther(owner: string | undefined, found: string | undefined): void {
  if (owner === undefined || found === undefined || found === owner) return;
  throw new LogRefusal(
    `it belongs to link "${found}", must be of link "${owner}": give each link a directory of its own`,
  );
}

function checkTables(db: Database): string | undefined {
  const found = db.query<{ integrity_check: string }, []>("PRAGMA integrity_check(1)").get();
  const first = found?.integrity_check ?? "no answer";
  return first === "ok" ? undefined : first.replace(/\s+/g, " ").slice(0, 200);
}

/**
 * Reads the file from end to end, so that the check finds its pages in memory: it goes from page to page in the order
 * of the trees, and a disk that has to follow it takes ten times as long. False when the disk is too slow for that.
 */
function readAhead(file: string): boolean {
  const fd = openSync(file, "r");
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const endMs = performance.now() + FULL_CHECK_MS_MAX;
  try {
    for (let at = 0; readSync(fd, chunk, 0, CHUNK_BYTES, at) > 0; at += CHUNK_BYTES)
      if (performance.now() > endMs) return false;
    return true;
  } catch {
    // A bad sector: the check will name it.
    return true;
  } finally {
    closeSync(fd);
  }
}

function checkFacts(db: Database): string | undefined {
  const query = `SELECT ${FACT_COLUMNS} FROM block ORDER BY id DESC`;
  const rows = db.query<RowFacts & { checksum: number }, []>(query);
  const endMs = performance.now() + FACTS_MS_MAX;
  let count = 0;
  for (const row of rows.iterate()) {
    if (!areFactsIntact(row, row.checksum)) return `the figures of row ${row.id} are altered`;
    if (++count % ROWS_PER_LOOK_AT_CLOCK === 0 && performance.now() > endMs) return undefined;
  }
  return undefined;
}

/** 0 for a file that is not there. */
export function sizeOf(file: string): number {
  return existsSync(file) ? statSync(file).size : 0;
}
