// The two matrices of the code: the one that makes repair symbols out of source symbols, and the one that makes
// missing source symbols out of those that came. Both are written row after row, one byte a constant.
//
// A symbol is known by its position: source symbols are 0 to k-1, repair symbols k to k+r-1. The constant of repair
// position p and source position s is inv(p xor s), a Cauchy matrix: byte-identical to klauspost/reedsolomon
// WithCauchyMatrix() and isa-l gf_gen_cauchy1_matrix. Any k positions restore the rest, so there is no singular case.

import { EXP, FIELD_ORDER, invert, LOG } from "./field.ts";

/** Writes the `r` by `k` matrix that makes repair symbols. */
export function writeParityMatrix(k: number, r: number, matrix: Uint8Array): void {
  let at = 0;
  for (let repair = k; repair < k + r; repair++) {
    for (let source = 0; source < k; source++) matrix[at++] = invert(repair ^ source);
  }
}

/**
 * Writes the matrix whose rows are the `missing` source positions and whose columns are the `present` positions, in
 * the order given. `present` has exactly k positions; `used` are those of them that are repair symbols, and there
 * are as many of them as are missing.
 *
 * No matrix is inverted. A Cauchy code is a scaled Reed-Solomon code: for the rational function
 * f(x) = sum of source[s] / (x - s) the repair symbol p is f(p), and the numerator of f is a polynomial of degree
 * below k that all k+r symbols sample. Interpolating it from the present positions gives each constant as a quotient
 * of products; what is common to all positions cancels and leaves `missing` and `used`, so a whole matrix costs about
 * k times the number missing, less than it would to find it in a cache.
 */
export function writeRestoreMatrix(
  present: Uint8Array,
  missing: Uint8Array,
  used: Uint8Array,
  matrix: Uint8Array,
): void {
  const weights = new Uint8Array(present.length);
  for (let column = 0; column < present.length; column++) {
    weights[column] = computeWeight(present[column] as number, missing, used);
  }
  let at = 0;
  for (const row of missing) {
    const weight = computeWeight(row, missing, used) + 2 * FIELD_ORDER;
    for (let column = 0; column < present.length; column++) {
      const difference = LOG[row ^ (present[column] as number)] as number;
      matrix[at++] = EXP[(weight - (weights[column] as number) - difference) % FIELD_ORDER] as number;
    }
  }
}

/** The logarithm of (product of x - u over `used`) / (product of x - m over `missing`), x itself left out. */
function computeWeight(x: number, missing: Uint8Array, used: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < used.length; i++) {
    const up = x ^ (used[i] as number);
    const down = x ^ (missing[i] as number);
    if (up !== 0) sum += LOG[up] as number;
    if (down !== 0) sum += FIELD_ORDER - (LOG[down] as number);
  }
  return sum % FIELD_ORDER;
}
