// The durable log of contents that both agents use: the journal on the send side, the spool on the recv side.
// One SQLite file in WAL mode: rows are appended, read in order and deleted from the front; small values live beside
// them and change in the same transaction. What is not one of those three things is refused by not existing.
import { Database } from "bun:sqlite";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";

/** `fsync` survives a power cut, `os` survives the death of the process, `memory` survives nothing. */
export type Durability = "fsync" | "os" | "memory";

export type LogRow = {
  readonly id: number;
  readonly stream: number;
  /** First sequence of the content. */
  readonly first: number;
  /** Sequences that the content covers. */
  readonly count: number;
  /** Frames' sequences at the beginning that are not to be used. */
  readonly skip: number;
  /** When the agent wrote it, its clock, milliseconds since 1970. */
  readonly timeMs: number;
  /** What to add to a time in the content to get this agent's clock, milliseconds. */
  readonly clockDifferenceMs: number;
  readonly content: Uint8Array;
};

export type NewRow = Omit<LogRow, "id">;
/** A row as it was read: `intact` is false when its content is not what was written. */
export type ReadRow = LogRow & { readonly intact: boolean };

/** What the agents need of a log. The simulator has one in memory that can lose what was not made durable. */
export type BlockLog = {
  /** Content bytes in the log. */
  readonly bytes: number;
  /** Id of the last row ever appended, 0 when there was none. */
  readonly lastId: number;
  /** Runs `work` in one transaction: all of it is kept or nothing. Throws what the disk says (full, I/O error). */
  write(work: () => void): void;
  /** As write(), but survives a power cut whatever the durability: for promises such as "never used again". */
  writeDurably(work: () => void): void;
  /** Appends a row; its id is one more than that of the row before. Only inside write(). */
  append(row: NewRow): number;
  /** Rows after `id`, at most `limit`, in order. */
  read(afterId: number, limit: number): ReadRow[];
  /** Rows of a stream that begin at `sequence` or later, at most `limit`, in order. */
  readStream(stream: number, sequence: number, limit: number): ReadRow[];
  /** Id of the first row of the stream that begins at `sequence` or later. */
  findRow(stream: number, sequence: number): number | undefined;
  /** The first sequence of the first row of the stream whose sequences end after `sequence`; the lowest one by default. */
  firstSequence(stream: number, sequence?: number): number | undefined;
  /** The sequences of the stream that were written from `sinceMs` to `untilMs`: the first, and one past the last. */
  sequencesBetween(
    stream: number,
    sinceMs: number,
    untilMs: number,
  ): { first: number; end: number } | undefined;
  /** Messages of the stream in rows that begin at `sequence` or later. */
  countMessages(stream: number, sequence: number): number;
  /** Id of the last of the `limit` oldest rows that are before `beforeId`; undefined when there is none. */
  oldest(limit: number, beforeId: number): number | undefined;
  /** Deletes the rows up to and including `id`. Only inside write(). */
  deleteTo(id: number): void;
  /** Deletes the rows from `firstId` to `lastId`, both included. Only inside write(). */
  deleteBetween(firstId: number, lastId: number): void;
  value(name: string): string | undefined;
  /** All values whose name begins with `prefix`, without the prefix. */
  values(prefix: string): Map<string, string>;
  /** Only inside write(). */
  setValue(name: string, value: string): void;
  /** Only inside write(). */
  deleteValue(name: string): void;
  close(): void;
};

const SCHEMA_VERSION = 1;
const SCHEMA = `
CREATE TABLE block (
  id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
  skip INTEGER NOT NULL, time_ms INTEGER NOT NULL, clock_difference_ms INTEGER NOT NULL,
  checksum INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE INDEX block_sequence ON block (stream, first);
CREATE TABLE value (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA user_version = ${SCHEMA_VERSION};
`;

type StoredRow = LogRow & { checksum: number };

const COLUMNS =
  "id, stream, first, count, skip, time_ms AS timeMs, clock_difference_ms AS clockDifferenceMs, checksum, content";

/**
 * Opens or creates `directory`/`name`, for this process alone. Throws an Error with a sentence for a person when it
 * cannot.
 */
