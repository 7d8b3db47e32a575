// Multiplies a matrix with symbols of any size in a kernel's small fixed memory: strip of columns by strip. Each
// column of bytes is independent of the others, so strips change nothing but what is in the cache.

import { type Kernel, LANE_BYTES, MATRIX_AT, MEMORY_BYTES, SYMBOLS_AT } from "./kernel.ts";

/**
 * Fills `outputs` with the matrix in the kernel's memory times `inputs`. Every symbol has `symbolBytes` bytes; inputs
 * and outputs together are MAX_BLOCK_SYMBOLS at most. The caller has checked both.
 */
export function multiplySymbols(
  kernel: Kernel,
  inputs: readonly Uint8Array[],
  outputs: readonly Uint8Array[],
  symbolBytes: number,
): void {
  const { memory } = kernel;
  const strip = computeStripBytes(inputs.length + outputs.length, symbolBytes);
  const output = SYMBOLS_AT + inputs.length * strip;
  for (let begin = 0; begin < symbolBytes; begin += strip) {
    const end = Math.min(begin + strip, symbolBytes);
    let at = SYMBOLS_AT;
    for (const symbol of inputs) {
      memory.set(symbolBytes <= strip ? symbol : symbol.subarray(begin, end), at);
      at += strip;
    }
    kernel.multiply(inputs.length, outputs.length, MATRIX_AT, SYMBOLS_AT, strip, output, strip, end - begin);
    for (const symbol of outputs) {
      symbol.set(memory.subarray(at, at + end - begin), begin);
      at += strip;
    }
  }
}

/** As many columns as fit the memory for `symbols` symbols, in whole lanes, and no more than there are. */
function computeStripBytes(symbols: number, symbolBytes: number): number {
  const room = Math.floor((MEMORY_BYTES - SYMBOLS_AT) / symbols / LANE_BYTES) * LANE_BYTES;
  return Math.min(room, Math.ceil(symbolBytes / LANE_BYTES) * LANE_BYTES);
}
