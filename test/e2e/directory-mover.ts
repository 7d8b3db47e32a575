// Carries files from one directory to another as badly as one may: out of order, in pieces under their final names, and many twice.
// What it does follows from its seed alone.
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const TURN_MS = 30;

type Carried = { readonly name: string; readonly bytes: Buffer; at: number; again: boolean };

export class DirectoryMover implements AsyncDisposable {
  /** Files taken from the outbox. */
  moved = 0;
  /** Files arrive without so many of their last bytes. */
  cutLastBytes = 0;
  readonly #from: string;
  readonly #to: string;
  #state: number;
  #carried: Carried[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(from: string, to: string, seed: number) {
    this.#from = from;
    this.#to = to;
    this.#state = seed;
  }

  start(): void {
    this.#timer = setInterval(() => this.#turn(), TURN_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
  }

  #random(below: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 0x1_0000_0000) * below);
  }

  #turn(): void {
    for (const name of readdirSync(this.#from)) {
      if (name.startsWith(".")) continue;
      const path = join(this.#from, name);
      const whole = readFileSync(path);
      const bytes = whole.subarray(0, whole.length - this.cutLastBytes);
      this.#carried.push({ name, bytes, at: 0, again: this.#random(3) === 0 });
      rmSync(path);
      this.moved++;
    }
    if (this.#carried.length === 0) return;
    // One of those at hand, not the one that came first.
    const index = this.#random(this.#carried.length);
    const file = this.#carried[index] as Carried;
    const path = join(this.#to, file.name);
    const piece = file.bytes.subarray(file.at, file.at + 1 + this.#random(file.bytes.length));
    const there = existsSync(path);
    if (file.at === 0) {
      if (there) return; // The first copy has not been picked up yet.
      writeFileSync(path, piece);
    } else if (there) appendFileSync(path, piece);
    else {
      // It stood still for so long that it was taken as it was.
      file.at = 0;
      return;
    }
    file.at += piece.length;
    if (file.at < file.bytes.length) return;
    if (file.again) {
      file.again = false;
      file.at = 0;
    } else this.#carried.splice(index, 1);
  }
}
