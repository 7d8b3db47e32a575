// Seeded randomness for the fuzz tests. The seed is printed, so that TIDEGATE_SEED runs the same again.

export class Random {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to `end`, excluded. */
  below(end: number): number {
    return Math.floor(this.unit() * end);
  }

  /** 0 to 1, excluded (mulberry32). */
  unit(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  chance(share: number): boolean {
    return this.unit() < share;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }

  bytes(size: number): Buffer {
    const out = Buffer.allocUnsafe(size);
    for (let at = 0; at < size; at++) out[at] = this.below(256);
    return out;
  }

  big64(): bigint {
    return (BigInt(this.below(0x1_0000_0000)) << 32n) | BigInt(this.below(0x1_0000_0000));
  }

  /** A whole number that somebody may have forgotten to think of, up to 2^53 - 1. */
  oddNumber(): number {
    const edges = [0, 1, 2, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32];
    const far = [2 ** 48, 2 ** 52 - 1, 2 ** 52, 2 ** 53 - 2, Number.MAX_SAFE_INTEGER];
    const kind = this.below(4);
    if (kind === 0) return this.pick(edges);
    if (kind === 1) return this.pick(far);
    return kind === 2 ? this.below(300) : Math.floor(this.unit() * 2 ** this.below(54));
  }
}

/** The seed of this run: TIDEGATE_SEED, or a new one each time. Printed. */
export function startRandom(what: string): Random {
  const seed = Number(process.env.TIDEGATE_SEED ?? Math.floor(Math.random() * 2 ** 32));
  process.stderr.write(`${what}: TIDEGATE_SEED=${seed}\n`);
  return new Random(seed);
}

/** Calls `step` again and again for its share of TIDEGATE_FUZZ_SECONDS (20 unless told); how often that was. */
export function spendTime(share: number, step: () => void): number {
  const seconds = Number(process.env.TIDEGATE_FUZZ_SECONDS ?? 20) * share;
  const endMs = performance.now() + seconds * 1000;
  let steps = 0;
  for (; performance.now() < endMs; steps++) step();
  return steps;
}
