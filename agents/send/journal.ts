// The journal: names the journal and the epoch, gives sequences, keeps contents until they are sent and room is needed.
// Refuses to grow past its bytes: the caller then holds back what it has not acknowledged.
import { ContentWriter } from "../../shared/framing/content.ts";
import { BlockLog, type Durability, type NewRow } from "../../shared/store/block-log.ts";

/** Sequences set aside at a time when a power cut could take back what was sent already. */
const RESERVE = 1_000_000;
/** Rows read back, or deleted, at a time. */
const READ_ROWS = 64;

export type JournalOptions = {
  readonly directory: string;
  readonly durability: Durability;
  readonly bytesMax: number;
  readonly nowMs: number;
  /** A random whole number of 64 bits. */
  random64(): bigint;
};

export type JournalRow = {
  readonly id: number;
  readonly stream: number;
  readonly first: number;
  readonly count: number;
  /** Sequences that carry no message: all of them in a skip, none otherwise. */
  readonly skip: number;
  readonly content: Uint8Array;
  /** Messages that the disk gave back altered: the content is a skip in their place. */
  readonly corrupt?: number;
};

export type NewContent = Pick<JournalRow, "stream" | "count" | "skip" | "content">;

export class Journal {
  readonly journalId: bigint;
  readonly epoch: bigint;
  /** True when the last run of this journal ended without close(). */
  readonly unclean: boolean;
  readonly #log: BlockLog;
  readonly #options: JournalOptions;
  readonly #next = new Map<number, number>();
  readonly #epochFirst = new Map<number, number>();
  readonly #reserved = new Map<number, number>();
  #sentId: number;
  #unsentMessages: number;
  #savedSentId: number;

  /** Throws an Error with a sentence for a person when the directory or the file cannot be used. */
  static open(options: JournalOptions): Journal {
    const log = BlockLog.open(options.directory, "journal.db", options.durability);
    try {
      return new Journal(log, options);
    } catch (error) {
      log.close();
      throw error;
    }
  }

