// Saves what can be saved of a damaged log into a new file, which takes its place; the damaged one is moved aside and
// never written to. At any instant that the power goes, the next start finds the one or the other, whole.
//
//   NAME.salvaging (being filled) ─► NAME.salvaged (whole, on the disk) ─► NAME, after NAME ─► NAME.damaged-TIME
import { Database } from "bun:sqlite";
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { BlockLog, Repair } from "./block-log.ts";
import { OPEN, readValues, refuseOther, sizeOf } from "./check.ts";
import { sumValue } from "./checksum.ts";
import { isDamage } from "./fault.ts";
import { HOLES } from "./holes.ts";
import { countMissing } from "./missing.ts";
import { PageFiles } from "./pages.ts";
import { type FoundRow, type FoundValue, scanPages } from "./scan.ts";
import { countBytes, LAST_ID, OWNER, prepareTables, readNumber, writeTotals } from "./schema.ts";
import { SegmentReader } from "./segment-reader.ts";
import { insertRow, SqliteLog } from "./sqlite-log.ts";

/** Damaged files that are kept; beyond, the oldest goes. */
const DAMAGED_FILES_MAX = 3;
const SUFFIXES = ["", "-wal", "-shm"] as const;
/** Ids are never used twice, whatever was lost at the end: cursors point to them. */
const ID_JUMP = 1_000_000;

export type SalvageWishes = {
  readonly owner: string | undefined;
  readonly nowMs: number;
  /** Brings the agent's values into line with what is left. */
  readonly adopt: ((log: BlockLog, repair: Repair) => void) | undefined;
};

/**
 * What is known of the values: all of them, because the agent that uses the log has them in memory; nothing, because
 * SQLite would read some that are not the newest; or what SQLite reads, if that is all of them.
 */
export type Known = ReadonlyMap<string, string> | "nothing" | "as-read";

/** Throws when there is no space for the new file; then the damaged one is still in its place. */
export function salvage(file: string, reason: string, known: Known, wishes: SalvageWishes): Repair {
  const began = performance.now();
  const fresh = `${file}.salvaging`;
  for (const suffix of SUFFIXES) rmSync(fresh + suffix, { force: true });
  const db = new Database(fresh, { create: true, strict: true });
  try {
    prepareTables(db);
    // Nothing of it counts before it is whole: then it is made durable, once.
    db.run("PRAGMA journal_mode = OFF");
    db.run("PRAGMA synchronous = OFF");
    const believed = known === "nothing" ? undefined : known === "as-read" ? readBelieved(file) : known;
    db.run("BEGIN");
    const found = fill(db, file, believed, wishes.owner);
    db.run("COMMIT");
    const movedTo = `${file}.damaged-${new Date(wishes.nowMs).toISOString().replace(/\D/g, "")}`;
    const durationMs = Math.round(performance.now() - began);
    const valuesComplete = believed !== undefined;
    const repair: Repair = {
      reason,
      movedTo,
      ...found,
      ...countMissing(db, readHoles(db)),
      valuesComplete,
      durationMs,
    };
    const log = new SqliteLog({
      db,
      file,
      isReadOnly: true,
      mend: undefined,
      repairs: [repair],
      unlock: () => {},
    });
    wishes.adopt?.(log, repair);
    log.close();
    sync(fresh);
    renameSync(fresh, `${file}.salvaged`);
    moveAside(file, movedTo);
    finishSalvage(file, wishes.nowMs);
    dropOldest(file);
    return repair;
  } catch (error) {
    db.close();
    for (const suffix of SUFFIXES) rmSync(fresh + suffix, { force: true });
    throw error;
  }
}

/** Takes up a salvage that the power cut short between its last steps. */
export function finishSalvage(file: string, nowMs: number): void {
  if (!existsSync(`${file}.salvaged`)) return;
  // The damaged file is still there: it was not moved yet, and will be salvaged again.
  if (existsSync(file)) rmSync(`${file}.salvaged`);
  else {
    // Its write-ahead log must not be laid over the new file.
    moveAside(file, `${file}.damaged-${new Date(nowMs).toISOString().replace(/\D/g, "")}`);
    renameSync(`${file}.salvaged`, file);
  }
  sync(dirname(file));
}

/** All values, when SQLite reads every one of them and each is what was written. */
function readBelieved(file: string): Map<string, string> | undefined {
  if (!existsSync(file)) return undefined;
  try {
    const db = new Database(file, { readonly: true, strict: true });
    try {
      const values = readValues(db);
      // Without the write-ahead log that belongs to it, a file is older than it says.
      return values?.get(OPEN) === "1" && sizeOf(`${file}-wal`) === 0 ? undefined : values;
    } finally {
      db.close();
    }
  } catch (error) {
    if (isDamage(error) || error instanceof Error) return undefined;
    throw error;
  }
}

function fill(
  db: Database,
  file: string,
  believed: ReadonlyMap<string, string> | undefined,
  owner: string | undefined,
): { rows: number; rowsWithoutContent: number } {
  const newest = new Map<string, FoundValue>();
  const files = new PageFiles(file);
  const segments = new SegmentReader(file);
  const wholeApart = new Set<number>();
  try {
    scanPages(
      files,
      segments,
      ({ row, place, checksum, isWhole }: FoundRow) => {
        // The version whose content is there counts: it may lie elsewhere than that of a transaction that was taken back.
        insertRow(db, row, place, checksum, isWhole ? "REPLACE" : "IGNORE");
        if (place.segment > 0 && isWhole) wholeApart.add(row.id);
      },
      (value) => {
        const known = newest.get(value.name);
        if (known === undefined || known.change < value.change) newest.set(value.name, value);
      },
    );
  } finally {
    files.close();
    segments.close();
  }
  const values = believed ?? new Map([...newest].map(([name, { value }]) => [name, value]));
  refuseOther(owner, values.get(OWNER));
  const change = Math.max(0, ...[...newest.values()].map((value) => value.change)) + 1;
  const insert = db.query("INSERT INTO value VALUES (?, ?, ?, ?)");
  for (const [name, value] of values) insert.run(name, value, change, sumValue(name, value, change));
  const lastId = Math.max(Number(values.get(LAST_ID) ?? 0), readNumber(db, "SELECT max(id) AS n FROM block"));
  writeTotals(db, countBytes(db), lastId + ID_JUMP, change);
  const count = (where: string) =>
    db.query<{ n: number }, []>(`SELECT count(*) AS n FROM block WHERE ${where}`).get()?.n ?? 0;
  const rows = count("length(content) > 0") + wholeApart.size;
  return { rows, rowsWithoutContent: count("true") - rows };
}

function readHoles(db: Database): string | undefined {
  return (
    db.query<{ value: string }, [string]>("SELECT value FROM value WHERE name = ?").get(HOLES)?.value ??
    undefined
  );
}

function moveAside(file: string, to: string): void {
  // The main file first: without it, the next start knows where it was.
  for (const suffix of SUFFIXES) if (existsSync(file + suffix)) renameSync(file + suffix, to + suffix);
}

function dropOldest(file: string): void {
  const prefix = `${basename(file)}.damaged-`;
  const directory = dirname(file);
  const stamps = new Set(
    readdirSync(directory)
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length).replace(/-(wal|shm)$/, "")),
  );
  const oldest = [...stamps].sort().slice(0, -DAMAGED_FILES_MAX);
  for (const stamp of oldest)
    for (const suffix of SUFFIXES) rmSync(join(directory, prefix + stamp + suffix), { force: true });
}

function sync(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
