// A log in one SQLite file in WAL mode, with large contents in files beside it (segments.ts). What the disk gives back altered comes
// as a row that says so; what it does not give back at all makes the file be mended while the agent runs, so that one bad page
// never ends the agent.
import type { Database } from "bun:sqlite";
import type { BlockLog, LogRow, NewRow, Place, Preparation, ReadRow, Repair } from "./block-log.ts";
import { sumRow, sumValue } from "./checksum.ts";
import { isDamage, nameWriteFault } from "./fault.ts";
import { RowReader } from "./row-reader.ts";
import { BYTES, countBytes, LAST_ID, readNumber } from "./schema.ts";
import { SegmentReader } from "./segment-reader.ts";
import { IN_DATABASE, type RowsMoved, SEGMENT_CONTENT_BYTES_MIN, Segments } from "./segments.ts";

/** Free pages that are worth giving back, and pages given back at a time. */
const FREE_PAGES_MIN = 4096;
const SHRINK_PAGES = 2048;
/** A disk that needs more than that in one run is beyond help. */
const MENDS_MAX = 3;

export type Opened = {
  readonly db: Database;
  /** The database's file, beside which large contents lie; undefined when all are in it. */
  readonly file?: string;
  /** Nothing is to be written, deleted or given back. */
  readonly isReadOnly?: boolean;
  /** Contents survive a power cut as soon as they are committed. */
  readonly syncs?: boolean;
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
  #segments: Segments | undefined;
  #reader: SegmentReader | undefined;
  /** Rows that this transaction has put into segments, and taken out of them. */
  readonly #moved: RowsMoved[] = [];
  /** Places of prepared contents that this transaction has used. */
  readonly #used: Place[] = [];

  constructor(opened: Opened) {
    this.#opened = opened;
    this.#repairs = [...opened.repairs];
    this.#db = opened.db;
    const rows = this.#db.query<{ name: string; value: string }, []>("SELECT name, value FROM value").all();
    for (const { name, value } of rows) this.#values.set(name, value);
    this.#rows = this.#measure();
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
    this.#write(work, this.#opened.syncs === true);
  }

  #write(work: () => void, syncs: boolean): void {
    const { bytes, lastId, change } = { bytes: this.#bytes, lastId: this.#lastId, change: this.#change };
    this.#db.run("BEGIN IMMEDIATE");
    this.#segments?.begin(syncs);
    try {
      this.#change++;
      work();
      if (this.#bytes !== bytes) this.setValue(BYTES, String(this.#bytes));
      if (this.#lastId !== lastId) this.setValue(LAST_ID, String(this.#lastId));
      if (syncs) tell(() => this.#segments?.sync());
      this.#db.run("COMMIT");
      this.#segments?.keep(this.#moved);
      for (const place of this.#used) this.#segments?.takePrepared(place);
      this.#moved.length = 0;
      this.#used.length = 0;
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
      this.#segments?.abandon();
      this.#moved.length = 0;
      this.#used.length = 0;
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
      this.#write(work, true);
    } finally {
      this.#db.run(`PRAGMA synchronous = ${before}`);
    }
  }

  append(row: NewRow): number {
    const id = this.#lastId + 1;
    const place = this.#prepared(row.place) ?? this.#place(row.content);
    insertRow(this.#db, { ...row, id }, place, sumRow({ ...row, id }, place));
    this.#bytes += row.content.length;
    this.#lastId = id;
    return id;
  }

  prepare(contents: readonly Uint8Array[], onDone: (error?: unknown) => void): Preparation | undefined {
    const segments = this.#opened.syncs === true ? this.#segments : undefined;
    const way = tell(() =>
      segments?.prepare(contents, (error) => onDone(error === undefined ? undefined : nameWriteFault(error))),
    );
    if (way === undefined) return undefined;
    return {
      places: way.places,
      finish: () => tell(() => way.finish()),
      get isDone() {
        return way.isDone;
      },
    };
  }

  /** The place, if what was prepared there is still to be had: a file that was mended meanwhile knows nothing of it. */
  #prepared(place: Place | undefined): Place | undefined {
    if (place === undefined || this.#segments?.isPrepared(place) !== true) return undefined;
    this.#moved.push({ segment: place.segment, rows: 1 });
    this.#used.push(place);
    return place;
  }

  #place(content: Uint8Array): Place {
    const segments = this.#segments;
    if (segments === undefined || content.length < SEGMENT_CONTENT_BYTES_MIN) return IN_DATABASE;
    const place = tell(() => segments.append(content));
    this.#moved.push({ segment: place.segment, rows: 1 });
    return place;
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
    const query = "SELECT sum(count - skip) AS n FROM block WHERE stream = ? AND first >= ?";
    return this.#number(query, stream, sequence) ?? 0;
  }

  countSequences(stream: number, sequence: number): number {
    const query = "SELECT sum(count) AS n FROM block WHERE stream = ? AND first >= ?";
    return this.#number(query, stream, sequence) ?? 0;
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
    const gone = this.#sumSegments("WHERE id BETWEEN ? AND ?", firstId, lastId);
    if (gone.length === 0) return;
    this.#db.query("DELETE FROM block WHERE id BETWEEN ? AND ?").run(firstId, lastId);
    for (const { segment, rows, bytes } of gone) {
      this.#bytes -= bytes;
      if (segment > 0) this.#moved.push({ segment, rows: -rows });
    }
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
    // A database that the power takes back to before rows were deleted must still find their contents.
    this.#segments?.sweep(() => this.#db.query("PRAGMA wal_checkpoint(PASSIVE)").all());
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
    this.#segments?.close();
    this.#reader?.close();
    this.#opened.unlock();
  }

  #measure(): RowReader {
    const { file, isReadOnly = false } = this.#opened;
    const query = "SELECT segment, count(*) AS rows FROM block WHERE segment > 0 GROUP BY segment";
    const segments = this.#db.query<{ segment: number; rows: number }, []>(query).all();
    this.#segments?.close();
    this.#reader?.close();
    const rows = new Map(segments.map((each) => [each.segment, each.rows]));
    this.#segments = file === undefined || isReadOnly ? undefined : new Segments(file, rows);
    this.#reader = file !== undefined && isReadOnly ? new SegmentReader(file) : undefined;
    this.#bytes = Number(this.#values.get(BYTES) ?? countBytes(this.#db));
    this.#lastId = Number(
      this.#values.get(LAST_ID) ?? readNumber(this.#db, "SELECT max(id) AS n FROM block"),
    );
    this.#change = readNumber(this.#db, "SELECT max(change) AS n FROM value");
    return new RowReader(this.#db, this.#segments ?? this.#reader);
  }

  /** Rows and content bytes in each segment; segment 0 is the database. */
  #sumSegments(where: string, ...values: number[]): { segment: number; rows: number; bytes: number }[] {
    return this.#db
      .query<{ segment: number; rows: number; bytes: number }, number[]>(
        `SELECT segment, count(*) AS rows, sum(length(content) + bytes) AS bytes FROM block ${where} GROUP BY segment`,
      )
      .all(...values);
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
    // The file that has taken its place has fewer rows, perhaps, and further ids.
    for (const name of [BYTES, LAST_ID]) {
      const query = "SELECT value FROM value WHERE name = ?";
      const value = db.query<{ value: string }, [string]>(query).get(name)?.value;
      if (value !== undefined) this.#values.set(name, value);
    }
    this.#repairs.push(repair);
    this.#rows = this.#measure();
  }
}

/**
 * A row whose id is known: a new one, which must not be there yet, or as a salvage finds it, in one or several versions. Only
 * inside a transaction.
 */
export function insertRow(
  db: Database,
  row: LogRow,
  place: Place,
  checksum: number,
  otherwise: "ABORT" | "IGNORE" | "REPLACE" = "ABORT",
): void {
  const { id, stream, first, count, skip, timeMs, clockDifferenceMs } = row;
  const { segment, at, bytes } = place;
  const content = segment === 0 ? row.content : NOTHING;
  db.query(`INSERT OR ${otherwise} INTO block VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).run(
    ...[id, stream, first, count, skip, timeMs, clockDifferenceMs, checksum, content, segment, at, bytes],
  );
}

function tell<Result>(write: () => Result): Result {
  try {
    return write();
  } catch (error) {
    throw nameWriteFault(error);
  }
}

const NOTHING = new Uint8Array(0);
