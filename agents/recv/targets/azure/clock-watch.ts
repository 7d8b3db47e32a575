// Looks at the clock before a token is signed with it. The clocks on both sides of the diode are often set by nobody: when
// they differ, one of them is wrong, and if it is this one the hub refuses every token (it allows five minutes).
import type { Logger } from "../../../../shared/log.ts";

const APART_MS = 300_000;
const REPEAT_MS = 3_600_000;

export type ClockRim = {
  readonly log: Logger;
  steady(): number;
  clockDifferenceMs(): number | undefined;
};

export class ClockWatch {
  readonly #target: string;
  readonly #rim: ClockRim;
  #warnedMs = Number.NEGATIVE_INFINITY;

  constructor(target: string, rim: ClockRim) {
    this.#target = target;
    this.#rim = rim;
  }

  look(): void {
    const differenceMs = this.#rim.clockDifferenceMs();
    if (differenceMs === undefined || Math.abs(differenceMs) < APART_MS) return;
    const now = this.#rim.steady();
    if (now - this.#warnedMs < REPEAT_MS) return;
    this.#warnedMs = now;
    const minutes = Math.round(Math.abs(differenceMs) / 60_000);
    this.#rim.log.warn(
      { target: this.#target, clockDifferenceMs: differenceMs },
      `target ${this.#target}: the clocks of the two hosts are ${minutes} minutes apart; if ours is wrong, Azure refuses our tokens`,
    );
  }
}
