// Sending again from the journal, in capacity that nothing else wants: ranges that an operator asked for, and, when
// configured, everything once more after a delay. Bounded: at most JOBS_MAX ranges wait.
import type { Journal, JournalRow } from "../journal.ts";

export type Range = { readonly stream: number; readonly first: number; readonly end: number };

const JOBS_MAX = 1000;

export class Repeats {
  readonly #journal: Journal;
  readonly #afterMs: number;
  /** Ranges on request; `at` is the next sequence. */
  #jobs: (Range & { at: number })[] = [];
  #rows: JournalRow[] = [];

  /** `afterMs` of 0 turns the automatic repeat off. */
  constructor(journal: Journal, afterMs: number) {
    this.#journal = journal;
    this.#afterMs = afterMs;
  }

  /** Sequences that wait to be sent again on request. */
  get waiting(): number {
    return this.#jobs.reduce((sum, job) => sum + job.end - job.at, 0);
  }

  /** False when too many ranges wait already. */
  ask(range: Range): boolean {
    if (this.#jobs.length >= JOBS_MAX) return false;
    this.#jobs.push({ ...range, at: range.first });
    return true;
  }

  /** The next row to send again; undefined when there is nothing, or nothing yet. */
  next(nowMs: number): JournalRow | undefined {
    return this.#nextAsked() ?? (this.#afterMs > 0 ? this.#nextDelayed(nowMs) : undefined);
  }

  #nextAsked(): JournalRow | undefined {
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      const row = this.#read(job.stream, job.at);
      const end = Math.min(job.end, this.#journal.sent(job.stream));
      if (row !== undefined && row.first < end) {
        job.at = row.first + row.count;
        return row;
      }
      this.#jobs.shift();
      this.#rows = [];
    }
    return undefined;
  }

  #nextDelayed(nowMs: number): JournalRow | undefined {
    for (const stream of this.#journal.streams) {
      const at = this.#journal.repeated(stream);
      if (at >= this.#journal.sent(stream)) continue;
      const row = this.#read(stream, at);
      if (row === undefined || row.first >= this.#journal.sent(stream)) continue;
      // A clock that was set back makes a row look as if it came from the future: it is due then, too.
      if (row.timeMs <= nowMs && row.timeMs + this.#afterMs > nowMs) continue;
      this.#journal.markRepeated(stream, row.first + row.count);
      return row;
    }
    return undefined;
  }

  /** The row that holds the sequence, or the next one. */
  #read(stream: number, sequence: number): JournalRow | undefined {
    const cached = this.#rows.find((row) => row.stream === stream && row.first + row.count > sequence);
    if (cached !== undefined && cached.first <= sequence) return cached;
    const start = this.#journal.rowStart(stream, sequence);
    if (start === undefined) return undefined;
    this.#rows = this.#journal.read(stream, start);
    return this.#rows[0];
  }
}
