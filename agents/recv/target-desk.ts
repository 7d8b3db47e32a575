// The targets at work: one runner each, their cursors and counters kept in the spool, what all have settled released,
// what the spool cannot hold booked as lost for those who had not read it.
import { Counters } from "../../shared/counters.ts";
import { type TargetLedger, targetLedger } from "./ledger.ts";
import type { Spool, SpoolEntry } from "./spool.ts";
import { type Cursor, type RunnerRim, TargetRunner } from "./targets/runner.ts";
import type { Target } from "./targets/target.ts";

type Desk = {
  readonly target: Target;
  readonly runner: TargetRunner;
  readonly counters: Counters;
  /** Messages that the spool had taken when this target came to be. */
  base: number;
  saved: string;
};

export class TargetDesk {
  readonly #spool: Spool;
  readonly #accepted: () => number;
  readonly #desks: Desk[];
  #releasedId = 0;

  /** `accepted` is the number of messages that the spool has ever taken. */
  constructor(spool: Spool, targets: readonly Target[], accepted: () => number, rim: RunnerRim) {
    this.#spool = spool;
    this.#accepted = accepted;
    this.#desks = targets.map((target) => {
      const prefix = `target.${target.name}/`;
      const counters = new Counters();
      for (const [name, value] of spool.loadCounters(`${prefix}counter/`)) counters.set(name, value);
      const stored = spool.value(`${prefix}cursor`);
      const start = { id: spool.hasLostCursors ? 0 : spool.lastId, index: 0 };
      const cursor = stored === undefined ? start : parseCursor(stored);
      const base = Number(spool.value(`${prefix}base`) ?? accepted());
      const runner = new TargetRunner(spool, target, counters, cursor, rim);
      target.onReady = () => runner.wake();
      return { target, runner, counters, base, saved: "" };
    });
    this.save();
  }

  get targets(): readonly Target[] {
    return this.#desks.map((desk) => desk.target);
  }

  /** True when no target has anything left to do. */
  get idle(): boolean {
    return this.#desks.every((desk) => this.#isIdle(desk));
  }

  /** True when no target that is connected has anything left to do. */
  get connectedIdle(): boolean {
    return this.#desks.every((desk) => desk.target.state !== "connected" || this.#isIdle(desk));
  }

  wake(): void {
    for (const { runner } of this.#desks) runner.wake();
  }

  #isIdle({ runner }: Desk): boolean {
    return runner.cursor.id >= this.#spool.lastId && runner.inFlight === 0;
  }

  ledger(name: string): TargetLedger {
    const desk = this.#desks.find(({ target }) => target.name === name);
    return targetLedger(desk?.counters ?? new Counters(), desk ? this.#accepted() - desk.base : 0);
  }

  /** Keeps the cursors and counters that have changed, releases what is settled. Throws what the disk says. */
  save(): void {
    const { values, noteKept } = this.#changes();
    if (values.size > 0) this.#spool.save(values);
    noteKept();
    const done = Math.min(...this.#desks.map(({ runner }) => settledId(runner.cursor)));
    if (done <= this.#releasedId) return;
    this.#spool.release(done);
    this.#releasedId = done;
  }

  /** The values that have changed, and what to call once they are on the disk. */
  #changes(): { readonly values: ReadonlyMap<string, string>; noteKept(): void } {
    const values = new Map<string, string>();
    const isDamaged = this.#spool.isDamaged;
    const states = new Map<Desk, string>();
    for (const desk of this.#desks) {
      if (isDamaged && this.#isIdle(desk)) this.#settleDamage(desk);
      const { id, index } = desk.runner.cursor;
      const figures = [...desk.counters.entries()];
      const state = JSON.stringify([id, index, desk.base, figures]);
      if (state === desk.saved) continue;
      const prefix = `target.${desk.target.name}/`;
      values.set(`${prefix}cursor`, `${id}:${index}`);
      values.set(`${prefix}base`, String(desk.base));
      for (const [name, value] of figures) values.set(`${prefix}counter/${name}`, String(value));
      states.set(desk, state);
    }
    const noteKept = () => {
      for (const [desk, state] of states) desk.saved = state;
    };
    return { values, noteKept };
  }

  /** Drops the oldest contents while the spool is over its limit; target name to messages lost. Throws as save(). */
  bound(): Map<string, number> {
    return this.#drop("overflow", () => this.#spool.overflow());
  }

  /** Drops what arrived before `beforeMs`; target name to messages lost. */
  expire(beforeMs: number): Map<string, number> {
    return this.#drop("age", () => this.#spool.olderThan(beforeMs));
  }

  #drop(reason: "overflow" | "age", oldest: () => SpoolEntry[]): Map<string, number> {
    const losses = new Map<string, number>();
    for (let entries = oldest(); entries.length > 0; entries = oldest()) {
      for (const entry of entries) {
        for (const { target, runner, counters } of this.#desks) {
          const lost = runner.dropped(entry);
          if (lost === 0) continue;
          counters.add(`lost/${reason}`, lost);
          losses.set(target.name, (losses.get(target.name) ?? 0) + lost);
        }
      }
      // In one transaction with the books, so that no crash can make a message vanish from both.
      const { values, noteKept } = this.#changes();
      this.#spool.release(entries.at(-1)?.id ?? 0, values);
      noteKept();
    }
    return losses;
  }

  /**
   * What a target that has come to the end of a damaged spool still lacks was in rows that are gone. It may have more
   * than the counters say, when those were lost: then they begin anew from here.
   */
  #settleDamage(desk: Desk): void {
    const { held } = this.ledger(desk.target.name);
    if (held > 0) desk.counters.add("lost/corrupt", held);
    else desk.base += held;
  }
}

function parseCursor(text: string): Cursor {
  const [id, index] = text.split(":");
  return { id: Number(id), index: Number(index) };
}

/** The last content of which nothing is needed any more. */
function settledId({ id, index }: Cursor): number {
  return index === 0 ? id : id - 1;
}
