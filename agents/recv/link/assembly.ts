// Symbols in, whole blocks out: any k of a block's k + r symbols restore it. One assembly serves one epoch and one kind of block.
// Bounded: unfinished blocks have a limit in bytes, past which the one that has waited longest for a symbol is given up; finished blocks are remembered
// by number in a window, below which nothing is accepted any more, so that no block is ever finished twice.
// A block is given up for its age only when the link has moved past it: on a slow link one may take minutes to cross.
import type { FecCodec } from "../../../shared/fec/codec.ts";
import type { Header } from "../../../shared/framing/header.ts";
import type { Refusal } from "../../../shared/framing/reasons.ts";

/** Block numbers that are told apart below the highest one seen. */
const WINDOW_BLOCKS = 65_536;
/** What an unfinished block and each of its symbols cost beyond their bytes, so that a flood of tiny ones is bounded, too. */
const BLOCK_OVERHEAD_BYTES = 2048;
const SYMBOL_OVERHEAD_BYTES = 256;

type Open = {
  readonly number: number;
  readonly stream: number;
  readonly sourceSymbols: number;
  readonly repairSymbols: number;
  readonly symbolBytes: number;
  /** The k source symbols in their places; undefined while there is none, and for a block of one symbol. */
  source: Buffer | undefined;
  /** 1 for each symbol that is here. */
  readonly here: Uint8Array;
  /** The repair symbols that are here, by their number in the block; and the source symbol of a block of one. */
  readonly apart: Map<number, Uint8Array>;
  /** The number of the arrival that began it. */
  readonly since: number;
  /** When its newest symbol came. */
  touchedMs: number;
  count: number;
  bytes: number;
};

export type Assembled = {
  readonly stream: number;
  readonly bytes: Uint8Array;
  /** The number of the arrival that began it. */
  readonly since: number;
};

export class Assembly {
  readonly #open = new Map<number, Open>();
  readonly #done = new Set<number>();
  readonly #bytesMax: number;
  readonly #codec: FecCodec;
  readonly #onEvicted: (blocks: number) => void;
  readonly #onRestored: (symbols: number) => void;
  #bytes = 0;
  #floor = 0;
  /** The highest block finished; what it was at #markMs; and what it was when that mark had become old. */
  #highest = -1;
  #mark = -1;
  #markMs = 0;
  #passed = -1;

  /** `onEvicted` hears of blocks given up, `onRestored` of symbols that were lost and computed from the others. */
  constructor(
    codec: FecCodec,
    bytesMax: number,
    onEvicted: (blocks: number) => void,
    onRestored: (symbols: number) => void,
  ) {
    this.#codec = codec;
    this.#bytesMax = bytesMax;
    this.#onEvicted = onEvicted;
    this.#onRestored = onRestored;
  }

