// What a capture holds as a whole: runs of senders, blocks and what they lack, streams and the holes in their sequences.
// Bounded: past a number of runs and streams the rest is counted as one, so that a flood of invented ones costs nothing.
import type { Frame } from "../framing/content.ts";
import type { Header } from "../framing/header.ts";
import type { ClosedBlock } from "./blocks.ts";
import { showHeader, showId, showTime } from "./event.ts";
import { RangeSet } from "./ranges.ts";
import type { BlockSummary, SummaryView } from "./summary-view.ts";

const RUNS_MAX = 256;
const STREAMS_MAX = 1024;
/** Ranges and holes that are listed; the rest is counted. */
const LISTED_MAX = 100;

type BlockFigures = {
  first: number;
  last: number;
  /** Blocks of which something was seen. */
  seen: number;
  whole: number;
  /** Symbols that were computed from the others. */
  restoredSymbols: number;
  /** Symbols of the blocks seen that are not in the capture. */
  lostSymbols: number;
  readonly lossPerBlock: Map<number, number>;
};

type Run = {
  readonly header: Header;
  readonly keyIds: Set<string>;
  datagrams: number;
  bytes: number;
  firstMs: number | undefined;
  lastMs: number | undefined;
  readonly blocks: { readonly 1: BlockFigures; readonly 2: BlockFigures };
};

type Stream = {
  readonly journalId: string;
  readonly stream: number;
  readonly ranges: RangeSet;
  messages: number;
  payloadBytes: number;
  malformed: number;
  readonly skipped: Map<string, number>;
};

export class Summary {
  readonly #of: SummaryView["of"];
  readonly #outcomes = new Map<string, number>();
  readonly #others = new Map<string, number>();
  readonly #runs = new Map<string, Run>();
  readonly #streams = new Map<string, Stream>();
  #datagrams = 0;
  #rows = 0;
  #runsNotListed = 0;

  constructor(of: SummaryView["of"]) {
    this.#of = of;
  }

  addOther(what: string, count = 1): void {
    add(this.#others, what, count);
  }

  addRow(outcome: string): void {
    this.#rows++;
    add(this.#outcomes, outcome, 1);
  }

  addDatagram(outcome: string): void {
    this.#datagrams++;
    add(this.#outcomes, outcome, 1);
  }

  /** A datagram whose header is believed. */
  addToRun(header: Header, bytes: number, timeMs: number | undefined): void {
    const run = this.#run(header);
    if (run === undefined) return;
    run.datagrams++;
    run.bytes += bytes;
    run.firstMs ??= timeMs;
    run.lastMs = timeMs ?? run.lastMs;
    run.keyIds.add(showHeader(header).keyId);
  }

  addBlock({ header, have, isWhole, restored }: ClosedBlock): void {
    const figures = this.#run(header)?.blocks[header.kind];
    if (figures === undefined) return;
    figures.first = Math.min(figures.first, header.block);
    figures.last = Math.max(figures.last, header.block);
    figures.seen++;
    if (isWhole) figures.whole++;
    figures.restoredSymbols += restored;
    const lost = header.sourceSymbols + header.repairSymbols - have;
    figures.lostSymbols += lost;
    add(figures.lossPerBlock, lost, 1);
  }

  addContent(
    journalId: string,
    number: number,
    first: number,
    count: number,
    frames: readonly Frame[] | undefined,
  ): void {
    const name = `${journalId} ${number}`;
    let stream = this.#streams.get(name);
    if (stream === undefined) {
      if (this.#streams.size >= STREAMS_MAX) return;
      const nothing = { messages: 0, payloadBytes: 0, malformed: 0, skipped: new Map() };
      stream = { journalId, stream: number, ranges: new RangeSet(), ...nothing };
      this.#streams.set(name, stream);
    }
    stream.ranges.add(first, count);
    if (frames === undefined) stream.malformed += count;
    for (const frame of frames ?? []) {
      if (frame.type === "skip") add(stream.skipped, frame.reason, frame.count);
      else {
        stream.messages++;
        stream.payloadBytes += frame.message.payload.length;
      }
    }
  }

  view(): SummaryView {
    return {
      type: "summary",
      of: this.#of,
      datagrams: this.#datagrams,
      rows: this.#rows,
      outcomes: Object.fromEntries(this.#outcomes),
      others: Object.fromEntries(this.#others),
      runs: [...this.#runs.values()].map(viewRun),
      runsNotListed: this.#runsNotListed,
      streams: [...this.#streams.values()].sort((a, b) => a.stream - b.stream).map(viewStream),
    };
  }

  #run(header: Header): Run | undefined {
    const name = `${header.journalId} ${header.epoch}`;
    const known = this.#runs.get(name);
    if (known !== undefined) return known;
    if (this.#runs.size >= RUNS_MAX) {
      this.#runsNotListed++;
      return undefined;
    }
    const run: Run = {
      header,
      keyIds: new Set(),
      datagrams: 0,
      bytes: 0,
      firstMs: undefined,
      lastMs: undefined,
      blocks: { 1: noBlocks(), 2: noBlocks() },
    };
    this.#runs.set(name, run);
    return run;
  }
}

function noBlocks(): BlockFigures {
  const counts = { seen: 0, whole: 0, restoredSymbols: 0, lostSymbols: 0 };
  return { first: Number.POSITIVE_INFINITY, last: 0, ...counts, lossPerBlock: new Map() };
}

function viewRun({
  header,
  keyIds,
  datagrams,
  bytes,
  firstMs,
  lastMs,
  blocks,
}: Run): SummaryView["runs"][number] {
  return {
    linkTag: showHeader(header).linkTag,
    journalId: showId(header.journalId),
    epoch: showId(header.epoch),
    keyIds: [...keyIds],
    firstTime: showTime(firstMs),
    lastTime: showTime(lastMs),
    datagrams,
    bytes,
    messageBlocks: viewBlocks(blocks[1]),
    heartbeatBlocks: viewBlocks(blocks[2]),
  };
}

function viewBlocks({ lossPerBlock, ...figures }: BlockFigures): BlockSummary | null {
  if (figures.seen === 0) return null;
  const byLoss = [...lossPerBlock].sort(([a], [b]) => a - b);
  return {
    ...figures,
    unfinished: figures.seen - figures.whole,
    unseen: Math.max(0, figures.last - figures.first + 1 - figures.seen),
    lossPerBlock: Object.fromEntries(byLoss),
  };
}

function viewStream({ ranges, skipped, ...stream }: Stream): SummaryView["streams"][number] {
  const holes = ranges.holes();
  return {
    ...stream,
    skipped: Object.fromEntries(skipped),
    repeated: ranges.repeated,
    ranges: ranges.list().slice(0, LISTED_MAX),
    holes: holes.slice(0, LISTED_MAX),
    holesNotListed: Math.max(0, holes.length - LISTED_MAX) + ranges.dropped,
  };
}

function add<Key>(counts: Map<Key, number>, key: Key, count: number): void {
  counts.set(key, (counts.get(key) ?? 0) + count);
}
