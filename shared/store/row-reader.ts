// Reads rows. Where a page in between is damaged it goes on row by row, around what cannot be read: a row whose content
// is lost is given with `intact` false, one of which nothing is left is left out.
import type { Database, Statement } from "bun:sqlite";
import type { ReadRow } from "./block-log.ts";
import { areFactsIntact, isContentIntact, type RowFacts } from "./checksum.ts";
import { isDamage } from "./fault.ts";
import { FACT_COLUMNS } from "./schema.ts";
import type { ContentSource } from "./segment-reader.ts";

type StoredRow = RowFacts & { content: Uint8Array; checksum: number };
type StoredFacts = RowFacts & { checksum: number };

const NOTHING = new Uint8Array(0);

export class RowReader {
  readonly #db: Database;
  readonly #contents: ContentSource | undefined;
  readonly #after: Statement<StoredRow, [number, number]>;
  readonly #ofStream: Statement<StoredRow, [number, number, number]>;

  /** `contents` has those that are not in the database. */
  constructor(db: Database, contents: ContentSource | undefined) {
    this.#db = db;
    this.#contents = contents;
    this.#after = db.query(`SELECT ${FACT_COLUMNS}, content FROM block WHERE id > ? ORDER BY id LIMIT ?`);
    this.#ofStream = db.query(
      `SELECT ${FACT_COLUMNS}, content FROM block WHERE stream = ? AND first >= ? ORDER BY first LIMIT ?`,
    );
  }

  /** Rows after `id`, in order. Throws when not even the ids can be read. */
  after(id: number, limit: number): ReadRow[] {
    try {
      for (let from = id; ; ) {
        const stored = this.#after.all(from, limit);
        const rows = this.#verify(stored);
        const last = stored.at(-1);
        if (rows.length > 0 || last === undefined) return rows;
        from = last.id;
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      // The index knows all but the contents, too, and lies on other pages than the rows.
      return this.#readEach(this.#entries("WHERE id > ? ORDER BY id", id), limit);
    }
  }

  /** Rows of the stream from `sequence` on, in order. Throws when not even the ids can be read. */
  ofStream(stream: number, sequence: number, limit: number): ReadRow[] {
    try {
      for (let from = sequence; ; ) {
        const stored = this.#ofStream.all(stream, from, limit);
        // An index that lies must not send the reader back to where it was.
        const rows = this.#verify(stored).filter(({ first }) => first >= sequence);
        const last = stored.at(-1);
        if (rows.length > 0 || last === undefined) return rows;
        from = Math.max(from, last.first) + 1;
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      const where = "WHERE stream = ? AND first >= ? ORDER BY first";
      return this.#readEach(this.#entries(where, stream, sequence), limit);
    }
  }

  #entries(where: string, ...values: number[]): StoredFacts[] {
    const query = `SELECT ${FACT_COLUMNS} FROM block INDEXED BY block_sequence ${where}`;
    return this.#db.query<StoredFacts, number[]>(query).all(...values);
  }

  /** Until `limit` rows are found: an empty answer would mean that there are none. */
  #readEach(entries: readonly StoredFacts[], limit: number): ReadRow[] {
    const rows: ReadRow[] = [];
    for (const entry of entries) {
      const row = this.#readOne(entry);
      if (row !== undefined && rows.push(row) === limit) break;
    }
    return rows;
  }

  #readOne(entry: StoredFacts): ReadRow | undefined {
    const query = `SELECT ${FACT_COLUMNS}, content FROM block WHERE id = ?`;
    const row = tryRead(() => this.#db.query<StoredRow, [number]>(query).get(entry.id));
    const [read] = row ? this.#verify([row]) : [];
    if (read !== undefined) return read;
    // Of a row on a page that is lost the content is there all the same when it lies in a segment.
    const [told] = this.#verify([{ ...entry, content: NOTHING }]);
    return told && entry.segment === 0 ? { ...told, intact: false } : told;
  }

  /** Without rows whose sequences cannot be believed: where those belong there is a hole, which tells as much. */
  #verify(rows: readonly StoredRow[]): ReadRow[] {
    return rows
      .filter((row) => areFactsIntact(row, row.checksum))
      .map(({ checksum, segment, at, bytes, content: inside, ...row }) => {
        const content = segment === 0 ? inside : (this.#contents?.read({ segment, at, bytes }) ?? NOTHING);
        return { ...row, content, intact: isContentIntact(content, checksum) };
      });
  }
}

function tryRead<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}
