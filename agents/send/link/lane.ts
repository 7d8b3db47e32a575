// One stream's way from the journal to the paths: its rows in order, from memory when they have just been written,
// from the journal when the link is slower than the plant. Bounded in memory by READY_BYTES_MAX.
import { ContentWriter } from "../../../shared/framing/content.ts";
import type { Journal, JournalRow, RowLosses } from "../journal.ts";
import { type LatestValues, refineRow } from "./refine.ts";

export type LaneRow = {
  readonly row: JournalRow;
  readonly content: Uint8Array;
  readonly losses: RowLosses | undefined;
};

const READY_BYTES_MAX = 8 * 1024 * 1024;
/** A row that is younger has hardly waited: nothing in it is looked at again. */
const FRESH_MS = 1000;

export class Lane {
  readonly #stream: number;
  readonly #journal: Journal;
  readonly #latest: LatestValues;
  #ready: (JournalRow & { readonly losses?: RowLosses })[] = [];
  #head = 0;
  #readyBytes = 0;
  /** One past the last sequence taken into #ready. */
  #taken: number;
  /** One past the last sequence handed out. */
  #given: number;

  constructor(stream: number, journal: Journal, latest: LatestValues) {
    this.#stream = stream;
    this.#journal = journal;
    this.#latest = latest;
    this.#taken = journal.sent(stream);
    this.#given = this.#taken;
  }

  /** A row that was just written. False when it will be read back from the journal in its turn. */
  add(row: JournalRow): boolean {
    if (row.first !== this.#taken || this.#readyBytes >= READY_BYTES_MAX) return false;
    this.#take(row);
    return true;
  }

  get hasRows(): boolean {
    return this.#given < this.#journal.next(this.#stream);
  }

  /** The next row to send. */
  next(nowMs: number): LaneRow | undefined {
    if (!this.hasRows) return undefined;
    if (this.#head === this.#ready.length) this.#readBack();
    const row = this.#ready[this.#head];
    if (row === undefined) return undefined;
    this.#head++;
    if (this.#head === this.#ready.length || this.#head > 1000) {
      this.#ready = this.#ready.slice(this.#head);
      this.#head = 0;
    }
    this.#readyBytes -= row.content.length;
    this.#given = row.first + row.count;
    // What carries no message, and is not what the disk made of one, was set aside after a power cut.
    if (row.skip > 0)
      return { row, content: row.content, losses: row.losses ?? new Map([["void", row.skip]]) };
    if (this.#journal.isTooOld(row, nowMs)) return this.#giveUp(row);
    const waits = this.hasRows && this.#latest.size > 0;
    if (!waits && Math.abs(nowMs - row.timeMs) < FRESH_MS)
      return { row, content: row.content, losses: undefined };
    return { row, ...refineRow(row, nowMs, this.#latest) };
  }

  #giveUp(row: JournalRow): LaneRow {
    const writer = new ContentWriter();
    writer.addSkip(row.count, "expired");
    return { row, content: writer.take(), losses: new Map([["expired", row.messages]]) };
  }

  #readBack(): void {
    for (const row of this.#journal.read(this.#stream, this.#taken)) {
      if (this.#readyBytes >= READY_BYTES_MAX) return;
      if (row.first > this.#taken) this.#take(this.#hole(row.first - this.#taken));
      this.#take(row);
    }
    // Rows that the journal should hold and does not: the disk lost them.
    const missing = this.#journal.next(this.#stream) - this.#taken;
    if (this.#head === this.#ready.length && missing > 0) this.#take(this.#hole(missing));
  }

  /** Sequences that are in no row any more: announced, so that the receiver need not wait for them. */
  #hole(count: number): JournalRow & { readonly losses: RowLosses } {
    const writer = new ContentWriter();
    writer.addSkip(count, "corrupt");
    const losses: RowLosses = new Map([["corrupt", count]]);
    const { stream, first } = { stream: this.#stream, first: this.#taken };
    return { stream, first, count, skip: count, messages: 0, timeMs: 0, content: writer.take(), losses };
  }

  #take(row: JournalRow): void {
    this.#ready.push(row);
    this.#readyBytes += row.content.length;
    this.#taken = row.first + row.count;
  }
}
