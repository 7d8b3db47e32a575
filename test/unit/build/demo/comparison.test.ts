// The judge of the demonstration must see every kind of wrong.
import { expect, test } from "bun:test";
import { Comparison } from "../../../../build/demo/comparison.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function expectThree(): Comparison {
  const comparison = new Comparison();
  for (const text of ["one", "two", "three"]) comparison.expect("plant/a", bytes(text));
  return comparison;
}

test("Comparison is content when all arrive once, unchanged and in order", () => {
  const comparison = expectThree();
  for (const text of ["one", "two", "three"]) comparison.take("plant/a", bytes(text));
  expect(comparison).toMatchObject({ arrived: 3, missing: 0, altered: 0, duplicated: 0, outOfOrder: 0 });
});

test("Comparison counts a missing, an altered, a repeated and an overtaken message", () => {
  const comparison = expectThree();
  comparison.take("plant/a", bytes("three"));
  comparison.take("plant/a", bytes("one"));
  comparison.take("plant/a", bytes("one"));
  comparison.take("plant/a", bytes("twO"));
  comparison.take("plant/b", bytes("two"));
  expect(comparison).toMatchObject({ arrived: 2, missing: 1, altered: 2, duplicated: 1, outOfOrder: 1 });
});
