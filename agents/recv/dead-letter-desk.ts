// The dead letters of all targets: keeps new ones in batches, before the counters that speak of them, and takes
// requests to send some again. After a crash both still agree: letters that came after the last counters are forgotten,
// because their messages are going to be judged again.
import type { Counters } from "../../shared/counters.ts";
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

/** `left` were wanted, but too many are on their way already. */
export type Requeued = { readonly requeued: number; readonly missing: number; readonly left: number };

type Station = { readonly letters: TargetLetters; acceptAnew(): void; wake(): void };

export class DeadLetterDesk {
  readonly #letters: DeadLetters;
  readonly #name: string;
  readonly #clock: () => number;
  readonly #stations = new Map<string, Station>();
  #waiting: NewDeadLetter[] = [];
  #waitingBytes = 0;
  #dropped = 0;

  /** `mark` is what `mark` was when the counters were kept last; `fresh` a name that no other store has. */
  constructor(letters: DeadLetters, mark: string | undefined, fresh: string, clock: () => number) {
    this.#letters = letters;
    this.#clock = clock;
    this.#name = letters.identify(fresh);
    const [name, lastId] = mark?.split(":") ?? [];
    // Of another store the mark says nothing.
    if (name === this.#name) letters.removeAfter(Number(lastId));
  }

  get count(): number {
    return this.#letters.count;
  }

  get bytes(): number {
    return this.#letters.bytes;
  }

  /** Letters that were dropped to make room since the start of the agent. */
  get dropped(): number {
    return this.#dropped;
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

  /** Before the counters are kept. Throws what the disk says. */
  flush(): void {
    if (this.#waiting.length === 0) return;
    this.#dropped += this.#letters.add(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** After the counters are kept. Throws what the disk says. */
  forget(): void {
    for (const { letters } of this.#stations.values()) letters.forget();
  }

  requeue({ ids, target, reason }: Wanted): Requeued {
    const result = { requeued: 0, missing: 0, left: 0 };
    const woken = new Set<Station>();
    const letters = ids === undefined ? this.#letters.list() : ids.map((id) => this.#letters.find(id));
    for (const letter of letters) {
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
    const message = { ...letter.message, payload: Buffer.from(letter.message.payload) };
    this.#waiting.push({ ...letter, message });
    this.#waitingBytes += LETTER_BYTES + letter.message.payload.length;
    if (this.#waitingBytes < WRITE_BYTES) return;
    try {
      this.flush();
    } catch {
      // It is tried again when the counters are kept, and told there.
      while (this.#waitingBytes > WAITING_BYTES_MAX) {
        const oldest = this.#waiting.shift() as NewDeadLetter;
        this.#waitingBytes -= LETTER_BYTES + oldest.message.payload.length;
        this.#dropped++;
      }
    }
  }
}
