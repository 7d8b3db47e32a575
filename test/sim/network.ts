// A fake network of one-way paths. Each loses (singly and in bursts), doubles, delays, reorders, cuts and flips what it
// carries, has outages in which all is swallowed or refused; and someone listens, who sends again what was recorded and
// makes up datagrams. What arrives is handed to `deliver`, with the number of its path.
import { HEADER_BYTES } from "../../shared/framing/header.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";

export type PathFaults = {
  loss: number;
  /** Chance that a burst of loss begins with a datagram, and its mean length. */
  burst: number;
  burstLength: number;
  duplicate: number;
  flip: number;
  cut: number;
  delayMs: number;
  jitterMs: number;
  /** Chance that a datagram takes up to `lateMs` longer than its neighbours. */
  late: number;
  lateMs: number;
  /** What is written vanishes. */
  dark: boolean;
  /** Nothing can be written. */
  refusing: boolean;
};

export function healthyPath(delayMs = 1): PathFaults {
  return {
    loss: 0,
    burst: 0,
    burstLength: 1,
    duplicate: 0,
    flip: 0,
    cut: 0,
    delayMs,
    jitterMs: 0,
    late: 0,
    lateMs: 0,
    dark: false,
    refusing: false,
  };
}

const RECORDED_MAX = 500;

export class FakeNetwork {
  readonly paths: PathFaults[];
  deliver: (datagram: Buffer, path: number) => void = () => {};
  carried = 0;
  readonly #burstLeft: number[];
  readonly #schedule: Schedule;
  readonly #random: Random;
  readonly #recorded: Buffer[] = [];

  constructor(paths: PathFaults[], schedule: Schedule, random: Random) {
    this.paths = paths;
    this.#burstLeft = paths.map(() => 0);
    this.#schedule = schedule;
    this.#random = random;
  }

  /** Takes datagrams from a sender; how many it took. */
  send(path: number, datagrams: readonly Buffer[]): number {
    const faults = this.paths[path] as PathFaults;
    if (faults.refusing) return 0;
    for (const datagram of datagrams) this.#carry(path, faults, datagram);
    return datagrams.length;
  }

  /** Someone sends recorded datagrams again, whole or altered, and some that are made up. */
  attack(count: number): void {
    const random = this.#random;
    for (let i = 0; i < count; i++) {
      const path = random.below(this.paths.length);
      const recorded = this.#recorded.length > 0 ? random.pick(this.#recorded) : undefined;
      if (recorded === undefined || random.chance(0.3)) this.#arrive(this.#makeUp(recorded), path, 0);
      else this.#arrive(recorded, path, random.below(50));
    }
  }

  #carry(path: number, faults: PathFaults, datagram: Buffer): void {
    const random = this.#random;
    this.carried++;
    if (this.#recorded.length < RECORDED_MAX) this.#recorded.push(datagram);
    else if (random.chance(0.2)) this.#recorded[random.below(RECORDED_MAX)] = datagram;
    if (faults.dark || this.#isLost(path, faults)) return;
    const copies = random.chance(faults.duplicate) ? random.between(2, 4) : 1;
    for (let copy = 0; copy < copies; copy++) {
      const late = random.chance(faults.late) ? random.fraction() * faults.lateMs : 0;
      const delayMs = faults.delayMs + random.fraction() * faults.jitterMs + late;
      this.#arrive(this.#damage(faults, datagram), path, delayMs);
    }
  }

  #isLost(path: number, faults: PathFaults): boolean {
    if (this.#random.chance(faults.burst)) {
      this.#burstLeft[path] = 1 + Math.floor(this.#random.wait(faults.burstLength));
    }
    const left = this.#burstLeft[path] ?? 0;
    if (left > 0) this.#burstLeft[path] = left - 1;
    return left > 0 || this.#random.chance(faults.loss);
  }

  #damage(faults: PathFaults, datagram: Buffer): Buffer {
    const random = this.#random;
    if (random.chance(faults.cut)) return datagram.subarray(0, random.below(datagram.length));
    return random.chance(faults.flip) ? this.#flip(datagram) : datagram;
  }

  #flip(datagram: Buffer): Buffer {
    const copy = Buffer.from(datagram);
    for (let left = this.#random.between(1, 4); left > 0; left--) {
      const at = this.#random.below(copy.length);
      copy[at] = (copy[at] ?? 0) ^ (1 << this.#random.below(8));
    }
    return copy;
  }

  /** A datagram of someone without the key: a true one with other fields, or nothing but noise behind a header. */
  #makeUp(recorded: Buffer | undefined): Buffer {
    const random = this.#random;
    if (recorded === undefined) {
      return Buffer.from(Array.from({ length: random.between(0, 300) }, () => random.below(256)));
    }
    const copy = Buffer.from(recorded);
    const field = random.pick([8, 16, 20, 24, 28, 31, 32, 33, 34, 35]);
    if (field < copy.length) copy[field] = random.below(256);
    if (random.chance(0.3)) copy.fill(random.below(256), HEADER_BYTES);
    return copy;
  }

  #arrive(datagram: Buffer, path: number, delayMs: number): void {
    this.#schedule.after(delayMs, () => this.deliver(datagram, path));
  }
}
