// A set of whole numbers as ranges: which sequences were seen. Bounded: past a number of ranges new ones are only counted.

export type Range = { readonly first: number; readonly last: number };

const RANGES_MAX = 10_000;

export class RangeSet {
  #ranges: Range[] = [];
  /** Numbers that were added a second time. */
  repeated = 0;
  /** Ranges that had no room. */
  dropped = 0;

  list(): readonly Range[] {
    return this.#ranges;
  }

  /** What lies between the ranges. */
  holes(): Range[] {
    return this.#ranges.slice(1).map(({ first }, i) => ({
      first: (this.#ranges[i]?.last ?? 0) + 1,
      last: first - 1,
    }));
  }

  /** `count` numbers from `first` on, at least 1. */
  add(first: number, count: number): void {
    const last = first + count - 1;
    const from = this.#find(first - 1);
    let to = from;
    let [low, high] = [first, last];
    for (; to < this.#ranges.length; to++) {
      const range = this.#ranges[to];
      if (range === undefined || range.first > last + 1) break;
      this.repeated += Math.max(0, Math.min(range.last, last) - Math.max(range.first, first) + 1);
      low = Math.min(low, range.first);
      high = Math.max(high, range.last);
    }
    if (from === to && this.#ranges.length >= RANGES_MAX) this.dropped++;
    else this.#ranges.splice(from, to - from, { first: low, last: high });
  }

  /** Index of the first range that ends at `number` or later. */
  #find(number: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle]?.last ?? 0) < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
