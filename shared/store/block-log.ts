// What both agents need of a durable log of contents: the journal on the send side, the spool on the recv side.
// Rows are appended, read in order and deleted from the front; small values live beside them and change in the same
// transaction. What is not one of those three things is refused by not existing. The one on a disk is in sqlite-log.ts.

/** `fsync` survives a power cut, `os` survives the death of the process, `memory` survives nothing. */
export type Durability = "fsync" | "os" | "memory";

/** Where a content lies: bytes of a file beside the database; segment 0 is the database itself. */
export type Place = { readonly segment: number; readonly at: number; readonly bytes: number };

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

export type NewRow = Omit<LogRow, "id"> & {
  /** Where prepare() has put its content. */
  readonly place?: Place | undefined;
};

/** Contents that are on their way to the disk before the rows that they belong to. */
export type Preparation = {
  /** Where each of them lies; undefined for one that goes into its row. */
  readonly places: readonly (Place | undefined)[];
  /** True once they survive a power cut. */
  readonly isDone: boolean;
  /** Waits for that, and holds everything else up meanwhile; `onDone` is not called any more. Throws what the disk says. */
  finish(): void;
};

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
  /**
   * Writes contents of rows that append() will get, and makes them survive a power cut while the process does other things. `onDone`
   * comes later, with what the disk says when it fails: then they are dropped. Throws what it says at once. Left out where
   * append() does not wait for the disk; undefined when none of the contents is so large that it would.
   */
  prepare?(contents: readonly Uint8Array[], onDone: (error?: unknown) => void): Preparation | undefined;
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
  /** Sequences of the stream in rows that begin at `sequence` or later. */
  countSequences(stream: number, sequence: number): number;
  /**
   * Id of the last of the `limit` oldest rows that are before `beforeId` and, when it is given, before the first that
   * was written at `beforeMs` or later; undefined when there is none.
   */
  oldest(limit: number, beforeId: number, beforeMs?: number): number | undefined;
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
  /** Gives unused space back to the disk, a little at a time: to be called now and then. */
  rest?(): void;
  /** What was done about damage when it was opened, and later. */
  readonly repairs?: readonly Repair[];
  close(): void;
};

/** What was done about a damaged file. The damaged one lies beside the new one, under the name `movedTo`. */
export type Repair = {
  /** What was wrong with it. */
  readonly reason: string;
  readonly movedTo: string;
  /** Rows that are whole. */
  readonly rows: number;
  /** Rows of which all is known but the content: read() gives them with `intact` false. */
  readonly rowsWithoutContent: number;
  /** Ids between those of the rows that no row has any more. */
  readonly rowsMissing: number;
  /** Sequences that those rows had, as far as the rows around them tell. */
  readonly missing: readonly { readonly stream: number; readonly first: number; readonly count: number }[];
  /** False when values may be older than what was last written, or missing. */
  readonly valuesComplete: boolean;
  readonly durationMs: number;
};
