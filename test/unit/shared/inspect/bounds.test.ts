// Hostile files cost inspect no more than its limits: blocks that are never whole, runs and ranges without end.
import { describe, expect, test } from "bun:test";
import type { Header } from "../../../../shared/framing/header.ts";
import { BlockTable, type ClosedBlock } from "../../../../shared/inspect/blocks.ts";
import { RangeSet } from "../../../../shared/inspect/ranges.ts";
import { Summary } from "../../../../shared/inspect/summary.ts";
import { Random } from "../fec/random.ts";

const header: Header = {
  ...{ kind: 1, keyId: 0, linkTag: 1, journalId: 1n, epoch: 1n },
  ...{ block: 0, stream: 0, symbol: 0, sourceSymbols: 200, repairSymbols: 1 },
};

describe("BlockTable", () => {
  test("closes the oldest of too many unfinished blocks", () => {
    const closed: ClosedBlock[] = [];
    const table = new BlockTable((block) => closed.push(block));
    for (let block = 0; block < 20_000; block++) table.add({ ...header, block }, 1000, undefined);
    expect(closed).toHaveLength(20_000 - 8192);
    expect(closed[0]).toMatchObject({ header: { block: 0 }, have: 1, isWhole: false });
  });

  test("closes the oldest when symbols take too many bytes", () => {
    let closed = 0;
    const table = new BlockTable(() => closed++);
    const symbol = Buffer.alloc(60_000);
    for (let block = 0; block < 5000; block++) table.add({ ...header, block }, symbol.length, symbol);
    expect(closed).toBeGreaterThan(5000 - 2300);
  });

  test("tells symbols that differ in shape, copies, and symbols of a whole block", () => {
    const table = new BlockTable(() => {});
    const shape = { ...header, sourceSymbols: 2 };
    const symbol = Buffer.from("ab");
    expect(table.add(shape, 2, symbol)).toEqual({ state: "new", have: 1 });
    expect(table.add(shape, 2, symbol)).toEqual({ state: "surplus" });
    expect(table.add({ ...shape, symbol: 1 }, 3, Buffer.from("abc"))).toEqual({ state: "symbol-mismatch" });
    expect(table.add({ ...shape, symbol: 1 }, 2, symbol)).toMatchObject({ state: "whole", restored: 0 });
    expect(table.add({ ...shape, symbol: 2 }, 2, symbol)).toEqual({ state: "surplus" });
  });
});

describe("RangeSet", () => {
  test("agrees with a set of numbers, and knows what was added twice", () => {
    const random = new Random(7);
    for (let round = 0; round < 50; round++) {
      const ranges = new RangeSet();
      const naive = new Set<number>();
      let repeated = 0;
      for (let i = 0; i < 40; i++) {
        const [first, count] = [random.below(200), 1 + random.below(12)];
        ranges.add(first, count);
        for (let n = first; n < first + count; n++) {
          if (naive.has(n)) repeated++;
          naive.add(n);
        }
      }
      const listed = ranges.list().flatMap(({ first, last }) => numbers(first, last));
      expect(listed).toEqual([...naive].sort((a, b) => a - b));
      expect(ranges.repeated).toBe(repeated);
      const all = [...listed, ...ranges.holes().flatMap(({ first, last }) => numbers(first, last))];
      expect(all.sort((a, b) => a - b)).toEqual(numbers(Math.min(...listed), Math.max(...listed)));
    }
  });

  test("counts ranges that it has no room for", () => {
    const ranges = new RangeSet();
    for (let i = 0; i < 10_050; i++) ranges.add(i * 2, 1);
    expect(ranges.list()).toHaveLength(10_000);
    expect(ranges.dropped).toBe(50);
  });
});

describe("Summary", () => {
  test("lists so many runs and counts the rest", () => {
    const summary = new Summary("capture");
    for (let epoch = 0n; epoch < 1000n; epoch++) summary.addToRun({ ...header, epoch }, 100, 0);
    const view = summary.view();
    expect(view.runs).toHaveLength(256);
    expect(view.runsNotListed).toBe(744);
  });
});

function numbers(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
