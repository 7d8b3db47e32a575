// Opens a log: one owner at a time, looked over first, mended when it is damaged. Refuses, with a sentence for a
// person, what it cannot open, and never touches a log of another link or of a newer format.
import { Database } from "bun:sqlite";
import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { BlockLog, Durability, Repair } from "./block-log.ts";
import { checkFile, OPEN } from "./check.ts";
import { describeFault, isDamage } from "./fault.ts";
import { openToLook } from "./look.ts";
import { finishSalvage, type Known, salvage } from "./salvage.ts";
import { FORMAT, LogRefusal, OWNER, PLACES_SINCE, prepareTables, readFormat } from "./schema.ts";
import { SqliteLog } from "./sqlite-log.ts";

/** The write-ahead log is cut back to this when it is empty. */
const WAL_BYTES_KEPT = 16 * 1024 * 1024;

export type OpenOptions = {
  /** Name of the link whose log it is; a log of another one is refused. */
  readonly owner?: string;
  /** After a salvage, before anything else: brings the values into line with the rows that are left. */
  readonly adopt?: (log: BlockLog, repair: Repair) => void;
  /** A damaged file was replaced, now or while the log is in use. */
  readonly onRepair?: (repair: Repair) => void;
  readonly clock?: () => number;
};

/**
 * Opens or creates `directory`/`name`, for this process alone. Throws an Error with a sentence for a person when it
 * cannot, a LogRefusal when starting again will not help either.
 */
export function openBlockLog(
  directory: string,
  name: string,
  durability: Durability,
  options: OpenOptions = {},
): BlockLog {
  if (durability === "memory") {
    const db = new Database(":memory:", { strict: true });
    prepareTables(db);
    return new SqliteLog({ db, mend: undefined, repairs: [], unlock: () => {} });
  }
  const file = join(directory, name);
  try {
    if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o700 });
    else if (!statSync(directory).isDirectory()) throw new Error(`${directory} is not a directory`);
    const unlock = lockFile(`${file}.lock`);
    try {
      return openFile(file, durability, options, unlock);
    } catch (error) {
      unlock();
      throw error;
    }
  } catch (error) {
    throw explain("open", error, file);
  }
}

/** Opens what an agent may be writing at this moment, to look only. Throws as openBlockLog() does. */
export function openBlockLogReadOnly(directory: string, name: string): BlockLog {
  const file = join(directory, name);
  try {
    if (!existsSync(file)) throw new Error("there is no such file");
    const { db, close } = openToLook(file);
    try {
      const format = readFormat(db);
      // An older one lacks what is asked of it here.
      if (format < PLACES_SINCE || format > FORMAT) {
        const allowed = `must be ${PLACES_SINCE} to ${FORMAT}: the agent brings an older one up to date when it is started`;
        throw new LogRefusal(`its format is ${format}, ${allowed}`);
      }
      return new SqliteLog({ db, file, isReadOnly: true, mend: undefined, repairs: [], unlock: close });
    } catch (error) {
      db.close();
      close();
      throw error;
    }
  } catch (error) {
    throw explain("read", error, file);
  }
}

function openFile(file: string, durability: Durability, options: OpenOptions, unlock: () => void): BlockLog {
  const { owner, adopt, onRepair, clock = Date.now } = options;
  finishSalvage(file, clock());
  const mend = (reason: string, known: Known): Repair => {
    const repair = salvage(file, reason, known, { adopt, owner, nowMs: clock() });
    onRepair?.(repair);
    return repair;
  };
  const fault = checkFile(file, owner);
  const repairs = fault === undefined ? [] : [mend(fault.reason, fault.known)];
  try {
    return openSound(file, durability, owner, { repairs, mend, unlock });
  } catch (error) {
    // What the check was too short to see.
    if (!isDamage(error) || repairs.length > 0) throw error;
    const repair = mend((error as Error).message, "as-read");
    return openSound(file, durability, owner, { repairs: [repair], mend, unlock });
  }
}

type Around = {
  readonly repairs: readonly Repair[];
  readonly mend: (reason: string, known: Known) => Repair;
  readonly unlock: () => void;
};

function openSound(
  file: string,
  durability: Durability,
  owner: string | undefined,
  { repairs, mend, unlock }: Around,
): BlockLog {
  let db = openDatabase(file, durability);
  try {
    const log = new SqliteLog({
      db,
      file,
      syncs: durability === "fsync",
      repairs,
      unlock,
      beforeClose: (self) => self.write(() => self.setValue(OPEN, "0")),
      mend: (reason, values) => {
        db.close();
        const repair = mend(reason, values);
        db = openDatabase(file, durability);
        return { db, repair };
      },
    });
    log.write(() => {
      if (owner !== undefined) log.setValue(OWNER, owner);
      log.setValue(OPEN, "1");
    });
    return log;
  } catch (error) {
    db.close();
    throw error;
  }
}

function openDatabase(file: string, durability: Durability): Database {
  const db = new Database(file, { create: true, strict: true });
  try {
    prepareTables(db);
    db.run("PRAGMA journal_mode = WAL");
    db.run(`PRAGMA journal_size_limit = ${WAL_BYTES_KEPT}`);
    db.run(`PRAGMA synchronous = ${durability === "fsync" ? "FULL" : "NORMAL"}`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** One agent owns the log: a second one that is started by mistake stops here instead of writing between the lines. */
function lockFile(file: string): () => void {
  const lock = () => {
    const db = new Database(file, { create: true, strict: true });
    try {
      db.run("PRAGMA locking_mode = EXCLUSIVE");
      db.run("BEGIN EXCLUSIVE");
    } catch (error) {
      db.close();
      throw error;
    }
    return () => db.close();
  };
  try {
    return lock();
  } catch (error) {
    if (!isDamage(error)) throw error;
    // There is nothing in it.
    rmSync(file);
    return lock();
  }
}

function explain(action: string, error: unknown, file: string): Error {
  const sentence = `cannot ${action} ${file}: ${describeFault(error, file)}`;
  return error instanceof LogRefusal ? new LogRefusal(sentence) : new Error(sentence);
}
