// The simulator's own random numbers (xoshiro128**, seeded by splitmix32): the same seed gives the same run on every
// machine and in every version of the runtime. Not for anything secret.
export class Random {
  readonly #state = new Uint32Array(4);

  /** `seed` is a whole number; all its 53 bits count. */
  constructor(seed: number) {
    let mix = (seed ^ Math.imul(Math.floor(seed / 0x1_0000_0000), 0x9e3779b1)) >>> 0;
    for (let i = 0; i < 4; i++) {
      mix = (mix + 0x9e3779b9) >>> 0;
      let z = mix;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.#state[i] = z ^ (z >>> 16);
    }
  }

  /** 32 bits. */
  bits(): number {
    const s = this.#state as unknown as [number, number, number, number];
    const product = Math.imul(s[1], 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** From 0 up to 1, excluded. */
  fraction(): number {
    return this.bits() / 0x1_0000_0000;
  }

  /** A whole number from 0 up to `end`, excluded. */
  below(end: number): number {
    return Math.floor(this.fraction() * end);
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** Between the two, small numbers as likely as large ones by their magnitude. */
  magnitude(least: number, most: number): number {
    return Math.round(least * (most / least) ** this.fraction());
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** Waiting time until the next of events that come by chance, every `meanMs` on average. */
  wait(meanMs: number): number {
    return -Math.log(1 - this.fraction()) * meanMs;
  }

  bits64(): bigint {
    return (BigInt(this.bits()) << 32n) | BigInt(this.bits());
  }

  /** Another generator, so that one part of the simulation does not shift the numbers of the others. */
  fork(): Random {
    return new Random(this.bits() * 0x1_0000 + (this.bits() >>> 16));
  }
}
