// A log in one SQLite file in WAL mode. What the disk gives back altered comes as a row that says so; what it does not
// give back at all makes the file be mended while the agent runs, so that one bad page never ends the agent.
import type { Database } from "bun:sqlite";
import type { BlockLog, LogRow, NewRow, ReadRow, Repair } from "./block-log.ts";
import { sumRow, sumValue } from "./checksum.ts";
import { isDamage } from "./fault.ts";
import { RowReader } from "./row-reader.ts";

/** Free pages that are worth giving back, and pages given back at a time. */
const FREE_PAGES_MIN = 4096;
const SHRINK_PAGES = 2048;
/** A disk that needs more than that in one run is beyond help. */
const MENDS_MAX = 3;

export type Opened = {
  readonly db: Database;
  /** Replaces a file that cannot be read any more; undefined where nothing can be done. */
  readonly mend:
    | ((reason: string, values: ReadonlyMap<string, string>) => { db: Database; repair: Repair })
    | undefined;
  readonly repairs: readonly Repair[];
  /** The last that is written. */
  readonly beforeClose?: (log: BlockLog) => void;
  /** Releases what close() must release besides the database. */
  readonly unlock: () => void;
};

export class SqliteLog implements BlockLog {
  readonly #opened: Opened;
  readonly #repairs: Repair[];
  #db: Database;
  #rows: RowReader;
  #mends = 0;
  #bytes = 0;
  #lastId = 0;
  #change = 0;
  /** All values, so that no page of the file that goes bad can take one away while the agent runs. */
  readonly #values = new Map<string, string>();
  /** What the transaction that is under way has changed of them. */
  readonly #changed = new Map<string, string | undefined>();

  constructor(opened: Opened) {
    this.#opened = opened;
    this.#repairs = [...opened.repairs];
    this.#db = opened.db;
    this.#rows = new RowReader(this.#db);
    this.#measure();
    const rows = this.#db.query<{ name: string; value: string }, []>("SELECT name, value FROM value").all();
    for (const { name, value } of rows) this.#values.set(name, value);
  }

  get bytes(): number {
    return this.#bytes;
  }

  get lastId(): number {
    return this.#lastId;
  }

  get repairs(): readonly Repair[] {
    return this.#repairs;
  }

