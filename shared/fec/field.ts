// The field GF(2^8) over the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), whose generator is 2. Addition is xor;
// multiplication goes through logarithms. Zero has no logarithm and no inverse: the callers here never ask for one,
// because the Cauchy matrix divides only by the xor of two different numbers.

/** The number of elements without zero; logarithms count modulo this. */
export const FIELD_ORDER = 255;

const POLYNOMIAL = 0x11d;

/** `EXP[n]` is 2 to the power n. Twice as long as the order, so that the sum of two logarithms needs no modulo. */
export const EXP = new Uint8Array(2 * FIELD_ORDER);

/** `LOG[x]` is the power of 2 that is x, for x from 1 to 255. `LOG[0]` means nothing. */
export const LOG = new Uint8Array(256);

let power = 1;
for (let exponent = 0; exponent < FIELD_ORDER; exponent++) {
  EXP[exponent] = power;
  EXP[exponent + FIELD_ORDER] = power;
  LOG[power] = exponent;
  power <<= 1;
  if (power > 255) power ^= POLYNOMIAL;
}

export function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0;
  return EXP[(LOG[a] as number) + (LOG[b] as number)] as number;
}

/** The inverse of x, from 1 to 255. */
export function invert(x: number): number {
  return EXP[FIELD_ORDER - (LOG[x] as number)] as number;
}
