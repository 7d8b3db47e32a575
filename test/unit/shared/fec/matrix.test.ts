import { expect, test } from "bun:test";
import { writeParityMatrix, writeRestoreMatrix } from "../../../../shared/fec/matrix.ts";
import { naiveInvert, naiveRestoreMatrix } from "./naive.ts";
import { Random } from "./random.ts";

test("writeParityMatrix() writes inv((k + row) xor column), for every k and r", () => {
  const inverses = Array.from({ length: 256 }, (_, x) => naiveInvert(x));
  const matrix = new Uint8Array(128 * 128);
  for (let k = 1; k < 256; k++) {
    const r = 256 - k;
    writeParityMatrix(k, r, matrix);
    let wrong = 0;
    for (let row = 0; row < r; row++) {
      for (let column = 0; column < k; column++) {
        if (matrix[row * k + column] !== inverses[(k + row) ^ column]) wrong++;
      }
    }
    expect(wrong).toBe(0);
  }
});

test("writeRestoreMatrix() writes what Gaussian elimination finds, in small and in large blocks", () => {
  const random = new Random(20_260_101);
  for (let round = 0; round < 400; round++) {
    const largest = round < 380 ? 24 : 255;
    const k = 1 + random.below(largest);
    const r = Math.min(1 + random.below(largest), 256 - k);
    const present = random.pick(k, k + r).sort((a, b) => a - b);
    const missing = [...Array(k).keys()].filter((source) => !present.includes(source));
    const used = present.filter((position) => position >= k);
    const matrix = new Uint8Array(128 * 128);
    writeRestoreMatrix(Uint8Array.from(present), Uint8Array.from(missing), Uint8Array.from(used), matrix);
    const rows = missing.map((_, row) => [...matrix.subarray(row * k, (row + 1) * k)]);
    expect(rows).toEqual(naiveRestoreMatrix(k, present, missing));
  }
});