export function openBlockLog(directory: string, name: string, durability: Durability): BlockLog {
  if (durability === "memory") {
    const db = new Database(":memory:", { strict: true });
    return new SqliteLog(db, durability, () => {});
  }
  const file = join(directory, name);
  try {
    if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o700 });
    const unlock = lockFile(`${file}.lock`);
    try {
      return new SqliteLog(new Database(file, { create: true, strict: true }), durability, unlock);
    } catch (error) {
      unlock();
      throw error;
    }
  } catch (error) {
    throw new Error(`cannot open ${file}: ${describe(error, file)}`);
  }
}

/** Opens what an agent may be writing at this moment, to look only. Throws as openBlockLog() does. */
export function openBlockLogReadOnly(directory: string, name: string): BlockLog {
  const file = join(directory, name);
  try {
    if (!existsSync(file)) throw new Error("there is no such file");
    return new SqliteLog(new Database(file, { readonly: true, strict: true }), "os", () => {}, true);
  } catch (error) {
    throw new Error(`cannot read ${file}: ${describe(error, file)}`);
  }
}

/** One agent owns the log: a second one that is started by mistake stops here instead of writing between the lines. */
function lockFile(file: string): () => void {
  const db = new Database(file, { create: true, strict: true });
  try {
    db.run("PRAGMA locking_mode = EXCLUSIVE");
    db.run("BEGIN EXCLUSIVE");
  } catch (error) {
    db.close();
    throw error;
  }
  return () => db.close();
}

function describe(error: unknown, file: string): string {
  const { code, message } = error as { code?: string; message?: string };
  if (code === "SQLITE_BUSY") return "another process has it open: is the agent running already?";
  if (code === "SQLITE_CANTOPEN") return `${dirname(file)} is not there or may not be written`;
  if (code === "SQLITE_READONLY") return "it may not be written";
  if (code === "SQLITE_NOTADB") return "it is not a Tidegate log";
  return message ?? String(error);
}

class SqliteLog implements BlockLog {
  readonly #db: Database;
  readonly #unlock: () => void;
  readonly #insert;
  readonly #read;
  readonly #readStream;
  readonly #setValue;
  #bytes: number;
  #lastId: number;

