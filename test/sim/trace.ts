// The last things that happened, for the one who reads a failure. Lines are only made when somebody will read them.
import type { Schedule } from "./schedule.ts";

export class Trace {
  readonly lines: string[] = [];
  readonly #schedule: Schedule;
  readonly #linesMax: number;

  /** Keeps the last `linesMax` lines; with 0 it costs nothing. */
  constructor(schedule: Schedule, linesMax: number) {
    this.#schedule = schedule;
    this.#linesMax = linesMax;
  }

  get enabled(): boolean {
    return this.#linesMax > 0;
  }

  note(line: () => string): void {
    if (this.#linesMax === 0) return;
    this.lines.push(`${(this.#schedule.nowMs / 1000).toFixed(3).padStart(9)} s  ${line()}`);
    if (this.lines.length > this.#linesMax * 2) this.lines.splice(0, this.#linesMax);
  }

  tail(): string[] {
    return this.lines.slice(-this.#linesMax);
  }
}
