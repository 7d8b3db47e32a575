// The sending end of the link: rows of the journal, by priority, to blocks, datagrams and paths.
// A row counts as sent when each of its datagrams has left on at least one path. Repeats go when nothing else wants to.
import { ENVELOPE_BYTES, PARTS_MAX, pieceBytesMax, splitContent } from "../../../shared/framing/block.ts";
import { Compressor } from "../../../shared/framing/compression.ts";
import type { BlockEncoder } from "../../../shared/framing/encoder.ts";
import { KIND_MESSAGES } from "../../../shared/framing/header.ts";
import type { Moment } from "../../../shared/moment.ts";
import type { Journal, JournalRow, RowLosses } from "../journal.ts";
import { Lane } from "./lane.ts";
import type { PathQueue } from "./path-queue.ts";
import { type LatestValues, refineRow } from "./refine.ts";
import type { Repeats } from "./repeats.ts";

/** Source symbols of one block at most; repair symbols have the rest of the field. */
const SOURCE_SYMBOLS_MAX = 192;

export type LinkSenderOptions = {
  readonly encoder: BlockEncoder;
  readonly queues: readonly { readonly queue: PathQueue; readonly bestEffort: boolean }[];
  /** Streams from the most urgent to the least. */
  readonly priorities: readonly number[];
  readonly compress: boolean;
  /** A content up to this size is one block; a larger one is cut, so that what is urgent can pass between its parts. */
  readonly blockBytes: number;
  /** A row's content is not needed any more: what is sent of it was copied. */
  readonly giveBack: (content: Uint8Array) => void;
  /** Messages that a sent row did not carry after all. */
  readonly onLost: (losses: RowLosses, row: JournalRow) => void;
};

type Flight = { readonly row: JournalRow; readonly losses: RowLosses | undefined; left: number };
/** A block that no path has sent whole yet, and the paths it waits on. */
type Sending = {
  readonly datagrams: readonly Buffer[];
  readonly queues: Set<PathQueue>;
  readonly onSent: (queue: PathQueue) => void;
};
/** `content` is given back with the last piece of it. */
type Piece = {
  readonly encode: () => Buffer[];
  readonly flight: Flight | undefined;
  readonly content: Uint8Array | undefined;
};

export class LinkSender {
  readonly #journal: Journal;
  readonly #latest: LatestValues;
  readonly #repeats: Repeats;
  readonly #options: LinkSenderOptions;
  readonly #compressor = new Compressor();
  /** The paths had not written what they had got before. */
  #isScarce = false;
  readonly #lanes = new Map<number, Lane>();
  readonly #pieces = new Map<number, Piece[]>();
  readonly #flights = new Map<number, Flight[]>();
  #repeatPieces: Piece[] = [];
  readonly #pieceBytes: number;
  readonly #sendings = new Set<Sending>();
  #inFlight = 0;

  constructor(journal: Journal, latest: LatestValues, repeats: Repeats, options: LinkSenderOptions) {
    this.#journal = journal;
    this.#latest = latest;
    this.#repeats = repeats;
    this.#options = options;
    const { symbolBytes } = options.encoder;
    const symbols = Math.ceil((options.blockBytes + ENVELOPE_BYTES) / symbolBytes);
    this.#pieceBytes = pieceBytesMax(symbolBytes, Math.min(symbols, SOURCE_SYMBOLS_MAX));
  }

  /** New rows, already kept in the journal. */
  add(rows: readonly JournalRow[]): void {
    for (const row of rows) if (!this.#lane(row.stream).add(row)) this.#options.giveBack(row.content);
  }

  /** True when everything in the journal has left. */
  get idle(): boolean {
    return this.#inFlight === 0 && this.#order().every((stream) => !this.#lane(stream).hasRows);
  }

  /** Feeds the paths as far as they have room. To be called whenever one of them may have. */
  fill(now: Moment): void {
    this.#rescue(now.steadyMs);
    const { queues } = this.#options;
    const binding = queues.filter(({ bestEffort }) => !bestEffort);
    this.#isScarce = (binding.length > 0 ? binding : queues).some(({ queue }) => queue.bytes > 0);
    while (this.#hasRoom(now.steadyMs)) {
      const piece = this.#nextPiece(now.wallMs) ?? this.#nextRepeat(now);
      if (piece === undefined) return;
      this.#enqueue(piece, now.steadyMs);
    }
  }

  /** Every path that must not miss a block has room; a dead one holds nobody up. */
  #hasRoom(nowMs: number): boolean {
    const { queues } = this.#options;
    const binding = queues.filter(({ queue, bestEffort }) => !bestEffort && !queue.isStalled(nowMs));
    if (binding.length > 0) return binding.every(({ queue }) => queue.hasRoom);
    return queues.some(({ queue }) => queue.hasRoom);
  }

