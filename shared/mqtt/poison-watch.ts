// Finds the message that makes a broker close the connection, again and again, so that it can be put aside and the rest
// go on. Pure. Refuses to blame a message for a broker that is down, restarts or flaps:
//
//   open ──► the connection ends with the same message first in flight, twice, and nothing acknowledged in between
//   quiet ─► the next session: nothing is sent for a while; if it ends already, no message did it        ──► open
//   alone ─► only the suspect is sent; acknowledged, or the connection lives on for a while: it is not it ──► open
//            ended shortly after, three times in a row, each after a longer quiet: it is poison
//
// A broker that takes nothing at all would have everything put aside in time: after ten in a row without one
// acknowledgement no more is.

const SUSPICIOUS_ENDS = 2;
const STRIKES = 3;
const IN_A_ROW_MAX = 10;

export type WatchPhase = "open" | "quiet" | "alone";

export class PoisonWatch<Flight> {
  readonly #quietMs: number;
  #phase: WatchPhase = "open";
  #suspect: Flight | undefined;
  #ends = 0;
  #strikes = 0;
  #sentMs = 0;
  #inARow = 0;

  /** `quietMs` is the first quiet; the suspect must end the connection within half of it. 0: none is tested. */
  constructor(quietMs: number) {
    this.#quietMs = quietMs;
  }

  /** open: all may be sent; quiet: nothing; alone: the suspect, the first that waits. */
  get phase(): WatchPhase {
    return this.#phase;
  }

  /** The next session, or this one, is a test of one message. */
  get isTesting(): boolean {
    return this.#ends >= SUSPICIOUS_ENDS;
  }

  /** A session begins; how long it has to be quiet, 0 for not at all. */
  noteOpen(): number {
    if (!this.isTesting || this.#quietMs === 0) return 0;
    this.#phase = "quiet";
    return this.#quietMs * (this.#strikes + 1);
  }

  /** The quiet is over. */
  endQuiet(): void {
    if (this.#phase === "quiet") this.#phase = "alone";
  }

  /** The suspect is being sent; how soon the session must end for it to be to blame. */
  noteSent(nowMs: number): number {
    this.#sentMs = nowMs;
    return this.#limitMs;
  }

  /** That time is over, and the session goes on. */
  endAlone(): void {
    if (this.#phase === "alone") this.#acquit();
  }

  /** A message was acknowledged, or settled otherwise: the broker works, whatever ended the connections before. */
  noteProgress(): void {
    this.#inARow = 0;
    this.#acquit();
  }

  /** A session has ended with this message first in flight; true when it is poison. */
  noteEnd(first: Flight | undefined, nowMs: number): boolean {
    const phase = this.#phase;
    this.#phase = "open";
    if (first === undefined || phase === "quiet") {
      this.#acquit();
      return false;
    }
    if (phase === "open") {
      this.#ends = first === this.#suspect ? this.#ends + 1 : 1;
      this.#suspect = first;
      if (this.#inARow >= IN_A_ROW_MAX) this.#ends = 0;
      return false;
    }
    if (first !== this.#suspect || nowMs - this.#sentMs > this.#limitMs) {
      this.#acquit();
      return false;
    }
    if (++this.#strikes < STRIKES) return false;
    this.#inARow++;
    this.#acquit();
    return true;
  }

  get #limitMs(): number {
    return (this.#quietMs * (this.#strikes + 1)) / 2;
  }

  #acquit(): void {
    this.#phase = "open";
    this.#suspect = undefined;
    this.#ends = 0;
    this.#strikes = 0;
  }
}
