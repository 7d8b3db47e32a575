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

/** Whether `k` inputs end to end and `rows` outputs fit the kernel's memory together. */
export function fitsJoined(k: number, rows: number, symbolBytes: number): boolean {
  return placeOutputs(k, symbolBytes) + rows * roundUp(symbolBytes) <= MEMORY_BYTES;
}

/** The kernel reads up to a lane beyond the last input. */
function placeOutputs(k: number, symbolBytes: number): number {
  return SYMBOLS_AT + roundUp(k * symbolBytes) + LANE_BYTES;
}

/** The same for inputs end to end and outputs end to end that fit: it saves taking them apart, and copying inputs made in place. */
export function multiplyJoined(
  kernel: Kernel,
  k: number,
  source: Uint8Array,
  outputs: Uint8Array,
  symbolBytes: number,
): void {
  const { memory } = kernel;
  const rows = outputs.length / symbolBytes;
  const output = placeOutputs(k, symbolBytes);
  const stride = roundUp(symbolBytes);
  if (source.buffer !== memory.buffer || source.byteOffset !== memory.byteOffset + SYMBOLS_AT)
    memory.set(source, SYMBOLS_AT);
  kernel.multiply(k, rows, MATRIX_AT, SYMBOLS_AT, symbolBytes, output, stride, symbolBytes);
  for (let row = 0; row < rows; row++) {
    const at = output + row * stride;
    outputs.set(memory.subarray(at, at + symbolBytes), row * symbolBytes);
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / LANE_BYTES) * LANE_BYTES;
}

/** As many columns as fit the memory for `symbols` symbols, in whole lanes, and no more than there are. */
function computeStripBytes(symbols: number, symbolBytes: number): number {
  const room = Math.floor((MEMORY_BYTES - SYMBOLS_AT) / symbols / LANE_BYTES) * LANE_BYTES;
  return Math.min(room, roundUp(symbolBytes));
}
