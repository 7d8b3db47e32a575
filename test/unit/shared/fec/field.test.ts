import { expect, test } from "bun:test";
import { EXP, invert, LOG, multiply } from "../../../../shared/fec/field.ts";
import { naiveMultiply } from "./naive.ts";

test("multiply() is shift and xor modulo 0x11d, for every pair", () => {
  const wrong: string[] = [];
  for (let a = 0; a < 256; a++) {
    for (let b = 0; b < 256; b++) {
      if (multiply(a, b) !== naiveMultiply(a, b)) wrong.push(`${a} * ${b}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("invert() gives what multiplies to 1, for every number but 0", () => {
  for (let x = 1; x < 256; x++) expect(naiveMultiply(x, invert(x))).toBe(1);
});

test("LOG and EXP undo each other", () => {
  for (let x = 1; x < 256; x++) expect(EXP[LOG[x] as number]).toBe(x);
});
