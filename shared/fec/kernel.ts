// What both kernels of forward error correction look like to the codec, and where things lie in their memory. The
// codec uses the SIMD kernel where the runtime has it and the portable one elsewhere; they compute the same bytes.

/** The products of every constant, for the SIMD kernel. */
export const TABLES_AT = 0;
/** The matrix, row after row. It has at most 128 * 128 constants, as its rows and columns are 256 symbols at most. */
export const MATRIX_AT = 8 * 1024;
/** The symbols going in, and after them those coming out. */
export const SYMBOLS_AT = MATRIX_AT + 16 * 1024;
/** All the memory a kernel ever has: its working set stays in a second-level cache of 256 KiB. */
export const MEMORY_BYTES = 256 * 1024;

/** A kernel moves this many bytes at once: it strides its output by a multiple of it, and may read that far beyond. */
export const LANE_BYTES = 32;

/**
 * Multiplies the `rows` by `k` matrix at address `matrix` with the `k` symbols of `bytes` bytes that begin at `input`
 * and lie `inputStride` apart, and writes `rows` symbols from `output` on, `outputStride` apart. Addresses and
 * strides count bytes of the kernel's memory; `outputStride` is a multiple of LANE_BYTES.
 */
export type Multiply = (
  k: number,
  rows: number,
  matrix: number,
  input: number,
  inputStride: number,
  output: number,
  outputStride: number,
  bytes: number,
) => void;

export interface Kernel {
  readonly name: "simd" | "portable";
  readonly memory: Uint8Array;
  readonly multiply: Multiply;
}
