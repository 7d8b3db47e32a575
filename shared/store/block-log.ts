// The durable log of contents that both agents use: the journal on the send side, the spool on the recv side.
// One SQLite file in WAL mode: rows are appended, read in order and deleted from the front; small values live beside
// them and change in the same transaction. What is not one of those three things is refused by not existing.
import { Database } from "bun:sqlite";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
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

const SCHEMA_VERSION = 1;
const SCHEMA = `
CREATE TABLE block (
  id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
  skip INTEGER NOT NULL, time_ms INTEGER NOT NULL, clock_difference_ms INTEGER NOT NULL,
  checksum INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE TABLE value (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA user_version = ${SCHEMA_VERSION};
`;

type StoredRow = LogRow & { checksum: number };

export class BlockLog {
  readonly #db: Database;
  readonly #insert;
  readonly #read;
  readonly #setValue;
  #bytes: number;
  #rows: number;

  /** Opens or creates `directory`/`name`. Throws an Error with a sentence for a person when it cannot. */
  static open(directory: string, name: string, durability: Durability): BlockLog {
    if (durability === "memory") return new BlockLog(new Database(":memory:", { strict: true }), durability);
    const file = join(directory, name);
    try {
      if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o700 });
      return new BlockLog(new Database(file, { create: true, strict: true }), durability);
    } catch (error) {
      throw new Error(`cannot open ${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private constructor(db: Database, durability: Durability) {
    this.#db = db;
    // One agent owns the file: a second one that is started by mistake stops here instead of writing between the lines.
    db.run("PRAGMA locking_mode = EXCLUSIVE");
    db.run("PRAGMA journal_mode = WAL");
    db.run(`PRAGMA synchronous = ${durability === "fsync" ? "FULL" : "NORMAL"}`);
    const version = db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
    if (version === 0) db.run(SCHEMA);
    else if (version !== SCHEMA_VERSION)
      throw new Error(`its format is ${version}, this agent knows ${SCHEMA_VERSION}`);
    this.#insert = db.query(
      "INSERT INTO block (stream, first, count, skip, time_ms, clock_difference_ms, checksum, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#read = db.query<StoredRow, [number, number]>(
      `SELECT id, stream, first, count, skip, time_ms AS timeMs, clock_difference_ms AS clockDifferenceMs, checksum, content
       FROM block WHERE id > ? ORDER BY id LIMIT ?`,
    );
    this.#setValue = db.query(
      "INSERT INTO value VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    const sums = db.query<{ n: number; bytes: number | null }, []>(
      "SELECT count(*) AS n, sum(length(content)) AS bytes FROM block",
    );
    const sum = sums.get();
    this.#rows = sum?.n ?? 0;
    this.#bytes = sum?.bytes ?? 0;
  }

  /** Content bytes in the log. */
  get bytes(): number {
    return this.#bytes;
  }

  get rows(): number {
    return this.#rows;
  }

  /** Runs `work` in one transaction: all of it is kept or nothing. Throws what SQLite throws (disk full, I/O error). */
  write(work: () => void): void {
    const { rows, bytes } = { rows: this.#rows, bytes: this.#bytes };
    this.#db.run("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.run("COMMIT");
    } catch (error) {
      this.#rows = rows;
      this.#bytes = bytes;
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
      throw error;
    }
  }

  /** Appends a row; its id is greater than that of every row before. Only inside write(). */
  append(row: NewRow): number {
    const checksum = crc32(row.content);
    const { stream, first, count, skip, timeMs, clockDifferenceMs, content } = row;
    const result = this.#insert.run(stream, first, count, skip, timeMs, clockDifferenceMs, checksum, content);
    this.#rows++;
    this.#bytes += content.length;
    return Number(result.lastInsertRowid);
  }

  /** The rows after `id`, at most `limit`, in order. A row whose content was altered on disk comes with `intact` false. */
  read(afterId: number, limit: number): (LogRow & { readonly intact: boolean })[] {
    return this.#read
      .all(afterId, limit)
      .map(({ checksum, ...row }) => ({ ...row, intact: crc32(row.content) === checksum }));
  }

  /** Messages in the rows after `id`: sequences less those that are skipped. */
  messagesAfter(id: number): number {
    const query = "SELECT sum(count - skip) AS n FROM block WHERE id > ?";
    return this.#db.query<{ n: number | null }, [number]>(query).get(id)?.n ?? 0;
  }

  /** The lowest sequence of the stream in the log. */
  firstSequence(stream: number): number | undefined {
    const query = "SELECT first FROM block WHERE stream = ? ORDER BY id LIMIT 1";
    return this.#db.query<{ first: number }, [number]>(query).get(stream)?.first;
  }

  /** Id of the last of the `limit` oldest rows that are not after `lastId`; undefined when there is none. */
  oldest(limit: number, lastId: number): number | undefined {
    const query = "SELECT max(id) AS id FROM (SELECT id FROM block WHERE id <= ? ORDER BY id LIMIT ?)";
    return this.#db.query<{ id: number | null }, [number, number]>(query).get(lastId, limit)?.id ?? undefined;
  }

  /** Deletes the rows up to and including `id`. Only inside write(). */
  deleteTo(id: number): void {
    const query = "SELECT count(*) AS n, sum(length(content)) AS bytes FROM block WHERE id <= ?";
    const gone = this.#db.query<{ n: number; bytes: number | null }, [number]>(query).get(id);
    if (!gone?.n) return;
    this.#db.query("DELETE FROM block WHERE id <= ?").run(id);
    this.#rows -= gone.n;
    this.#bytes -= gone.bytes ?? 0;
  }

  /** Id of the last row ever appended, 0 when there was none. */
  get lastId(): number {
    const row = this.#db
      .query<{ seq: number }, []>("SELECT seq FROM sqlite_sequence WHERE name = 'block'")
      .get();
    return row?.seq ?? 0;
  }

  value(name: string): string | undefined {
    const row = this.#db
      .query<{ value: string }, [string]>("SELECT value FROM value WHERE name = ?")
      .get(name);
    return row?.value;
  }

  /** All values whose name begins with `prefix`, without the prefix. */
  values(prefix: string): Map<string, string> {
    const query = "SELECT name, value FROM value WHERE substr(name, 1, ?) = ?";
    const rows = this.#db
      .query<{ name: string; value: string }, [number, string]>(query)
      .all(prefix.length, prefix);
    return new Map(rows.map((row) => [row.name.slice(prefix.length), row.value]));
  }

  /** Only inside write(). */
  setValue(name: string, value: string): void {
    this.#setValue.run(name, value);
  }

  /** Makes the next write() survive a power cut whatever the durability: for promises such as "never used again". */
  writeDurably(work: () => void): void {
    const before = this.#db.query<{ synchronous: number }, []>("PRAGMA synchronous").get()?.synchronous ?? 2;
    this.#db.run("PRAGMA synchronous = FULL");
    try {
      this.write(work);
    } finally {
      this.#db.run(`PRAGMA synchronous = ${before}`);
    }
  }

  close(): void {
    this.#db.close();
  }
}