  constructor(db: Database, durability: Durability, unlock: () => void, readOnly = false) {
    this.#db = db;
    this.#unlock = unlock;
    if (!readOnly) {
      db.run("PRAGMA journal_mode = WAL");
      db.run(`PRAGMA synchronous = ${durability === "fsync" ? "FULL" : "NORMAL"}`);
    }
    const version = db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
    if (version === 0 && !readOnly) db.run(SCHEMA);
    else if (version !== SCHEMA_VERSION)
      throw new Error(`its format is ${version}, this agent knows ${SCHEMA_VERSION}`);
    this.#insert = db.query(
      "INSERT INTO block (stream, first, count, skip, time_ms, clock_difference_ms, checksum, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#read = db.query<StoredRow, [number, number]>(
      `SELECT ${COLUMNS} FROM block WHERE id > ? ORDER BY id LIMIT ?`,
    );
    this.#readStream = db.query<StoredRow, [number, number, number]>(
      `SELECT ${COLUMNS} FROM block WHERE stream = ? AND first >= ? ORDER BY first LIMIT ?`,
    );
    this.#setValue = db.query(
      "INSERT INTO value VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    const sums = db.query<{ bytes: number | null }, []>("SELECT sum(length(content)) AS bytes FROM block");
    this.#bytes = sums.get()?.bytes ?? 0;
    const last = db.query<{ seq: number }, []>("SELECT seq FROM sqlite_sequence WHERE name = 'block'");
    this.#lastId = last.get()?.seq ?? 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get lastId(): number {
    return this.#lastId;
  }

  write(work: () => void): void {
    const { bytes, lastId } = { bytes: this.#bytes, lastId: this.#lastId };
    this.#db.run("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.run("COMMIT");
    } catch (error) {
      this.#bytes = bytes;
      this.#lastId = lastId;
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
      throw error;
    }
  }

  writeDurably(work: () => void): void {
    const before = this.#db.query<{ synchronous: number }, []>("PRAGMA synchronous").get()?.synchronous ?? 2;
    this.#db.run("PRAGMA synchronous = FULL");
    try {
      this.write(work);
    } finally {
      this.#db.run(`PRAGMA synchronous = ${before}`);
    }
  }

  append(row: NewRow): number {
    const checksum = crc32(row.content);
    const { stream, first, count, skip, timeMs, clockDifferenceMs, content } = row;
    const result = this.#insert.run(stream, first, count, skip, timeMs, clockDifferenceMs, checksum, content);
    this.#bytes += content.length;
    this.#lastId = Number(result.lastInsertRowid);
    return this.#lastId;
  }

  read(afterId: number, limit: number): ReadRow[] {
    return this.#read.all(afterId, limit).map(verify);
  }

  readStream(stream: number, sequence: number, limit: number): ReadRow[] {
    return this.#readStream.all(stream, sequence, limit).map(verify);
  }

  findRow(stream: number, sequence: number): number | undefined {
    return this.#number(
      "SELECT id AS n FROM block WHERE stream = ? AND first >= ? ORDER BY first LIMIT 1",
      stream,
      sequence,
    );
  }

  firstSequence(stream: number, sequence = 0): number | undefined {
    const before = this.#number(
      "SELECT max(first) AS n FROM block WHERE stream = ? AND first <= ? AND first + count > ?",
      stream,
      sequence,
      sequence,
    );
    if (before !== undefined) return before;
    return this.#number("SELECT min(first) AS n FROM block WHERE stream = ? AND first > ?", stream, sequence);
  }

  sequencesBetween(
    stream: number,
    sinceMs: number,
    untilMs: number,
  ): { first: number; end: number } | undefined {
    const query =
      "SELECT min(first) AS first, max(first + count) AS end FROM block WHERE stream = ? AND time_ms BETWEEN ? AND ?";
    const row = this.#db
      .query<{ first: number | null; end: number | null }, number[]>(query)
      .get(stream, sinceMs, untilMs);
    return row?.first == null || row.end === null ? undefined : { first: row.first, end: row.end };
  }

  countMessages(stream: number, sequence: number): number {
    return (
      this.#number(
        "SELECT sum(count - skip) AS n FROM block WHERE stream = ? AND first >= ?",
        stream,
        sequence,
      ) ?? 0
    );
  }

  oldest(limit: number, beforeId: number): number | undefined {
    return this.#number(
      "SELECT max(id) AS n FROM (SELECT id FROM block WHERE id < ? ORDER BY id LIMIT ?)",
      beforeId,
      limit,
    );
  }

  deleteTo(id: number): void {
    this.deleteBetween(0, id);
  }

  deleteBetween(firstId: number, lastId: number): void {
    const sum = "SELECT sum(length(content)) AS n FROM block WHERE id BETWEEN ? AND ?";
    const gone = this.#number(sum, firstId, lastId);
    if (gone === undefined) return;
    this.#db.query("DELETE FROM block WHERE id BETWEEN ? AND ?").run(firstId, lastId);
    this.#bytes -= gone;
  }

  value(name: string): string | undefined {
    const query = "SELECT value FROM value WHERE name = ?";
    return this.#db.query<{ value: string }, [string]>(query).get(name)?.value;
  }

  values(prefix: string): Map<string, string> {
    const query = "SELECT name, value FROM value WHERE substr(name, 1, ?) = ?";
    const rows = this.#db
      .query<{ name: string; value: string }, [number, string]>(query)
      .all(prefix.length, prefix);
    return new Map(rows.map((row) => [row.name.slice(prefix.length), row.value]));
  }

  setValue(name: string, value: string): void {
    this.#setValue.run(name, value);
  }

  deleteValue(name: string): void {
    this.#db.query("DELETE FROM value WHERE name = ?").run(name);
  }

  close(): void {
    this.#db.close();
    this.#unlock();
  }

  #number(query: string, ...values: number[]): number | undefined {
    return this.#db.query<{ n: number | null }, number[]>(query).get(...values)?.n ?? undefined;
  }
}

function verify({ checksum, ...row }: StoredRow): ReadRow {
  return { ...row, intact: crc32(row.content) === checksum };
}
