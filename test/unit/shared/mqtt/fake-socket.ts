// A socket for tests: what the far side "sends" is pushed in, what is written is kept.

import { Duplex } from "node:stream";

export class FakeSocket extends Duplex {
  readonly written: Buffer[] = [];
  /** While true, nothing written gets on its way. */
  isStuck = false;
  #stuck: (() => void)[] = [];

  get sent(): Buffer {
    return Buffer.concat(this.written);
  }

  takeSent(): string {
    const hex = this.sent.toString("hex");
    this.written.length = 0;
    return hex;
  }

  unstick(): void {
    this.isStuck = false;
    for (const done of this.#stuck.splice(0)) done();
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(Buffer.from(chunk));
    if (this.isStuck) this.#stuck.push(done);
    else done();
  }
}

/** Small seeded generator (mulberry32), so that a failure can be repeated. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
