// The kernel for runtimes without WebAssembly SIMD, in plain TypeScript. It packs the products of one source byte in
// four rows into one 32-bit word, so that one look-up and one xor serve four rows; the rows come apart at the end.

import { multiply } from "./field.ts";
import { type Kernel, MEMORY_BYTES, type Multiply } from "./kernel.ts";

const ROWS_A_WORD = 4;

export function openPortableKernel(): Kernel {
  const memory = new Uint8Array(MEMORY_BYTES);
  return { name: "portable", memory, multiply: createMultiply(memory) };
}

function createMultiply(memory: Uint8Array): Multiply {
  const sums = new Int32Array(MEMORY_BYTES / 2);
  const even = new Int32Array(256);
  const odd = new Int32Array(256);
  return (k, rows, matrix, input, inputStride, output, outputStride, bytes) => {
    for (let row = 0; row < rows; row += ROWS_A_WORD) {
      const group = Math.min(ROWS_A_WORD, rows - row);
      sums.fill(0, 0, bytes);
      for (let column = 0; column < k; column += 2) {
        const constants = matrix + row * k + column;
        const from = input + column * inputStride;
        writeProducts(even, memory, constants, k, group);
        if (column + 1 === k) {
          addOne(sums, memory, even, from, bytes);
        } else {
          writeProducts(odd, memory, constants + 1, k, group);
          addTwo(sums, memory, even, from, odd, from + inputStride, bytes);
        }
      }
      for (let part = 0; part < group; part++) {
        writeRow(sums, memory, 8 * part, output + (row + part) * outputStride, bytes);
      }
    }
  };
}

/** Fills `products` for one column of the matrix; multiplication is linear, so each bit doubles what is there. */
function writeProducts(
  products: Int32Array,
  memory: Uint8Array,
  constants: number,
  k: number,
  group: number,
): void {
  for (let bit = 1; bit < 256; bit <<= 1) {
    let word = 0;
    for (let part = 0; part < group; part++) {
      word |= multiply(memory[constants + part * k] as number, bit) << (8 * part);
    }
    for (let x = 0; x < bit; x++) products[bit + x] = (products[x] as number) ^ word;
  }
}

function addOne(
  sums: Int32Array,
  memory: Uint8Array,
  products: Int32Array,
  from: number,
  bytes: number,
): void {
  for (let i = 0; i < bytes; i++) {
    sums[i] = (sums[i] as number) ^ (products[memory[from + i] as number] as number);
  }
}

/** Two columns a pass, because reading and writing the sums costs as much as a look-up. */
function addTwo(
  sums: Int32Array,
  memory: Uint8Array,
  even: Int32Array,
  evenFrom: number,
  odd: Int32Array,
  oddFrom: number,
  bytes: number,
): void {
  for (let i = 0; i < bytes; i++) {
    sums[i] =
      (sums[i] as number) ^
      (even[memory[evenFrom + i] as number] as number) ^
      (odd[memory[oddFrom + i] as number] as number);
  }
}

function writeRow(sums: Int32Array, memory: Uint8Array, shift: number, to: number, bytes: number): void {
  for (let i = 0; i < bytes; i++) memory[to + i] = (sums[i] as number) >>> shift;
}
