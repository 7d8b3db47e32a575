// The naive twin of shared/fec, kept only for tests: the same code from its definition, one byte at a time, sharing
// nothing with the product. Multiplication is by shift and xor; restoring inverts a matrix by Gaussian elimination.

export function naiveMultiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0; bit < 8; bit++) {
    if ((b >> bit) & 1) product ^= a << bit;
  }
  for (let bit = 14; bit >= 8; bit--) {
    if ((product >> bit) & 1) product ^= 0x11d << (bit - 8);
  }
  return product;
}

/** `PRODUCTS[a][b]` is a times b. */
const PRODUCTS = Array.from({ length: 256 }, (_, a) =>
  Uint8Array.from({ length: 256 }, (_, b) => naiveMultiply(a, b)),
);

export function naiveInvert(x: number): number {
  return (PRODUCTS[x] as Uint8Array).indexOf(1);
}

/** The row of the identity matrix or the Cauchy matrix that makes the symbol at `position`. */
function createRow(k: number, position: number): number[] {
  return Array.from({ length: k }, (_, source) =>
    position < k ? Number(position === source) : naiveInvert(position ^ source),
  );
}

function addProduct(sum: Uint8Array, constant: number, symbol: Uint8Array): void {
  const products = PRODUCTS[constant] as Uint8Array;
  for (let i = 0; i < sum.length; i++)
    sum[i] = (sum[i] as number) ^ (products[symbol[i] as number] as number);
}

export function naiveEncode(k: number, r: number, source: Uint8Array[]): Uint8Array[] {
  return Array.from({ length: r }, (_, row) => {
    const sum = new Uint8Array((source[0] as Uint8Array).length);
    createRow(k, k + row).forEach((constant, column) => {
      addProduct(sum, constant, source[column] as Uint8Array);
    });
    return sum;
  });
}

/** The rows that make the `missing` source symbols of the symbols at the k positions `present`. */
export function naiveRestoreMatrix(k: number, present: number[], missing: number[]): number[][] {
  const inverse = invertMatrix(present.map((position) => createRow(k, position)));
  return missing.map((source) => inverse[source] as number[]);
}

/** All source symbols, from the first k that are there. */
export function naiveRestore(k: number, symbols: (Uint8Array | undefined)[]): Uint8Array[] {
  const present = [...symbols.keys()].filter((position) => symbols[position] !== undefined).slice(0, k);
  const missing = [...Array(k).keys()].filter((position) => symbols[position] === undefined);
  const source = symbols.slice(0, k) as Uint8Array[];
  naiveRestoreMatrix(k, present, missing).forEach((row, i) => {
    const sum = new Uint8Array((symbols[present[0] as number] as Uint8Array).length);
    row.forEach((constant, column) => {
      addProduct(sum, constant, symbols[present[column] as number] as Uint8Array);
    });
    source[missing[i] as number] = sum;
  });
  return source;
}

function invertMatrix(matrix: number[][]): number[][] {
  const size = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...Array.from({ length: size }, (_, j) => Number(i === j))]);
  for (let pivot = 0; pivot < size; pivot++) {
    const from = rows.findIndex((row, i) => i >= pivot && row[pivot] !== 0);
    const swapped = rows[from] as number[];
    rows[from] = rows[pivot] as number[];
    const scale = PRODUCTS[naiveInvert(swapped[pivot] as number)] as Uint8Array;
    const pivotRow = swapped.map((value) => scale[value] as number);
    rows[pivot] = pivotRow;
    for (let i = 0; i < size; i++) {
      const row = rows[i] as number[];
      const products = PRODUCTS[row[pivot] as number] as Uint8Array;
      if (i !== pivot) rows[i] = row.map((value, j) => value ^ (products[pivotRow[j] as number] as number));
    }
  }
  return rows.map((row) => row.slice(size));
}
