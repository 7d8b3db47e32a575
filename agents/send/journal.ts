// The journal: names the journal and the epoch, gives sequences, keeps contents until they are sent and room is needed,
// and longer, so that they can be sent again. Refuses to grow past its bytes: the caller then holds back what it has
// not acknowledged.
import { ContentWriter } from "../../shared/framing/content.ts";
import type { SkipReason } from "../../shared/framing/reasons.ts";
import type { BlockLog, Durability, NewRow, Preparation, ReadRow } from "../../shared/store/block-log.ts";

/** Sequences set aside at a time when a power cut could take back what was sent already. */
const RESERVE = 1_000_000;
/** Rows read back, or deleted, at a time. */
const ROWS = 64;
/** Rows that are too old, deleted at a time. */
const EXPIRE_ROWS = 1024;

/** Small values that a source keeps in the same transaction as messages; undefined deletes one. */
export type Notes = ReadonlyMap<string, string | undefined>;

const NOTE = "note.";
const NO_NOTES: Notes = new Map();

export type JournalOptions = {
  readonly durability: Durability;
  readonly bytesMax: number;
  /** Rows that are older are given up; 0: none is. */
  readonly ageMsMax?: number;
  readonly nowMs: number;
  /** A random whole number of 64 bits. */
  random64(): bigint;
};

export type JournalRow = {
  readonly stream: number;
  readonly first: number;
  readonly count: number;
  /** Sequences that carry no message: all of them in a skip, none otherwise. */
  readonly skip: number;
  /** Messages that count as unsent until this row has left. */
  readonly messages: number;
  /** When it was written, this host's clock. */
  readonly timeMs: number;
  readonly content: Uint8Array;
};

/** `place`: where prepare() has put it. */
export type NewContent = Pick<JournalRow, "stream" | "count" | "skip" | "content"> & Pick<NewRow, "place">;
/** Messages that a row does not carry after all, by reason. */
export type RowLosses = ReadonlyMap<SkipReason, number>;

type Lane = {
  next: number;
  sent: number;
  repeated: number;
  unsentMessages: number;
  reserved: number;
  readonly epochFirst: number;
};

export class Journal {
  readonly journalId: bigint;
  readonly epoch: bigint;
  /** True when the last run of this journal ended without close(). */
  readonly unclean: boolean;
  readonly #log: BlockLog;
  readonly #options: JournalOptions;
  readonly #lanes = new Map<number, Lane>();
  #dirty = false;

  constructor(log: BlockLog, options: JournalOptions) {
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
    for (const [name, next] of log.values("next.")) this.#openLane(Number(name), Number(next));
    log.writeDurably(() => {
      log.setValue("journal_id", this.journalId.toString(16).padStart(16, "0"));
      log.setValue("epoch_counter", String(counter));
      log.setValue("clean", "0");
    });
    if (this.unclean && options.durability === "os") this.#voidReserved();
  }

  /** Content bytes in the journal, sent and unsent. */
  get bytes(): number {
    return this.#log.bytes;
  }

