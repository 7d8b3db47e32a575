// What is on a fake disk at one moment: the rows and values of one log, and how single changes alter and undo them.
import type { LogRow, ReadRow } from "../../shared/store/block-log.ts";

export type Change =
  | { readonly type: "append"; readonly row: LogRow }
  | {
      readonly type: "delete";
      readonly firstId: number;
      readonly lastId: number;
      at: number;
      removed: ReadRow[];
    }
  | {
      readonly type: "value";
      readonly name: string;
      readonly value: string | undefined;
      before: string | undefined;
    };

export class DiskState {
  /** In order of their ids. */
  rows: ReadRow[];
  readonly values: Map<string, string>;
  lastId: number;
  bytes: number;
  readonly #streams = new Map<number, ReadRow[]>();

  constructor(from?: DiskState) {
    this.rows = from === undefined ? [] : [...from.rows];
    this.values = new Map(from?.values);
    this.lastId = from?.lastId ?? 0;
    this.bytes = from?.bytes ?? 0;
  }

  apply(change: Change): void {
    this.#streams.clear();
    if (change.type === "append") {
      this.rows.push({ ...change.row, intact: true });
      this.lastId = change.row.id;
      this.bytes += change.row.content.length;
    } else if (change.type === "delete") {
      const { rows } = this;
      let at = 0;
      while (at < rows.length && (rows[at]?.id ?? 0) < change.firstId) at++;
      let end = at;
      while (end < rows.length && (rows[end]?.id ?? 0) <= change.lastId) end++;
      change.at = at;
      change.removed = rows.splice(at, end - at);
      for (const row of change.removed) this.bytes -= row.content.length;
    } else {
      change.before = this.values.get(change.name);
      if (change.value === undefined) this.values.delete(change.name);
      else this.values.set(change.name, change.value);
    }
  }

  undo(change: Change): void {
    this.#streams.clear();
    if (change.type === "append") {
      this.rows.pop();
      this.lastId = change.row.id - 1;
      this.bytes -= change.row.content.length;
    } else if (change.type === "delete") {
      this.rows.splice(change.at, 0, ...change.removed);
      for (const row of change.removed) this.bytes += row.content.length;
    } else if (change.before === undefined) this.values.delete(change.name);
    else this.values.set(change.name, change.before);
  }

  /** The rows of a stream in order of their sequences. */
  stream(stream: number): readonly ReadRow[] {
    const known = this.#streams.get(stream);
    if (known !== undefined) return known;
    const rows = this.rows.filter((row) => row.stream === stream).sort((a, b) => a.first - b.first);
    this.#streams.set(stream, rows);
    return rows;
  }

  /** Alters a row for good. */
  spoil(index: number): void {
    const row = this.rows[index];
    if (row === undefined) return;
    this.#streams.clear();
    this.rows[index] = { ...row, intact: false };
  }
}
