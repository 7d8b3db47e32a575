// @ts-nocheck: this is AssemblyScript, compiled by build/fec.ts into kernel-wasm.ts; v128 is not TypeScript.
//
// The inner loop of forward error correction: a matrix over GF(2^8) times a column of symbols, in 128-bit lanes.
//
//   output[row] = sum over j of matrix[row][j] * input[j]
//
// A product with a constant is linear over the bits, so it is the sum of two look-ups of 16 entries, one for each
// half of the byte, and i8x16.swizzle does 16 such look-ups at once. Address 0 holds, for each of the 256 constants,
// the 16 products of the low half and then those of the high half: 32 bytes a constant, 8 KiB.
//
// Four rows share one reading of the input, because splitting bytes into halves costs as much as a row does. Every
// loop moves 32 bytes, so it may read and write up to 31 bytes past the end: the caller leaves that room and strides
// the output by a multiple of 32. It checks nothing; WebAssembly confines a wrong address to its own memory.

export function multiply(
  k: usize,
  rows: usize,
  matrix: usize,
  input: usize,
  inputStride: usize,
  output: usize,
  outputStride: usize,
  bytes: usize,
): void {
  let row: usize = 0;
  for (; row + 4 <= rows; row += 4) {
    fourRows(k, matrix + row * k, input, inputStride, output + row * outputStride, outputStride, bytes);
  }
  if (row + 2 <= rows) {
    twoRows(k, matrix + row * k, input, inputStride, output + row * outputStride, outputStride, bytes);
    row += 2;
  }
  if (row < rows) oneRow(k, matrix + row * k, input, inputStride, output + row * outputStride, bytes);
}

function fourRows(
  k: usize,
  matrix: usize,
  input: usize,
  inputStride: usize,
  output: usize,
  outputStride: usize,
  bytes: usize,
): void {
  const half = i8x16.splat(15);
  const matrixEnd = matrix + k;
  for (let at: usize = 0; at < bytes; at += 32) {
    let a0 = i64x2.splat(0);
    let a1 = a0;
    let b0 = a0;
    let b1 = a0;
    let c0 = a0;
    let c1 = a0;
    let d0 = a0;
    let d1 = a0;
    let from = input + at;
    for (let constant = matrix; constant < matrixEnd; constant++) {
      const x0 = v128.load(from);
      const x1 = v128.load(from, 16);
      const low0 = v128.and(x0, half);
      const low1 = v128.and(x1, half);
      const high0 = v128.and(i16x8.shr_u(x0, 4), half);
      const high1 = v128.and(i16x8.shr_u(x1, 4), half);
      let table = (<usize>load<u8>(constant)) << 5;
      let lows = v128.load(table);
      let highs = v128.load(table, 16);
      a0 = v128.xor(a0, v128.xor(i8x16.swizzle(lows, low0), i8x16.swizzle(highs, high0)));
      a1 = v128.xor(a1, v128.xor(i8x16.swizzle(lows, low1), i8x16.swizzle(highs, high1)));
      table = (<usize>load<u8>(constant + k)) << 5;
      lows = v128.load(table);
      highs = v128.load(table, 16);
      b0 = v128.xor(b0, v128.xor(i8x16.swizzle(lows, low0), i8x16.swizzle(highs, high0)));
      b1 = v128.xor(b1, v128.xor(i8x16.swizzle(lows, low1), i8x16.swizzle(highs, high1)));
      table = (<usize>load<u8>(constant + 2 * k)) << 5;
      lows = v128.load(table);
      highs = v128.load(table, 16);
      c0 = v128.xor(c0, v128.xor(i8x16.swizzle(lows, low0), i8x16.swizzle(highs, high0)));
      c1 = v128.xor(c1, v128.xor(i8x16.swizzle(lows, low1), i8x16.swizzle(highs, high1)));
      table = (<usize>load<u8>(constant + 3 * k)) << 5;
      lows = v128.load(table);
      highs = v128.load(table, 16);
      d0 = v128.xor(d0, v128.xor(i8x16.swizzle(lows, low0), i8x16.swizzle(highs, high0)));
      d1 = v128.xor(d1, v128.xor(i8x16.swizzle(lows, low1), i8x16.swizzle(highs, high1)));
      from += inputStride;
    }
    let to = output + at;
    v128.store(to, a0);
    v128.store(to, a1, 16);
    to += outputStride;
    v128.store(to, b0);
    v128.store(to, b1, 16);
    to += outputStride;
    v128.store(to, c0);
    v128.store(to, c1, 16);
    to += outputStride;
    v128.store(to, d0);
    v128.store(to, d1, 16);
  }
}