  /** Bytes of symbols that wait for the rest of their block, overhead included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The number of the arrival that began the oldest unfinished block; undefined when there is none. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const { since } of this.#open.values()) if (oldest === undefined || since < oldest) oldest = since;
    return oldest;
  }

  /** Why a symbol of this block would be of no use: known before the costly opening of the datagram. */
  judge(block: number): Refusal | undefined {
    if (block < this.#floor) return "block-old";
    return this.#done.has(block) ? "surplus" : undefined;
  }

  /**
   * Takes an authenticated symbol, which is arrival number `arrival`; a whole block when it was the last one needed,
   * undefined while some are missing.
   */
  add(header: Header, symbol: Buffer, nowMs: number, arrival: number): Assembled | Refusal | undefined {
    const useless = this.judge(header.block);
    if (useless !== undefined) return useless;
    const open = this.#open.get(header.block) ?? this.#start(header, symbol.length, nowMs, arrival);
    if (!matches(open, header, symbol.length)) return "symbol-mismatch";
    if (open.here[header.symbol] === 1) return "surplus";
    open.here[header.symbol] = 1;
    this.#place(open, header.symbol, symbol);
    open.count++;
    this.#touch(open, nowMs);
    if (open.count < open.sourceSymbols) {
      if (this.#bytes > this.#bytesMax) this.#evictOldest();
      return undefined;
    }
    this.#close(open);
    if (open.number > this.#highest) this.#highest = open.number;
    if (!this.#restore(open)) return "symbol-mismatch";
    const bytes = open.source ?? open.apart.get(0);
    return bytes === undefined ? "symbol-mismatch" : { stream: open.stream, bytes, since: open.since };
  }

  /** Puts a source symbol into its place in the block, or keeps a repair symbol. */
  #place(open: Open, index: number, symbol: Buffer): void {
    let bytes = symbol.length;
    if (open.sourceSymbols > 1 && index < open.sourceSymbols) {
      const { symbolBytes } = open;
      if (open.source === undefined) {
        open.source = Buffer.allocUnsafe(open.sourceSymbols * symbolBytes);
        bytes = open.source.length;
      } else bytes = 0;
      open.source.set(symbol, index * symbolBytes);
    } else open.apart.set(index, symbol);
    this.#book(open, bytes + SYMBOL_OVERHEAD_BYTES);
  }

  /** Gives up blocks that have got nothing for `patienceMs` while one behind them has been finished for as long. */
  evictPassed(nowMs: number, patienceMs: number): void {
    if (nowMs - this.#markMs >= patienceMs) {
      this.#passed = this.#mark;
      this.#mark = this.#highest;
      this.#markMs = nowMs;
    }
    for (const open of this.#open.values()) {
      if (open.number > this.#passed || nowMs - open.touchedMs < patienceMs) continue;
      this.#close(open);
      this.#onEvicted(1);
    }
  }

  /** Computes the source symbols that are missing from the repair symbols that are here. */
  #restore(open: Open): boolean {
    const { sourceSymbols, repairSymbols, symbolBytes, here, apart } = open;
    const firstMissing = here.indexOf(0);
    if (firstMissing === -1 || firstMissing >= sourceSymbols) return true;
    const symbols: (Uint8Array | undefined)[] = new Array(sourceSymbols + repairSymbols);
    for (const [index, symbol] of apart) symbols[index] = symbol;
    const missing: number[] = [];
    for (let index = firstMissing; index < sourceSymbols; index++) if (here[index] === 0) missing.push(index);
    if (sourceSymbols > 1) {
      open.source ??= Buffer.allocUnsafe(sourceSymbols * symbolBytes);
      for (let index = 0; index < sourceSymbols; index++)
        if (here[index] === 1)
          symbols[index] = open.source.subarray(index * symbolBytes, (index + 1) * symbolBytes);
    }
    if (this.#codec.restore(sourceSymbols, repairSymbols, symbolBytes, symbols) !== "ok") return false;
    this.#onRestored(missing.length);
    for (const index of missing) {
      const symbol = symbols[index] as Uint8Array;
      if (open.source === undefined) apart.set(index, symbol);
      else open.source.set(symbol, index * symbolBytes);
    }
    return true;
  }

  #start(header: Header, symbolBytes: number, nowMs: number, since: number): Open {
    const open: Open = {
      number: header.block,
      stream: header.stream,
      sourceSymbols: header.sourceSymbols,
      repairSymbols: header.repairSymbols,
      symbolBytes,
      source: undefined,
      here: new Uint8Array(header.sourceSymbols + header.repairSymbols),
      apart: new Map(),
      since,
      touchedMs: nowMs,
      count: 0,
      bytes: 0,
    };
    this.#open.set(header.block, open);
    this.#book(open, BLOCK_OVERHEAD_BYTES);
    return open;
  }

  #book(open: Open, bytes: number): void {
    open.bytes += bytes;
    this.#bytes += bytes;
  }

  /** On a slow path a block may take its time; it is its last symbol that counts, not its first. */
  #touch(open: Open, nowMs: number): void {
    if (open.touchedMs === nowMs) return;
    open.touchedMs = nowMs;
    this.#open.delete(open.number);
    this.#open.set(open.number, open);
  }

  #evictOldest(): void {
    for (const open of this.#open.values()) {
      this.#close(open);
      this.#onEvicted(1);
      return;
    }
  }

  #close(open: Open): void {
    this.#open.delete(open.number);
    this.#bytes -= open.bytes;
    this.#done.add(open.number);
    if (this.#done.size <= WINDOW_BLOCKS) return;
    // The window is full: forget the lower half, in the order of finishing, and accept nothing below what was forgotten.
    let forget = WINDOW_BLOCKS / 2;
    for (const number of this.#done) {
      if (forget-- === 0) break;
      this.#done.delete(number);
      if (number >= this.#floor) this.#floor = number + 1;
    }
    for (const other of this.#open.values()) {
      if (other.number >= this.#floor) continue;
      this.#open.delete(other.number);
      this.#bytes -= other.bytes;
      this.#onEvicted(1);
    }
  }
}

function matches(open: Open, header: Header, symbolBytes: number): boolean {
  return (
    open.stream === header.stream &&
    open.sourceSymbols === header.sourceSymbols &&
    open.repairSymbols === header.repairSymbols &&
    open.symbolBytes === symbolBytes
  );
}