  write(work: () => void): void {
    const { bytes, lastId, change } = { bytes: this.#bytes, lastId: this.#lastId, change: this.#change };
    this.#db.run("BEGIN IMMEDIATE");
    try {
      this.#change++;
      work();
      this.#db.run("COMMIT");
      for (const [name, value] of this.#changed) {
        if (value === undefined) this.#values.delete(name);
        else this.#values.set(name, value);
      }
      this.#changed.clear();
    } catch (error) {
      this.#bytes = bytes;
      this.#lastId = lastId;
      this.#change = change;
      this.#changed.clear();
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
      // The caller tries again in its own time, on the file that was mended meanwhile.
      if (isDamage(error)) this.#mend(error);
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
    const id = this.#lastId + 1;
    const { stream, first, count, skip, timeMs, clockDifferenceMs, content } = row;
    this.#db
      .query("INSERT INTO block VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .run(id, stream, first, count, skip, timeMs, clockDifferenceMs, sumRow({ ...row, id }), content);
    this.#bytes += content.length;
    this.#lastId = id;
    return id;
  }

  read(afterId: number, limit: number): ReadRow[] {
    return this.#tryTwice(() => this.#rows.after(afterId, limit));
  }

  readStream(stream: number, sequence: number, limit: number): ReadRow[] {
    return this.#tryTwice(() => this.#rows.ofStream(stream, sequence, limit));
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
    const row = this.#tryTwice(() =>
      this.#db
        .query<{ first: number | null; end: number | null }, number[]>(query)
        .get(stream, sinceMs, untilMs),
    );
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

  oldest(limit: number, beforeId: number, beforeMs = Number.MAX_SAFE_INTEGER): number | undefined {
    return this.#number(
      `WITH head AS (SELECT id, time_ms FROM block WHERE id < ? ORDER BY id LIMIT ?)
       SELECT max(id) AS n FROM head WHERE id < ifnull((SELECT min(id) FROM head WHERE time_ms >= ?), id + 1)`,
      beforeId,
      limit,
      beforeMs,
    );
  }

  deleteTo(id: number): void {
    this.deleteBetween(0, id);
  }

  deleteBetween(firstId: number, lastId: number): void {
    const sum = "SELECT sum(length(content)) AS n FROM block WHERE id BETWEEN ? AND ?";
    const gone = this.#db.query<{ n: number | null }, number[]>(sum).get(firstId, lastId)?.n;
    if (gone == null) return;
    this.#db.query("DELETE FROM block WHERE id BETWEEN ? AND ?").run(firstId, lastId);
    this.#bytes -= gone;
  }

  value(name: string): string | undefined {
    return this.#changed.has(name) ? this.#changed.get(name) : this.#values.get(name);
  }

  values(prefix: string): Map<string, string> {
    const found = new Map<string, string>();
    for (const [name, value] of [...this.#values, ...this.#changed]) {
      if (!name.startsWith(prefix)) continue;
      if (value === undefined) found.delete(name.slice(prefix.length));
      else found.set(name.slice(prefix.length), value);
    }
    return found;
  }

  setValue(name: string, value: string): void {
    const sum = sumValue(name, value, this.#change);
    this.#db.query("INSERT OR REPLACE INTO value VALUES (?, ?, ?, ?)").run(name, value, this.#change, sum);
    this.#changed.set(name, value);
  }

  deleteValue(name: string): void {
    this.#db.query("DELETE FROM value WHERE name = ?").run(name);
    this.#changed.set(name, undefined);
  }

  /** Only while at least half of the file is unused: what is full again tomorrow need not be returned today. */
  rest(): void {
    const pragma = (name: string) =>
      this.#db.query<Record<string, number>, []>(`PRAGMA ${name}`).get()?.[name] ?? 0;
    const free = pragma("freelist_count");
    if (free < FREE_PAGES_MIN || free * 2 < pragma("page_count")) return;
    this.#db.query(`PRAGMA incremental_vacuum(${SHRINK_PAGES})`).all();
  }

  close(): void {
    try {
      this.#opened.beforeClose?.(this);
    } catch {
      // A disk that is full must not keep the agent from ending.
    }
    this.#db.close();
    this.#opened.unlock();
  }

  #measure(): void {
    const number = (query: string) => this.#db.query<{ n: number | null }, []>(query).get()?.n ?? 0;
    this.#bytes = number("SELECT sum(length(content)) AS n FROM block");
    this.#lastId = number("SELECT seq AS n FROM sqlite_sequence WHERE name = 'block'");
    this.#change = number("SELECT max(change) AS n FROM value");
  }

  #number(query: string, ...values: number[]): number | undefined {
    return this.#tryTwice(
      () => this.#db.query<{ n: number | null }, number[]>(query).get(...values)?.n ?? undefined,
    );
  }

  /** A second time on the mended file, when the first time met damage. */
  #tryTwice<Result>(read: () => Result): Result {
    try {
      return read();
    } catch (error) {
      if (!isDamage(error) || this.#db.inTransaction) throw error;
      this.#mend(error);
      return read();
    }
  }

  #mend(error: unknown): void {
    const { mend } = this.#opened;
    if (mend === undefined || this.#mends >= MENDS_MAX) throw error;
    this.#mends++;
    const { db, repair } = mend(error instanceof Error ? error.message : String(error), this.#values);
    this.#db = db;
    this.#rows = new RowReader(db);
    this.#repairs.push(repair);
    this.#measure();
  }
}

/** A row whose id is known already, as a salvage finds it. Only inside a transaction. */
export function insertRow(db: Database, row: LogRow, checksum: number): void {
  const { id, stream, first, count, skip, timeMs, clockDifferenceMs, content } = row;
  db.query(
    `INSERT INTO block VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE
     SET checksum = excluded.checksum, content = excluded.content WHERE length(excluded.content) > length(content)`,
  ).run(id, stream, first, count, skip, timeMs, clockDifferenceMs, checksum, content);
}