  #enqueue({ encode, flight, content }: Piece, nowMs: number): void {
    const datagrams = encode();
    if (content !== undefined) this.#options.giveBack(content);
    const waitsOn = new Set<PathQueue>();
    let keeps = false;
    const onSent = (queue: PathQueue) => {
      waitsOn.delete(queue);
      keeps ||= !queue.copies;
      const isFirst = this.#sendings.delete(sending);
      if (waitsOn.size === 0 && !keeps) this.#options.encoder.recycle(datagrams);
      if (!isFirst || flight === undefined) return;
      flight.left--;
      this.#settle(flight.row.stream);
    };
    const sending: Sending = { datagrams, queues: waitsOn, onSent };
    this.#sendings.add(sending);
    for (const { queue } of this.#options.queues) {
      if (!queue.hasRoom) queue.counters.droppedBlocks++;
      else {
        waitsOn.add(queue);
        queue.addBlock(datagrams, nowMs, () => onSent(queue));
      }
    }
  }

  /** What waits on dead paths alone goes to those that live, too; or one dead path could hold the journal for ever. */
  #rescue(nowMs: number): void {
    const { queues } = this.#options;
    if (!queues.some(({ queue }) => queue.isStalled(nowMs))) return;
    for (const { datagrams, queues: waitsOn, onSent } of this.#sendings) {
      if ([...waitsOn].some((queue) => !queue.isStalled(nowMs))) continue;
      for (const { queue } of queues) {
        if (waitsOn.has(queue) || queue.isStalled(nowMs) || !queue.hasRoom) continue;
        waitsOn.add(queue);
        queue.addBlock(datagrams, nowMs, () => onSent(queue));
      }
    }
  }

  #settle(stream: number): void {
    const flights = this.#flights.get(stream) ?? [];
    while (flights[0]?.left === 0) {
      const { row, losses } = flights.shift() as Flight;
      this.#inFlight--;
      this.#journal.markSent(row);
      if (losses !== undefined) this.#options.onLost(losses, row);
    }
  }

  #nextPiece(nowMs: number): Piece | undefined {
    for (const stream of this.#order()) {
      const waiting = this.#pieces.get(stream)?.shift();
      if (waiting !== undefined) return waiting;
      const next = this.#lane(stream).next(nowMs);
      if (next === undefined) continue;
      const flight = { row: next.row, losses: next.losses, left: 0 };
      const pieces = this.#cut(next.row, next.content, flight);
      flight.left = pieces.length;
      const flights = this.#flights.get(stream);
      if (flights === undefined) this.#flights.set(stream, [flight]);
      else flights.push(flight);
      this.#inFlight++;
      const first = pieces.shift();
      this.#pieces.set(stream, pieces);
      return first;
    }
    return undefined;
  }

  /** Only while no path has anything of its own to do. */
  #nextRepeat({ wallMs, steadyMs }: Moment): Piece | undefined {
    if (!this.#options.queues.every(({ queue }) => queue.bytes === 0 || queue.isStalled(steadyMs)))
      return undefined;
    if (this.#repeatPieces.length === 0) {
      const row = this.#repeats.next(wallMs);
      // What has become pointless since is not repeated; the losses were booked, or the message sent, the first time.
      if (row !== undefined)
        this.#repeatPieces = this.#cut(row, refineRow(row, wallMs, this.#latest).content, undefined);
    }
    return this.#repeatPieces.shift();
  }

  #cut(row: JournalRow, content: Uint8Array, flight: Flight | undefined): Piece[] {
    const { encoder, compress } = this.#options;
    const compressed = compress ? this.#compressor.compress(content, this.#isScarce) : undefined;
    const pieceBytes = Math.max(this.#pieceBytes, Math.ceil((compressed ?? content).length / PARTS_MAX));
    const blocks = splitContent(
      row.first,
      row.count,
      compressed ?? content,
      pieceBytes,
      compressed !== undefined,
    );
    const isLast = (index: number) => index === blocks.length - 1;
    return blocks.map((block, index) => ({
      encode: () => encoder.encode(KIND_MESSAGES, row.stream, block),
      flight,
      content: isLast(index) ? row.content : undefined,
    }));
  }

  /** All streams that have rows, the most urgent first. */
  #order(): readonly number[] {
    const { priorities } = this.#options;
    const known = this.#journal.streams;
    return [
      ...priorities.filter((stream) => known.includes(stream)),
      ...known.filter((stream) => !priorities.includes(stream)),
    ];
  }

  #lane(stream: number): Lane {
    const known = this.#lanes.get(stream);
    if (known !== undefined) return known;
    const lane = new Lane(stream, this.#journal, this.#latest);
    this.#lanes.set(stream, lane);
    return lane;
  }
}
