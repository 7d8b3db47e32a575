// Looks a log's file over before it is used, without changing a byte of it: says what is wrong with it in a few words,
// or nothing. Refuses a file that this agent must not touch. Bounded: see FULL_CHECK_BYTES_MAX.
import { Database } from "bun:sqlite";
import { existsSync, statSync } from "node:fs";
import { areFactsIntact, type RowFacts, sumValue } from "./checksum.ts";
import { isDamage } from "./fault.ts";
import { judgeWal } from "./pages.ts";
import { FACT_COLUMNS, FORMAT, LogRefusal, OWNER, readFormat, refuseFormat } from "./schema.ts";

/** Of a larger file only the pages that hold no content are checked: what is wrong with the others is found by reading. */
const FULL_CHECK_BYTES_MAX = 4 * 1024 ** 3;
/** "1" in a file that an agent has open, or had when it died. */
export const OPEN = "open";

export function checkFile(file: string, owner: string | undefined): string | undefined {
  const wal = `${file}-wal`;
  const size = sizeOf(file);
  if (size === 0) return sizeOf(wal) > 0 ? "it is empty, and its write-ahead log is not" : undefined;
  // Before SQLite sees it: SQLite drops what follows a fault in the write-ahead log without a word.
  const broken = judgeWal(wal);
  try {
    const db = new Database(file, { readonly: true, strict: true });
    try {
      return checkDatabase(db, size, owner, sizeOf(wal) > 0) ?? broken;
    } finally {
      db.close();
    }
  } catch (error) {
    if (isDamage(error)) return `SQLite says: ${(error as Error).message}`;
    throw error;
  }
}

function checkDatabase(
  db: Database,
  size: number,
  owner: string | undefined,
  hasWal: boolean,
): string | undefined {
  const format = readFormat(db);
  refuseFormat(format);
  const tables = db.query<{ name: string }, []>("SELECT name FROM sqlite_master WHERE type = 'table'").all();
  const names = tables.map(({ name }) => name);
  const isLog = names.includes("block") && names.includes("value");
  if (names.length > 0 && !isLog) throw new LogRefusal("it is a database of something else");
  if (!isLog) return undefined;
  if (format === 0) return "its format number is gone";
  if (format === FORMAT) {
    const values = readValues(db);
    if (values === undefined) return "a value in it is altered";
    refuseOther(owner, values.get(OWNER));
    if (values.get(OPEN) === "1" && !hasWal) return "its write-ahead log is missing";
  }
  return checkTables(db, size) ?? (format === FORMAT ? checkFacts(db) : undefined);
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

function checkTables(db: Database, size: number): string | undefined {
  if (size <= FULL_CHECK_BYTES_MAX) {
    const found = db.query<{ integrity_check: string }, []>("PRAGMA integrity_check(1)").get();
    const first = found?.integrity_check ?? "no answer";
    return first === "ok" ? undefined : first.replace(/\s+/g, " ").slice(0, 200);
  }
  const sums = (by: string) =>
    JSON.stringify(
      db.query(`SELECT count(*), total(id), total(stream), total(first) FROM block ${by}`).get(),
    );
  return sums("NOT INDEXED") === sums("INDEXED BY block_sequence")
    ? undefined
    : "its rows and their index differ";
}

function checkFacts(db: Database): string | undefined {
  const rows = db.query<RowFacts & { checksum: number }, []>(`SELECT ${FACT_COLUMNS} FROM block ORDER BY id`);
  for (const row of rows.iterate())
    if (!areFactsIntact(row, row.checksum)) return `the figures of row ${row.id} are altered`;
  return undefined;
}

function sizeOf(file: string): number {
  return existsSync(file) ? statSync(file).size : 0;
}
