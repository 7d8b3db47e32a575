import { expect, test } from "bun:test";
import { findUnneeded, type Range } from "../../../../../agents/recv/targets/needs.ts";

const CASES: [needed: Range[], unneeded: Range[]][] = [
  [[[1, Infinity]], []],
  [[[5, Infinity]], [[1, 4]]],
  [
    [
      [10, Infinity],
      [3, 5],
    ],
    [
      [1, 2],
      [6, 9],
    ],
  ],
  [
    [
      [3, 8],
      [10, Infinity],
      [6, Infinity],
    ],
    [[1, 2]],
  ],
  [
    [
      [2, 4],
      [5, 6],
      [7, 7],
    ],
    [[1, 1]],
  ],
];

test.each(CASES)("findUnneeded() of %j is %j", (needed, unneeded) => {
  expect(findUnneeded(needed)).toEqual(unneeded);
});