  private constructor(log: BlockLog, options: JournalOptions) {
    this.#log = log;
    this.#options = options;
    const id = log.value("journal_id");
    this.journalId = id === undefined ? options.random64() : BigInt(`0x${id}`);
    this.unclean = log.value("clean") === "0";
    // The high half grows with each start, and follows the clock so that a directory that was put back from a backup
    // gets ahead of the runs it has forgotten; the low half makes two runs with one number differ in their keys.
    const last = Number(log.value("epoch_counter") ?? "0");
    const counter = Math.min(Math.max(last + 1, Math.floor(options.nowMs / 1000)), 0xffff_ffff);
    this.epoch = (BigInt(counter) << 32n) | (options.random64() & 0xffff_ffffn);
    for (const [stream, next] of log.values("next.")) this.#next.set(Number(stream), Number(next));
    for (const [stream, end] of log.values("reserved.")) this.#reserved.set(Number(stream), Number(end));
    this.#sentId = Number(log.value("sent_id") ?? "0");
    this.#savedSentId = this.#sentId;
    this.#unsentMessages = log.messagesAfter(this.#sentId);
    log.writeDurably(() => {
      log.setValue("journal_id", this.journalId.toString(16).padStart(16, "0"));
      log.setValue("epoch_counter", String(counter));
      log.setValue("clean", "0");
    });
    if (this.unclean && options.durability === "os") this.#voidReserved();
    for (const [stream, next] of this.#next) this.#epochFirst.set(stream, next);
  }

  /** Content bytes in the journal, sent and unsent. */
  get bytes(): number {
    return this.#log.bytes;
  }

  /** Id of the last row that was written to the link. */
  get sentId(): number {
    return this.#sentId;
  }

  /** Messages in the journal that were not written to the link yet. */
  get unsentMessages(): number {
    return this.#unsentMessages;
  }

  get streams(): number[] {
    return [...this.#next.keys()].sort((a, b) => a - b);
  }

  /** One past the highest sequence given in the stream. */
  next(stream: number): number {
    return this.#next.get(stream) ?? 0;
  }

  /** The lowest sequence of the stream that the journal holds. */
  oldest(stream: number): number | undefined {
    return this.#log.firstSequence(stream);
  }

  epochFirst(stream: number): number {
    return this.#epochFirst.get(stream) ?? 0;
  }

  counters(): Map<string, number> {
    return new Map([...this.#log.values("counter.")].map(([name, value]) => [name, Number(value)]));
  }

  /** True when contents of `bytes` fit, after deleting the oldest that were sent. */
  hasRoom(bytes: number): boolean {
    if (this.#log.bytes + bytes <= this.#options.bytesMax) return true;
    this.#log.write(() => {
      while (this.#log.bytes + bytes > this.#options.bytesMax) {
        const last = this.#log.oldest(READ_ROWS, this.#sentId);
        if (last === undefined) return;
        this.#log.deleteTo(last);
      }
    });
    return this.#log.bytes + bytes <= this.#options.bytesMax;
  }

  /**
   * Gives the contents their sequences and keeps them with the counters' new values, all or nothing.
   * Throws what the log throws (disk full, I/O error); then nothing has changed.
   */
  append(contents: readonly NewContent[], counters: ReadonlyMap<string, number>): JournalRow[] {
    const next = new Map(this.#next);
    const rows: JournalRow[] = [];
    for (const { stream, count } of contents) {
      const end = (next.get(stream) ?? 0) + count;
      if (this.#options.durability === "os" && end > (this.#reserved.get(stream) ?? 0))
        this.#reserve(stream, end);
      next.set(stream, end);
    }
    this.#log.write(() => {
      const sequences = new Map(this.#next);
      for (const content of contents) {
        const first = sequences.get(content.stream) ?? 0;
        sequences.set(content.stream, first + content.count);
        rows.push({ ...content, first, id: this.#log.append(this.#newRow(content, first)) });
      }
      for (const [stream, value] of sequences) this.#log.setValue(`next.${stream}`, String(value));
      for (const [name, value] of counters) this.#log.setValue(`counter.${name}`, String(value));
      this.#log.setValue("sent_id", String(this.#sentId));
    });
    for (const [stream, value] of next) this.#next.set(stream, value);
    for (const row of rows) this.#unsentMessages += row.count - row.skip;
    this.#savedSentId = this.#sentId;
    return rows;
  }

  /** Rows after `id`, in order; one whose content was altered on disk comes as a skip of its sequences. */
  read(afterId: number): JournalRow[] {
    return this.#log.read(afterId, READ_ROWS).map((row) => {
      if (row.intact) return row;
      const writer = new ContentWriter();
      writer.addSkip(row.count, "corrupt");
      return { ...row, skip: row.count, content: writer.take(), corrupt: row.count - row.skip };
    });
  }

  /** The row and all before it were written to the link. Kept with the next append() or save(). */
  markSent(row: JournalRow): void {
    if (row.id <= this.#sentId) return;
    this.#sentId = row.id;
    this.#unsentMessages -= row.count - row.skip + (row.corrupt ?? 0);
  }

  /** Keeps what has changed since the last append(). Throws what the log throws. */
  save(counters: ReadonlyMap<string, number>): void {
    if (this.#sentId === this.#savedSentId) return;
    this.#log.write(() => {
      this.#log.setValue("sent_id", String(this.#sentId));
      for (const [name, value] of counters) this.#log.setValue(`counter.${name}`, String(value));
    });
    this.#savedSentId = this.#sentId;
  }

  /** The clean end. */
  close(counters: ReadonlyMap<string, number>): void {
    this.#log.writeDurably(() => {
      this.#log.setValue("sent_id", String(this.#sentId));
      this.#log.setValue("clean", "1");
      for (const [name, value] of counters) this.#log.setValue(`counter.${name}`, String(value));
    });
    this.#log.close();
  }

  #newRow(content: NewContent, first: number): NewRow {
    return { ...content, first, timeMs: this.#options.nowMs, clockDifferenceMs: 0 };
  }

  /** Sets sequences aside on disk before the first of them is used, so that a power cut cannot make one be used twice. */
  #reserve(stream: number, end: number): void {
    const reserved = end + RESERVE;
    this.#log.writeDurably(() => this.#log.setValue(`reserved.${stream}`, String(reserved)));
    this.#reserved.set(stream, reserved);
  }

  /** After an unclean end nobody knows how many of the reserved sequences were sent: all are given up, and said so. */
  #voidReserved(): void {
    for (const [stream, end] of this.#reserved) {
      const count = end - this.next(stream);
      if (count <= 0) continue;
      const writer = new ContentWriter();
      writer.addSkip(count, "void");
      this.append([{ stream, count, skip: count, content: writer.take() }], new Map());
    }
  }
}
