// Forward error correction of one source block: makes r repair symbols out of k source symbols, and makes the missing
// source symbols out of any k symbols that came. The code is systematic Reed-Solomon over GF(2^8) with a Cauchy
// matrix (matrix.ts), and its working memory is small and never grows (strips.ts).
//
// restore() takes its numbers from datagrams: it answers bad-shape to what no sender makes, and never throws. It can
// not tell a forged symbol from a true one; that is the seal's work.

import { type Kernel, MATRIX_AT, SYMBOLS_AT } from "./kernel.ts";
import { writeParityMatrix, writeRestoreMatrix } from "./matrix.ts";
import { openPortableKernel } from "./portable.ts";
import { openSimdKernel } from "./simd.ts";
import { fitsJoined, multiplyJoined, multiplySymbols } from "./strips.ts";

/** Source and repair symbols of one block together: the field has no more positions. */
export const MAX_BLOCK_SYMBOLS = 256;
/** What the largest UDP payload over IPv4 has room for when it is not sealed. */
export const MAX_SYMBOL_BYTES = 65_467;

export type RestoreOutcome = "ok" | "too-few" | "bad-shape";

/** Keeps nothing from one call to the next, so one codec serves all blocks of a process: shared() gives it. */
export class FecCodec {
  static #shared: FecCodec | undefined;
  readonly kernelName: Kernel["name"];
  readonly #kernel: Kernel;
  readonly #matrix: Uint8Array;

  /** The process's own codec. */
  static shared(): FecCodec {
    FecCodec.#shared ??= new FecCodec();
    return FecCodec.#shared;
  }

  /** Takes the fastest kernel the runtime has, unless one is given. */
  constructor(kernel: Kernel = openSimdKernel() ?? openPortableKernel()) {
    this.kernelName = kernel.name;
    this.#kernel = kernel;
    this.#matrix = kernel.memory.subarray(MATRIX_AT, SYMBOLS_AT);
  }

  /**
   * Room for the k source symbols of a block, from which encodeRepair() need not copy them; undefined for a large block. It is the
   * codec's own: whatever the codec is asked next may write over it.
   */
  room(k: number, r: number, symbolBytes: number): Uint8Array | undefined {
    if (!isBlockShape(k, r, symbolBytes) || !fitsJoined(k, r, symbolBytes)) return undefined;
    return this.#kernel.memory.subarray(SYMBOLS_AT, SYMBOLS_AT + k * symbolBytes);
  }

  /**
   * Fills `repair`, r symbols end to end, from `source`, k symbols end to end. Throws a RangeError when the numbers
   * do not fit each other: they are the sender's own, so that is a fault of the program.
   */
  encodeRepair(k: number, r: number, symbolBytes: number, source: Uint8Array, repair: Uint8Array): void {
    if (!isBlockShape(k, r, symbolBytes)) {
      throw new RangeError(
        `cannot encode block: is ${k}+${r} symbols of ${symbolBytes} bytes, must be ${BLOCK_LIMITS}`,
      );
    }
    requireLength("source", source, k * symbolBytes);
    requireLength("repair", repair, r * symbolBytes);
    if (r === 0) return;
    writeParityMatrix(k, r, this.#matrix);
    if (fitsJoined(k, r, symbolBytes)) multiplyJoined(this.#kernel, k, source, repair, symbolBytes);
    else multiplySymbols(this.#kernel, split(source, symbolBytes), split(repair, symbolBytes), symbolBytes);
  }

  /**
   * Puts the missing source symbols of a block into `symbols`, which has k+r places: source first, then repair,
   * undefined where nothing came. Answers `too-few` when fewer than k came. Then, and on `bad-shape`, nothing is
   * changed. Repair symbols that did not come stay undefined. The new symbols share one buffer.
   */
  restore(k: number, r: number, symbolBytes: number, symbols: (Uint8Array | undefined)[]): RestoreOutcome {
    if (!isBlockShape(k, r, symbolBytes) || symbols.length !== k + r) return "bad-shape";
    const inputs: Uint8Array[] = [];
    const present = new Uint8Array(k);
    const missing = new Uint8Array(k);
    let missingCount = 0;
    for (let position = 0; position < symbols.length; position++) {
      const symbol = symbols[position];
      if (symbol === undefined) {
        if (position < k) missing[missingCount++] = position;
        continue;
      }
      if (symbol.length !== symbolBytes) return "bad-shape";
      if (inputs.length < k) present[inputs.push(symbol) - 1] = position;
    }
    if (inputs.length < k) return "too-few";
    if (missingCount === 0) return "ok";
    const rows = missing.subarray(0, missingCount);
    writeRestoreMatrix(present, rows, present.subarray(k - missingCount), this.#matrix);
    const restored = split(new Uint8Array(missingCount * symbolBytes), symbolBytes);
    multiplySymbols(this.#kernel, inputs, restored, symbolBytes);
    for (let row = 0; row < missingCount; row++) symbols[rows[row] as number] = restored[row];
    return "ok";
  }
}

const BLOCK_LIMITS = `at least 1 source, ${MAX_BLOCK_SYMBOLS} in all with at most 255 source, of 1 to ${MAX_SYMBOL_BYTES} bytes`;

function isBlockShape(k: number, r: number, symbolBytes: number): boolean {
  return (
    isWithin(k, 1, MAX_BLOCK_SYMBOLS - 1) &&
    isWithin(r, 0, MAX_BLOCK_SYMBOLS - k) &&
    isWithin(symbolBytes, 1, MAX_SYMBOL_BYTES)
  );
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

function requireLength(name: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) {
    throw new RangeError(`cannot encode ${name}: is ${bytes.length} bytes, must be ${length}`);
  }
}

function split(bytes: Uint8Array, symbolBytes: number): Uint8Array[] {
  const symbols: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += symbolBytes) symbols.push(bytes.subarray(at, at + symbolBytes));
  return symbols;
}
