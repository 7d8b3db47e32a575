import { describe, expect, test } from "bun:test";
import { GapBook, type OpenGap } from "../../../../../agents/recv/link/gaps.ts";

const gap = (first: number, end: number, change: Partial<OpenGap> = {}): OpenGap => ({
  stream: 0,
  first,
  end,
  atMs: first,
  reason: "gap",
  before: undefined,
  after: undefined,
  ...change,
});
const ranges = (book: GapBook) => [...book.list()].map(({ first, end }) => [first, end]);

describe("GapBook", () => {
  test("fill() takes out exactly what was missing, in the middle, at the ends and over several gaps", () => {
    const book = new GapBook();
    book.add(gap(10, 20));
    book.add(gap(30, 40));
    expect(book.fill(0, 0, 10)).toEqual([]);
    expect(book.fill(0, 14, 16)).toEqual([{ first: 14, end: 16, reason: "gap" }]);
    expect(ranges(book)).toEqual([
      [10, 14],
      [16, 20],
      [30, 40],
    ]);
    expect(book.fill(0, 18, 35)).toEqual([
      { first: 18, end: 20, reason: "gap" },
      { first: 30, end: 35, reason: "gap" },
    ]);
    expect(book.fill(0, 18, 35)).toEqual([]);
    expect(book.fill(1, 0, 100)).toEqual([]);
    expect(book.sequences).toBe(4 + 2 + 5);
  });

  test("wants() is true exactly for what fill() would take", () => {
    const book = new GapBook([gap(10, 20), gap(30, 40, { stream: 3 })]);
    expect([
      book.wants(0, 0, 10),
      book.wants(0, 9, 11),
      book.wants(0, 19, 20),
      book.wants(0, 20, 99),
    ]).toEqual([false, true, true, false]);
    expect([book.wants(3, 39, 50), book.wants(2, 0, 99)]).toEqual([true, false]);
  });

  test("changes() rebuilds the same book", () => {
    const book = new GapBook();
    const kept = new Map<string, OpenGap>();
    const keep = () => {
      for (const [name, value] of book.changes()) {
        if (value === undefined) kept.delete(name);
        else kept.set(name, value);
      }
      book.noteKept();
    };
    book.add(gap(10, 20));
    keep();
    book.fill(0, 10, 12);
    book.add(gap(50, 60, { stream: 1 }));
    keep();
    book.fill(0, 15, 16);
    book.noteAfter(1, "plant/x");
    keep();
    expect([...new GapBook(kept.values()).list()].sort((a, b) => a.first - b.first)).toEqual([
      ...book.list(),
    ]);
    book.clear();
    keep();
    expect(kept.size).toBe(0);
  });

  test("is bounded: past its limit the oldest gap is closed", () => {
    const book = new GapBook();
    for (let first = 0; first < 10_050; first++) book.add(gap(first * 2, first * 2 + 1));
    expect(book.count).toBe(10_000);
    expect(book.closed).toBe(50);
    expect(book.wants(0, 0, 100)).toBe(false);
  });
});