function twoRows(
  k: usize,
  matrix: usize,
  input: usize,
  inputStride: usize,
  output: usize,
  outputStride: usize,
  bytes: usize,
): void {
  const half = i8x16.splat(15);
  const matrixEnd = matrix + k;
  for (let at: usize = 0; at < bytes; at += 32) {
    let a0 = i64x2.splat(0);
    let a1 = a0;
    let b0 = a0;
    let b1 = a0;
    let from = input + at;
    for (let constant = matrix; constant < matrixEnd; constant++) {
      const x0 = v128.load(from);
      const x1 = v128.load(from, 16);
      const low0 = v128.and(x0, half);
      const low1 = v128.and(x1, half);
      const high0 = v128.and(i16x8.shr_u(x0, 4), half);
      const high1 = v128.and(i16x8.shr_u(x1, 4), half);
      let table = (<usize>load<u8>(constant)) << 5;
      let lows = v128.load(table);
      let highs = v128.load(table, 16);
      a0 = v128.xor(a0, v128.xor(i8x16.swizzle(lows, low0), i8x16.swizzle(highs, high0)));
      a1 = v128.xor(a1, v128.xor(i8x16.swizzle(lows, low1), i8x16.swizzle(highs, high1)));
      table = (<usize>load<u8>(constant + k)) << 5;
      lows = v128.load(table);
      highs = v128.load(table, 16);
      b0 = v128.xor(b0, v128.xor(i8x16.swizzle(lows, low0), i8x16.swizzle(highs, high0)));
      b1 = v128.xor(b1, v128.xor(i8x16.swizzle(lows, low1), i8x16.swizzle(highs, high1)));
      from += inputStride;
    }
    const to = output + at;
    v128.store(to, a0);
    v128.store(to, a1, 16);
    v128.store(to + outputStride, b0);
    v128.store(to + outputStride, b1, 16);
  }
}

function oneRow(
  k: usize,
  matrix: usize,
  input: usize,
  inputStride: usize,
  output: usize,
  bytes: usize,
): void {
  const half = i8x16.splat(15);
  const matrixEnd = matrix + k;
  for (let at: usize = 0; at < bytes; at += 32) {
    let a0 = i64x2.splat(0);
    let a1 = a0;
    let from = input + at;
    for (let constant = matrix; constant < matrixEnd; constant++) {
      const x0 = v128.load(from);
      const x1 = v128.load(from, 16);
      const table = (<usize>load<u8>(constant)) << 5;
      const lows = v128.load(table);
      const highs = v128.load(table, 16);
      const high0 = v128.and(i16x8.shr_u(x0, 4), half);
      const high1 = v128.and(i16x8.shr_u(x1, 4), half);
      a0 = v128.xor(a0, v128.xor(i8x16.swizzle(lows, v128.and(x0, half)), i8x16.swizzle(highs, high0)));
      a1 = v128.xor(a1, v128.xor(i8x16.swizzle(lows, v128.and(x1, half)), i8x16.swizzle(highs, high1)));
      from += inputStride;
    }
    v128.store(output + at, a0);
    v128.store(output + at, a1, 16);
  }
}
