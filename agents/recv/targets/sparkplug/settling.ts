// What became of messages, told only after what they have changed is on the disk: otherwise a crash could leave the target
// behind a message whose value it has forgotten, and a birth would tell an older one as current.
import type { TargetOutcome } from "../outcome.ts";

export type Settle = (outcome: TargetOutcome, detail?: string) => void;

export class Settling {
  #waiting: (() => void)[] = [];

  get count(): number {
    return this.#waiting.length;
  }

  add(settle: Settle, outcome: TargetOutcome, detail?: string): void {
    this.#waiting.push(() => settle(outcome, detail));
  }

  /** The disk has all that was changed up to now. */
  release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const tell of waiting) tell();
  }
}
