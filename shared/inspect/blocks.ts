// Which symbols of which blocks are in a capture; the block's bytes once k of them are. Bounded: past a number of blocks or
// of bytes the oldest block is closed and reported with what it had.
import { FecCodec } from "../fec/codec.ts";
import type { Header } from "../framing/header.ts";

const BLOCKS_MAX = 8192;
/** The runtime takes several times as much for them. */
const SYMBOL_BYTES_MAX = 32 * 1024 * 1024;

/** A block when it is closed: at the end, or to make room. */
export type ClosedBlock = {
  /** Of its first datagram. */
  readonly header: Header;
  /** Different symbols that were seen. */
  readonly have: number;
  /** True when they were enough. */
  readonly isWhole: boolean;
  /** Source symbols that were computed from repair symbols. */
  readonly restored: number;
};

type Open = {
  readonly header: Header;
  readonly symbolBytes: number;
  readonly seen: Set<number>;
  /** Undefined once the block is whole. */
  symbols: (Uint8Array | undefined)[] | undefined;
  bytes: number;
  restored: number;
};

export type Added =
  | { readonly state: "new"; readonly have: number }
  | { readonly state: "surplus" | "symbol-mismatch" }
  | { readonly state: "whole"; readonly bytes: Uint8Array; readonly restored: number };

export class BlockTable {
  readonly #open = new Map<string, Open>();
  readonly #codec = new FecCodec();
  readonly #onClosed: (block: ClosedBlock) => void;
  #bytes = 0;

  constructor(onClosed: (block: ClosedBlock) => void) {
    this.#onClosed = onClosed;
  }

  /** `symbol` is undefined when it could not be opened: then the block is counted and never whole. */
  add(header: Header, symbolBytes: number, symbol: Uint8Array | undefined): Added {
    const name = `${header.journalId} ${header.epoch} ${header.kind} ${header.block}`;
    const open = this.#open.get(name) ?? this.#start(name, header, symbolBytes);
    if (!hasShape(open, header, symbolBytes)) return { state: "symbol-mismatch" };
    if (open.seen.has(header.symbol)) return { state: "surplus" };
    open.seen.add(header.symbol);
    if (symbol === undefined) return { state: "new", have: open.seen.size };
    if (open.symbols === undefined) return { state: "surplus" };
    open.symbols[header.symbol] = symbol;
    open.bytes += symbol.length;
    this.#bytes += symbol.length;
    if (open.seen.size < header.sourceSymbols) {
      while (this.#bytes > SYMBOL_BYTES_MAX) this.#closeOldest();
      return { state: "new", have: open.seen.size };
    }
    return this.#complete(open);
  }

  /** Reports every block that is left. */
  close(): void {
    while (this.#open.size > 0) this.#closeOldest();
  }

  #start(name: string, header: Header, symbolBytes: number): Open {
    if (this.#open.size >= BLOCKS_MAX) this.#closeOldest();
    const open: Open = { header, symbolBytes, seen: new Set(), symbols: [], bytes: 0, restored: 0 };
    this.#open.set(name, open);
    return open;
  }

  #complete(open: Open): Added {
    const { sourceSymbols: k, repairSymbols: r } = open.header;
    const symbols = open.symbols ?? [];
    open.symbols = undefined;
    this.#bytes -= open.bytes;
    open.bytes = 0;
    for (let symbol = 0; symbol < k; symbol++) if (symbols[symbol] === undefined) open.restored++;
    symbols.length = k + r;
    if (open.restored > 0 && this.#codec.restore(k, r, open.symbolBytes, symbols) !== "ok") {
      return { state: "symbol-mismatch" };
    }
    const bytes = Buffer.concat(symbols.slice(0, k) as Uint8Array[]);
    return { state: "whole", bytes, restored: open.restored };
  }

  #closeOldest(): void {
    for (const [name, open] of this.#open) {
      this.#open.delete(name);
      this.#bytes -= open.bytes;
      const { header, seen, restored } = open;
      this.#onClosed({ header, have: seen.size, isWhole: seen.size >= header.sourceSymbols, restored });
      return;
    }
  }
}

function hasShape({ header: first, symbolBytes: size }: Open, header: Header, symbolBytes: number): boolean {
  return (
    first.stream === header.stream &&
    first.sourceSymbols === header.sourceSymbols &&
    first.repairSymbols === header.repairSymbols &&
    size === symbolBytes
  );
}
