// The dead letters of all targets: keeps new ones in batches, before the counters that speak of them, and takes
// requests to send some again. After a crash both still agree: letters that came after the last counters are forgotten,
// because their messages are going to be judged again.

import type { Counters } from "../../shared/counters.ts";
import { changeMessage } from "../../shared/message.ts";
import type { DeadLetter, DeadLetters, NewDeadLetter } from "./dead-letters.ts";
import { TargetLetters } from "./targets/letters.ts";

/** New letters in memory: past the first figure they are written at once, past the second the disk takes none. */
const WRITE_BYTES = 1024 * 1024;
const WAITING_BYTES_MAX = 16 * 1024 * 1024;
const LETTER_BYTES = 256;

export type Wanted = {
  readonly ids?: readonly number[] | undefined;
  readonly target?: string | undefined;
  readonly reason?: string | undefined;
};

/** `left`: so many, or the first of more when all were asked for, have to wait, because too many are on their way. */
export type Requeued = { readonly requeued: number; readonly missing: number; readonly left: number };

type Station = { readonly letters: TargetLetters; acceptAnew(): void; wake(): void };

export class DeadLetterDesk {
  /** No power cut may bring the old mark back: it is of another store, or new letters get ids that it knows of. */
  readonly isMarkUrgent: boolean;
  readonly #letters: DeadLetters;
  readonly #name: string;
  readonly #clock: () => number;
  readonly #stations = new Map<string, Station>();
  #waiting: NewDeadLetter[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #problem: string | undefined;

  /** `mark` is what `mark` was when the counters were kept last; `fresh` a name that no other store has. */
  constructor(letters: DeadLetters, mark: string | undefined, fresh: string, clock: () => number) {
    this.#letters = letters;
    this.#clock = clock;
    this.#name = letters.identify(fresh);
    const [name, lastId] = mark?.split(":") ?? [];
    // Of another store the mark says nothing.
    const isOwn = name === this.#name;
    this.isMarkUrgent = !isOwn || letters.lastId < Number(lastId);
    if (isOwn) letters.removeAfter(Number(lastId));
  }

  get count(): number {
    return this.#letters.count;
  }

  get bytes(): number {
    return this.#letters.bytes;
  }

  /** Letters that were dropped to make room since the start of the agent, on the disk or in memory. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Letters that the disk has not taken yet. */
  get unkept(): number {
    return this.#waiting.length;
  }

  /** What keeps the disk from taking letters: it holds up no target, because the ledger counts their messages anyway. */
  get problem(): string | undefined {
    return this.#problem;
  }

  get mark(): string {
    return `${this.#name}:${this.#letters.lastId}`;
  }

  /** Before the target's runner starts. */
  open(target: string, counters: Counters, kept: string | undefined): TargetLetters {
    const put = (letter: NewDeadLetter) => this.#put(letter);
    return new TargetLetters(target, this.#letters, counters, kept, put, this.#clock);
  }

  /** From now on letters of this target can be sent again. */
  connect(target: string, station: Station): void {
    this.#stations.set(target, station);
  }

  /** Before the counters are kept. What the disk refuses waits, as much as memory may take. */
  flush(): void {
    if (this.#waiting.length === 0) return;
    this.#attempt(() => {
      while (this.#waiting.length > 0) this.#writeSome();
    });
  }

  /** After the counters are kept. What the disk refuses is forgotten later. */
  forget(): void {
    this.#attempt(() => {
      for (const { letters } of this.#stations.values()) letters.forget();
    });
  }

  requeue({ ids, target, reason }: Wanted): Requeued {
    const result = { requeued: 0, missing: 0, left: 0 };
    const woken = new Set<Station>();
    const letters = ids === undefined ? this.#letters.list() : ids.map((id) => this.#letters.find(id));
    for (const letter of letters) {
      // The next would have to wait, too, and looking at all of them takes its time.
      if (ids === undefined && result.left > 0) break;
      const isWanted =
        letter !== undefined &&
        (target === undefined || letter.target === target) &&
        (reason === undefined || letter.reason === reason);
      const station = isWanted ? this.#stations.get(letter.target) : undefined;
      if (isWanted && station !== undefined) this.#requeue(letter, station, result, woken);
      else if (ids !== undefined || isWanted) result.missing++;
    }
    for (const station of woken) station.wake();
    return result;
  }

  close(): void {
    this.#letters.close();
  }

  #requeue(
    { id, reason }: DeadLetter,
    station: Station,
    result: { requeued: number; left: number },
    woken: Set<Station>,
  ): void {
    const outcome = station.letters.requeue(id, reason);
    if (outcome === "full") result.left++;
    if (outcome === "full" || outcome === "already") return;
    if (outcome === "uncounted") station.acceptAnew();
    result.requeued++;
    woken.add(station);
  }

  #put(letter: NewDeadLetter): void {
    // A copy, because the payload is a view of a content that would stay in memory with it.
    const message = changeMessage(letter.message, { payload: Buffer.from(letter.message.payload) });
    this.#waiting.push({ ...letter, message });
    this.#waitingBytes += weigh(letter);
    // After a refusal it is tried again when the counters are kept, not with each letter.
    if (this.#waitingBytes > WRITE_BYTES && this.#problem === undefined) this.flush();
    while (this.#waitingBytes > WAITING_BYTES_MAX) {
      this.#waitingBytes -= weigh(this.#waiting.shift() as NewDeadLetter);
      this.#dropped++;
    }
  }

  /** In one transaction, so that a disk that refuses costs little. */
  #writeSome(): void {
    let bytes = 0;
    let count = 0;
    for (const letter of this.#waiting) {
      if (bytes > WRITE_BYTES) break;
      bytes += weigh(letter);
      count++;
    }
    this.#dropped += this.#letters.add(this.#waiting.slice(0, count));
    this.#waiting = this.#waiting.slice(count);
    this.#waitingBytes -= bytes;
  }

  #attempt(work: () => void): void {
    try {
      work();
      if (this.#waiting.length === 0) this.#problem = undefined;
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
    }
  }
}

function weigh({ message }: NewDeadLetter): number {
  return LETTER_BYTES + message.topic.length + message.payload.length;
}
