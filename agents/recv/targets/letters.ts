// One target's dead letters at work: those of its messages that are put away, and those that somebody wants sent again.
// A letter on its way again is no longer lost but held; it is lost again, or forwarded, when the target has said so.
import type { Counters } from "../../../shared/counters.ts";
import type { DeadLetters, NewDeadLetter } from "../dead-letters.ts";
import type { Held, Letters, TargetOutcome } from "./runner.ts";

/** Losses that leave a letter: those that a person could mend. */
const REASONS: ReadonlySet<string> = new Set([
  "refused",
  "oversize",
  "invalid-topic",
  "no-identity",
  "poison",
]);
/** Letters of one target that may be on their way again. */
const REQUEUED_MAX = 10_000;

/** What is kept beside the counters: letters on their way again with their reasons, and those to be forgotten. */
type Kept = {
  readonly again: readonly (readonly [id: number, reason: string])[];
  readonly done: readonly number[];
};

export class TargetLetters implements Letters {
  readonly #target: string;
  readonly #letters: DeadLetters;
  readonly #counters: Counters;
  readonly #put: (letter: NewDeadLetter) => void;
  readonly #clock: () => number;
  /** All that are on their way again, by id; those that wait for their turn are in `#waiting`, too. */
  readonly #again: Map<number, string>;
  #waiting: number[];
  #done: number[];

  /** `kept` is what `kept` of an earlier run was. `put` keeps a new letter. */
  constructor(
    target: string,
    letters: DeadLetters,
    counters: Counters,
    kept: string | undefined,
    put: (letter: NewDeadLetter) => void,
    clock: () => number,
  ) {
    this.#target = target;
    this.#letters = letters;
    this.#counters = counters;
    this.#put = put;
    this.#clock = clock;
    const { again, done } = kept === undefined ? { again: [], done: [] } : (JSON.parse(kept) as Kept);
    this.#again = new Map(again);
    this.#waiting = [...this.#again.keys()];
    this.#done = [...done];
  }

  get kept(): string {
    return JSON.stringify({ again: [...this.#again], done: this.#done } satisfies Kept);
  }

  get hasNext(): boolean {
    return this.#waiting.length > 0;
  }

  bury(reason: string, detail: string, { message, clockDifferenceMs }: Held): void {
    if (!REASONS.has(reason)) return;
    this.#put({ target: this.#target, reason, detail, atMs: this.#clock(), clockDifferenceMs, message });
  }

  /**
   * Puts a letter on its way again. "uncounted": it is, but was none of the losses that this target's ledger counts
   * (they were of a spool that is gone), so that it has to be accepted anew.
   */
  requeue(id: number, reason: string): "queued" | "uncounted" | "already" | "full" {
    if (this.#again.has(id) || this.#done.includes(id)) return "already";
    if (this.#again.size >= REQUEUED_MAX) return "full";
    this.#again.set(id, reason);
    this.#waiting.push(id);
    if (this.#counters.get(`lost/${reason}`) === 0) return "uncounted";
    this.#counters.add(`lost/${reason}`, -1);
    return "queued";
  }

  next(): (Held & { settle(outcome: TargetOutcome, detail: string): void }) | undefined {
    const id = this.#waiting.shift();
    if (id === undefined) return undefined;
    const reason = this.#again.get(id) as string;
    const letter = this.#letters.find(id);
    if (letter === undefined) {
      // Dropped meanwhile to make room for newer ones, or the disk has altered it.
      this.#again.delete(id);
      this.#counters.add(`lost/${reason}`);
      return undefined;
    }
    const { message, clockDifferenceMs } = letter;
    return {
      message,
      clockDifferenceMs,
      settle: (outcome, detail) => {
        this.#again.delete(id);
        this.#counters.add(outcome);
        // Refused as before: it stays the letter that it is.
        if (outcome === `lost/${reason}`) return;
        this.#done.push(id);
        if (outcome.startsWith("lost/")) this.bury(outcome.slice(5), detail, letter);
      },
    };
  }

  /** Forgets the letters that are settled, after that has been kept. Throws what the disk says. */
  forget(): void {
    if (this.#done.length === 0) return;
    this.#letters.remove(this.#done);
    this.#done = [];
  }
}
