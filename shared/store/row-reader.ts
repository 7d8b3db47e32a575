// Reads rows. Where a page in between is damaged it goes on row by row, around what cannot be read: a row whose content
// is lost is given with `intact` false, one of which nothing is left is left out.
import type { Database, Statement } from "bun:sqlite";
import type { LogRow, ReadRow } from "./block-log.ts";
import { areFactsIntact, isContentIntact, type RowFacts } from "./checksum.ts";
import { isDamage } from "./fault.ts";
import { FACT_COLUMNS } from "./schema.ts";

type StoredRow = LogRow & { checksum: number };
type StoredFacts = RowFacts & { checksum: number };

const NOTHING = new Uint8Array(0);

export class RowReader {
  readonly #db: Database;
  readonly #after: Statement<StoredRow, [number, number]>;
  readonly #ofStream: Statement<StoredRow, [number, number, number]>;

  constructor(db: Database) {
    this.#db = db;
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
        const rows = verify(stored);
        const last = stored.at(-1);
        if (rows.length > 0 || last === undefined) return rows;
        from = last.id;
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      // The index knows the ids, too, and lies on other pages than the rows.
      const ids = this.#ids("WHERE id > ? ORDER BY id", id);
      return this.#readEach(ids, limit);
    }
  }

  /** Rows of the stream from `sequence` on, in order. Throws when not even the ids can be read. */
  ofStream(stream: number, sequence: number, limit: number): ReadRow[] {
    try {
      for (let from = sequence; ; ) {
        const stored = this.#ofStream.all(stream, from, limit);
        // An index that lies must not send the reader back to where it was.
        const rows = verify(stored).filter(({ first }) => first >= sequence);
        const last = stored.at(-1);
        if (rows.length > 0 || last === undefined) return rows;
        from = Math.max(from, last.first) + 1;
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      const ids = this.#ids("WHERE stream = ? AND first >= ? ORDER BY first", stream, sequence);
      return this.#readEach(ids, limit);
    }
  }

  #ids(where: string, ...values: number[]): number[] {
    const query = this.#db.query<{ id: number }, number[]>(
      `SELECT id FROM block INDEXED BY block_sequence ${where}`,
    );
    return query.all(...values).map(({ id }) => id);
  }

  /** Until `limit` rows are found: an empty answer would mean that there are none. */
  #readEach(ids: readonly number[], limit: number): ReadRow[] {
    const rows: ReadRow[] = [];
    for (const id of ids) {
      const row = this.#readOne(id);
      if (row !== undefined && rows.push(row) === limit) break;
    }
    return rows;
  }

  #readOne(id: number): ReadRow | undefined {
    const where = "FROM block WHERE id = ?";
    const row = tryRead(() =>
      this.#db.query<StoredRow, [number]>(`SELECT ${FACT_COLUMNS}, content ${where}`).get(id),
    );
    if (row) return verify([row])[0];
    const facts = tryRead(() =>
      this.#db.query<StoredFacts, [number]>(`SELECT ${FACT_COLUMNS} ${where}`).get(id),
    );
    return facts
      ? verify([{ ...facts, content: NOTHING }]).map((each) => ({ ...each, intact: false }))[0]
      : undefined;
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

/** Without rows whose sequences cannot be believed: where those belong there is a hole, which tells as much. */
function verify(rows: readonly StoredRow[]): ReadRow[] {
  return rows
    .filter((row) => areFactsIntact(row, row.checksum))
    .map(({ checksum, ...row }) => ({ ...row, intact: isContentIntact(row.content, checksum) }));
}
