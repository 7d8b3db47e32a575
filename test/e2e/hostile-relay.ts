// A stretch of cable that does what a bad day, or a bad person, could do: passes datagrams on twice, late, in another
// order, with bits turned over, and old ones again. What it does follows from its seed. It never holds a true datagram
// back for good unless it is told to cut.
import { createSocket, type Socket } from "node:dgram";

export type Mischief = {
  /** Of 1,000 datagrams so many … */
  readonly twice: number;
  readonly late: number;
  /** … at most by this. */
  readonly lateMs: number;
  /** A copy with bits turned over goes ahead of the true one. */
  readonly forged: number;
  /** The true one itself has a bit turned over. */
  readonly corrupted: number;
  /** One from the past goes along. */
  readonly replayed: number;
};

export const HONEST: Mischief = { twice: 0, late: 0, lateMs: 0, forged: 0, corrupted: 0, replayed: 0 };

export class HostileRelay implements AsyncDisposable {
  /** All that came, in order. */
  readonly captured: Buffer[] = [];
  readonly done = { twice: 0, late: 0, forged: 0, corrupted: 0, replayed: 0 };
  readonly #random: () => number;
  #isCut = false;
  #isClosed = false;

  private constructor(
    private readonly socket: Socket,
    private readonly toPort: number,
    private mischief: Mischief,
    seed: number,
  ) {
    this.#random = seededRandom(seed);
    socket.on("message", (datagram) => this.#take(datagram));
  }

  static async start(toPort: number, mischief: Mischief, seed: number): Promise<HostileRelay> {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    socket.setRecvBufferSize(4_194_304);
    return new HostileRelay(socket, toPort, mischief, seed);
  }

  get port(): number {
    return this.socket.address().port;
  }

  behave(mischief: Mischief): void {
    this.mischief = mischief;
  }

  cut(isCut = true): void {
    this.#isCut = isCut;
  }

  /** Sends something of its own to the receiver. */
  inject(datagram: Buffer): Promise<void> {
    return new Promise((resolve) => this.socket.send(datagram, this.toPort, "127.0.0.1", () => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await new Promise<void>((resolve) => this.socket.close(resolve));
  }

  #take(datagram: Buffer): void {
    this.captured.push(datagram);
    if (this.#isCut) return;
    const { lateMs } = this.mischief;
    if (this.#strikes("forged")) this.#pass(this.#turnBits(datagram));
    if (this.#strikes("replayed")) {
      const old = this.captured[Math.floor(this.#random() * this.captured.length)];
      if (old !== undefined) this.#pass(old);
    }
    const twice = this.#strikes("twice");
    const late = this.#strikes("late");
    const corrupted = this.#strikes("corrupted");
    const delayMs = late ? this.#random() * lateMs : 0;
    this.#pass(corrupted ? this.#turnBits(datagram) : datagram, delayMs);
    if (twice) this.#pass(datagram, this.#random() * lateMs);
  }

  #pass(datagram: Buffer, delayMs = 0): void {
    if (delayMs > 0) setTimeout(() => this.#pass(datagram), delayMs);
    else if (!this.#isClosed) this.socket.send(datagram, this.toPort, "127.0.0.1", () => {});
  }

  #strikes(kind: keyof HostileRelay["done"]): boolean {
    const strikes = this.#random() * 1000 < this.mischief[kind];
    if (strikes) this.done[kind]++;
    return strikes;
  }

  /** A copy with one to eight bits turned over, anywhere. */
  #turnBits(datagram: Buffer): Buffer {
    const copy = Buffer.from(datagram);
    for (let bits = 1 + Math.floor(this.#random() * 8); bits > 0; bits--) {
      const at = Math.floor(this.#random() * copy.length);
      copy[at] = (copy[at] ?? 0) ^ (1 << Math.floor(this.#random() * 8));
    }
    return copy.equals(datagram) ? this.#turnBits(datagram) : copy;
  }
}

/** mulberry32: the same numbers for the same seed. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}