  /** Messages in the journal that were not written to the link yet. */
  get unsentMessages(): number {
    let sum = 0;
    for (const lane of this.#lanes.values()) sum += lane.unsentMessages;
    return sum;
  }

  get streams(): number[] {
    return [...this.#lanes.keys()].sort((a, b) => a - b);
  }

  /** One past the highest sequence given in the stream. */
  next(stream: number): number {
    return this.#lanes.get(stream)?.next ?? 0;
  }

  /** One past the highest sequence of the stream that was written to the link. */
  sent(stream: number): number {
    return this.#lanes.get(stream)?.sent ?? 0;
  }

  /** The lowest sequence of the stream that the journal holds. */
  oldest(stream: number): number | undefined {
    return this.#log.firstSequence(stream);
  }

  epochFirst(stream: number): number {
    return this.#lanes.get(stream)?.epochFirst ?? 0;
  }

  /** What sources keep here whose name begins with `prefix`, without it. */
  notes(prefix: string): Map<string, string> {
    return this.#log.values(NOTE + prefix);
  }

  counters(): Map<string, number> {
    return new Map([...this.#log.values("counter.")].map(([name, value]) => [name, Number(value)]));
  }

  /**
   * True when contents of `bytes` fit, after deleting the oldest that were sent. Throws what the log throws. What was sent,
   * and the counters that go with it, are kept in the same transaction: or after a crash the deleted ones would seem to
   * be unsent, and lost.
   */
  hasRoom(bytes: number, counters: ReadonlyMap<string, number>): boolean {
    if (this.#log.bytes + bytes <= this.#options.bytesMax) return true;
    const firstUnsent = this.#firstUnsent();
    this.#log.write(() => {
      this.#saveValues(counters);
      while (this.#log.bytes + bytes > this.#options.bytesMax) {
        const last = this.#log.oldest(ROWS, firstUnsent);
        if (last === undefined) return;
        this.#log.deleteTo(last);
      }
    });
    return this.#log.bytes + bytes <= this.#options.bytesMax;
  }

  /** True when the row waited for longer than the journal keeps anything. */
  isTooOld(row: JournalRow, nowMs: number): boolean {
    const { ageMsMax = 0 } = this.#options;
    return ageMsMax > 0 && nowMs - row.timeMs >= ageMsMax;
  }

  /** Deletes what was sent and is too old. What was not sent stays until its turn: then it is given up by name. */
  expire(nowMs: number): void {
    const { ageMsMax = 0 } = this.#options;
    if (ageMsMax > 0) {
      const last = this.#log.oldest(EXPIRE_ROWS, this.#firstUnsent(), nowMs - ageMsMax + 1);
      if (last !== undefined) this.#log.write(() => this.#log.deleteTo(last));
    }
    this.#log.rest?.();
  }

  #firstUnsent(): number {
    const unsent = this.streams.map(
      (stream) => this.#log.findRow(stream, this.sent(stream)) ?? Number.POSITIVE_INFINITY,
    );
    return Math.min(Number.MAX_SAFE_INTEGER, ...unsent);
  }

  /**
   * Gives the contents their sequences and keeps them with the counters' new values, all or nothing.
   * Throws what the log throws (disk full, I/O error); then nothing has changed.
   */
  append(
    contents: readonly NewContent[],
    counters: ReadonlyMap<string, number>,
    nowMs: number,
    notes: Notes = NO_NOTES,
  ): JournalRow[] {
    const next = new Map<number, number>();
    const rows = contents.map(({ stream, count, skip, content }): JournalRow => {
      const first = next.get(stream) ?? this.next(stream);
      next.set(stream, first + count);
      return { stream, first, count, skip, messages: count - skip, timeMs: nowMs, content };
    });
    for (const [stream, end] of next) this.#reserve(stream, end);
    this.#log.write(() => {
      for (const [index, { messages: _, ...row }] of rows.entries())
        this.#log.append({ ...row, clockDifferenceMs: 0, place: contents[index]?.place });
      for (const [stream, end] of next) this.#log.setValue(`next.${stream}`, String(end));
      this.#saveValues(counters);
      for (const [name, value] of notes) {
        if (value === undefined) this.#log.deleteValue(NOTE + name);
        else this.#log.setValue(NOTE + name, value);
      }
    });
    this.#dirty = false;
    for (const row of rows) {
      const lane = this.#lane(row.stream);
      lane.next = row.first + row.count;
      lane.unsentMessages += row.messages;
    }
    return rows;
  }

  /** Writes contents for append() ahead of it, as BlockLog.prepare() says. Throws what the log throws. */
  prepare(contents: readonly Uint8Array[], onDone: (error?: unknown) => void): Preparation | undefined {
    return this.#log.prepare?.(contents, onDone);
  }

  /** Rows of the stream from `sequence` on, in order; one that the disk gave back altered comes as a skip. */
  read(stream: number, sequence: number): (JournalRow & { readonly losses?: RowLosses })[] {
    return this.#log.readStream(stream, sequence, ROWS).map(replaceCorrupt);
  }

  /** The row that holds `sequence`, or the first one behind it; where read() must begin to get it. */
  rowStart(stream: number, sequence: number): number | undefined {
    return this.#log.firstSequence(stream, sequence);
  }

  sequencesBetween(
    stream: number,
    sinceMs: number,
    untilMs: number,
  ): { first: number; end: number } | undefined {
    return this.#log.sequencesBetween(stream, sinceMs, untilMs);
  }

