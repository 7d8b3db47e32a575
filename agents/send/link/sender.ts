// The sending end of the link: journal rows in order to blocks, datagrams and paths.
// Rows that were just written come from memory; when the link is slower than the plant they are read back from the
// journal, so that memory stays bounded. A row counts as sent when all its datagrams have left on at least one path.
import { pieceBytesMax, splitContent } from "../../../shared/framing/block.ts";
import type { BlockEncoder } from "../../../shared/framing/encoder.ts";
import { KIND_MESSAGES } from "../../../shared/framing/header.ts";
import type { Journal, JournalRow } from "../journal.ts";
import type { PathQueue } from "./path-queue.ts";

/** Rows kept in memory on their way from the journal to the paths. */
const READY_BYTES_MAX = 8 * 1024 * 1024;
/** Source symbols of one block at most; repair symbols have the rest of the field. */
const SOURCE_SYMBOLS_MAX = 192;

type InFlight = { readonly row: JournalRow; sent: boolean };
/** A part of a row that is on its way; `last` is the row's last part. */
type Piece = { readonly row: JournalRow; readonly datagrams: () => Buffer[]; readonly last: boolean };

export class LinkSender {
  readonly #journal: Journal;
  readonly #encoder: BlockEncoder;
  readonly #queues: readonly PathQueue[];
  readonly #pieceBytes: number;
  readonly #onCorrupt: (messages: number) => void;
  #ready: JournalRow[] = [];
  #readyBytes = 0;
  #pieces: Piece[] = [];
  /** Id of the last row taken into #ready or beyond. */
  #takenId: number;
  /** Id of the last row in the journal. */
  #lastId: number;
  #inFlight: InFlight[] = [];
  readonly #sent = new Map<number, number>();

  /** `onCorrupt` hears of messages that the journal lost: they are announced to the receiver as skipped. */
  constructor(
    journal: Journal,
    encoder: BlockEncoder,
    queues: readonly PathQueue[],
    onCorrupt: (messages: number) => void,
  ) {
    this.#onCorrupt = onCorrupt;
    this.#journal = journal;
    this.#encoder = encoder;
    this.#queues = queues;
    this.#pieceBytes = pieceBytesMax(encoder.symbolBytes, SOURCE_SYMBOLS_MAX);
    this.#takenId = journal.sentId;
    this.#lastId = Number.POSITIVE_INFINITY; // unknown: look into the journal
    for (const stream of journal.streams) this.#sent.set(stream, this.#oldestUnsent(stream));
  }

  /** New rows, already kept in the journal. */
  add(rows: readonly JournalRow[]): void {
    for (const row of rows) {
      const follows = this.#lastId === this.#takenId;
      this.#lastId = row.id;
      if (!follows || this.#readyBytes >= READY_BYTES_MAX) continue; // will be read back from the journal
      this.#take(row);
    }
    this.fill();
  }

  /** One past the highest sequence of the stream that has left. */
  sentSequence(stream: number): number {
    return this.#sent.get(stream) ?? 0;
  }

  /** True when everything in the journal has left. */
  get idle(): boolean {
    return this.#journal.sentId >= this.#lastId && this.#inFlight.length === 0;
  }

  /** Feeds the paths as far as they have room. To be called whenever one of them may have. */
  fill(): void {
    for (;;) {
      const open = this.#queues.filter((queue) => queue.hasRoom);
      if (open.length === 0) return;
      const piece = this.#nextPiece();
      if (piece === undefined) return;
      const datagrams = piece.datagrams();
      const flight = piece.last ? { row: piece.row, sent: false } : undefined;
      if (flight) this.#inFlight.push(flight);
      for (const queue of this.#queues) {
        if (!queue.hasRoom) queue.counters.droppedBlocks++;
        else queue.addBlock(datagrams, () => this.#onSent(flight));
      }
    }
  }

  #onSent(flight: InFlight | undefined): void {
    if (flight === undefined || flight.sent) return;
    flight.sent = true;
    while (this.#inFlight[0]?.sent) {
      const row = this.#inFlight.shift()?.row;
      if (row === undefined) return;
      this.#sent.set(row.stream, row.first + row.count);
      this.#journal.markSent(row);
      if (row.corrupt) this.#onCorrupt(row.corrupt);
    }
  }

  #nextPiece(): Piece | undefined {
    if (this.#pieces.length === 0) {
      const row = this.#nextRow();
      if (row === undefined) return undefined;
      const blocks = splitContent(row.first, row.count, row.content, this.#pieceBytes);
      this.#pieces = blocks.map((block) => ({
        row,
        datagrams: () => this.#encoder.encode(KIND_MESSAGES, row.stream, block),
        last: block.part === block.parts - 1,
      }));
    }
    return this.#pieces.shift();
  }

  #nextRow(): JournalRow | undefined {
    if (this.#ready.length === 0 && this.#takenId < this.#lastId) {
      const rows = this.#journal.read(this.#takenId);
      if (rows.length === 0) this.#lastId = this.#takenId;
      for (const row of rows) {
        if (this.#readyBytes < READY_BYTES_MAX) this.#take(row);
      }
    }
    const row = this.#ready.shift();
    if (row !== undefined) this.#readyBytes -= row.content.length;
    return row;
  }

  #take(row: JournalRow): void {
    this.#ready.push(row);
    this.#readyBytes += row.content.length;
    this.#takenId = row.id;
  }

  #oldestUnsent(stream: number): number {
    for (let id = this.#journal.sentId; ; ) {
      const rows = this.#journal.read(id);
      const unsent = rows.find((row) => row.stream === stream);
      if (unsent !== undefined) return unsent.first;
      const last = rows.at(-1);
      if (last === undefined) return this.#journal.next(stream);
      id = last.id;
    }
  }
}