  /** The row and all before it in its stream were written to the link. Kept with the next append() or save(). */
  markSent(row: JournalRow): void {
    const lane = this.#lane(row.stream);
    if (row.first < lane.sent) return;
    lane.sent = row.first + row.count;
    // A row of no message may stand for rows that the disk lost after they were counted.
    if (row.messages === 0) lane.unsentMessages = this.#countUnsent(row.stream, lane.sent, lane.next);
    else lane.unsentMessages -= row.messages;
    this.#dirty = true;
  }

  /** One past the highest sequence of the stream that was sent a second time. */
  repeated(stream: number): number {
    return this.#lanes.get(stream)?.repeated ?? 0;
  }

  markRepeated(stream: number, end: number): void {
    this.#lane(stream).repeated = end;
    this.#dirty = true;
  }

  /** Keeps what has changed since the last append(). Throws what the log throws. */
  save(counters: ReadonlyMap<string, number>): void {
    if (!this.#dirty && counters.size === 0) return;
    this.#log.write(() => this.#saveValues(counters));
    this.#dirty = false;
  }

  /** The clean end. */
  close(counters: ReadonlyMap<string, number>): void {
    this.#log.writeDurably(() => {
      this.#saveValues(counters);
      this.#log.setValue("clean", "1");
    });
    this.#log.close();
  }

  #saveValues(counters: ReadonlyMap<string, number>): void {
    for (const [stream, { sent, repeated }] of this.#lanes) {
      this.#log.setValue(`sent.${stream}`, String(sent));
      this.#log.setValue(`repeated.${stream}`, String(repeated));
    }
    for (const [name, value] of counters) this.#log.setValue(`counter.${name}`, String(value));
  }

  #lane(stream: number): Lane {
    return this.#lanes.get(stream) ?? this.#openLane(stream, 0);
  }

  #openLane(stream: number, next: number): Lane {
    const sent = Math.min(next, Number(this.#log.value(`sent.${stream}`) ?? "0"));
    const repeated = Math.min(sent, Number(this.#log.value(`repeated.${stream}`) ?? sent));
    const reserved = Number(this.#log.value(`reserved.${stream}`) ?? "0");
    const unsentMessages = this.#countUnsent(stream, sent, next);
    const voided = this.unclean && this.#options.durability === "os";
    const lane = {
      next,
      sent,
      repeated,
      unsentMessages,
      reserved,
      epochFirst: voided ? Math.max(next, reserved) : next,
    };
    this.#lanes.set(stream, lane);
    return lane;
  }

  /** Also those that are in no row any more, because the disk lost it: until their turn comes, and they are booked as lost. */
  #countUnsent(stream: number, sent: number, next: number): number {
    const missing = next - sent - this.#log.countSequences(stream, sent);
    return this.#log.countMessages(stream, sent) + Math.max(0, missing);
  }

  /** Sets sequences aside on disk before the first of them is used, so that a power cut cannot make one be used twice. */
  #reserve(stream: number, end: number): void {
    const lane = this.#lane(stream);
    if (this.#options.durability !== "os" || end <= lane.reserved) return;
    const reserved = end + RESERVE;
    this.#log.writeDurably(() => {
      this.#log.setValue(`reserved.${stream}`, String(reserved));
      // A lane must be known by name even if the power goes before its first row is on the disk.
      this.#log.setValue(`next.${stream}`, String(lane.next));
    });
    lane.reserved = reserved;
  }

  /** After an unclean end nobody knows how many of the reserved sequences were sent: all are given up, and said so. */
  #voidReserved(): void {
    for (const [stream, lane] of this.#lanes) {
      const count = lane.reserved - lane.next;
      if (count <= 0) continue;
      const writer = new ContentWriter();
      writer.addSkip(count, "void");
      this.append([{ stream, count, skip: count, content: writer.take() }], new Map(), this.#options.nowMs);
    }
  }
}

function replaceCorrupt(row: ReadRow): JournalRow & { readonly losses?: RowLosses } {
  const messages = row.count - row.skip;
  if (row.intact) return { ...row, messages };
  const writer = new ContentWriter();
  writer.addSkip(row.count, "corrupt");
  // A row that carried no message all the same used up its sequences.
  const losses: RowLosses = new Map([messages > 0 ? ["corrupt", messages] : ["void", row.skip]]);
  return { ...row, messages, skip: row.count, content: writer.take(), losses };
}
