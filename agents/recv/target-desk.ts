// The targets at work: one runner each, their cursors and counters kept in the spool, what nobody needs released,
// what the spool cannot hold booked as lost for those who had not read it.
import { Counters } from "../../shared/counters.ts";
import type { DeadLetterDesk } from "./dead-letter-desk.ts";
import { type TargetLedger, targetLedger } from "./ledger.ts";
import type { Spool, SpoolEntry } from "./spool.ts";
import { formatStart } from "./targets/lanes.ts";
import type { TargetLetters } from "./targets/letters.ts";
import { findUnneeded } from "./targets/needs.ts";
import { type RunnerRim, TargetRunner } from "./targets/runner.ts";
import type { Target } from "./targets/target.ts";

type Desk = {
  readonly target: Target;
  readonly runner: TargetRunner;
  readonly counters: Counters;
  readonly letters: TargetLetters | undefined;
  /** Messages that the spool had taken when this target came to be. */
  base: number;
  saved: string;
};

export const LETTERS_MARK = "dead_letters/mark";

export class TargetDesk {
  readonly #spool: Spool;
  readonly #accepted: () => number;
  readonly #letters: DeadLetterDesk | undefined;
  readonly #desks: Desk[];
  #released = new Set<string>();
  #savedMark: string | undefined;

  /** `accepted` is the number of messages that the spool has ever taken. Without `letters` what is lost is only counted. */
  constructor(
    spool: Spool,
    targets: readonly Target[],
    accepted: () => number,
    rim: RunnerRim,
    letters?: DeadLetterDesk,
  ) {
    this.#spool = spool;
    this.#accepted = accepted;
    this.#letters = letters;
    this.#desks = targets.map((target) => this.#open(target, rim));
    this.save();
  }

  get targets(): readonly Target[] {
    return this.#desks.map((desk) => desk.target);
  }

  /** True when no target has anything left to do. */
  get idle(): boolean {
    return this.#desks.every(({ runner }) => runner.isIdle);
  }

  /** True when no target that is connected has anything left to do. */
  get connectedIdle(): boolean {
    return this.#desks.every(({ target, runner }) => target.state !== "connected" || runner.isIdle);
  }

  wake(): void {
    for (const { runner } of this.#desks) runner.wake();
  }

  /** To be called every few milliseconds, with a clock that only runs forward. */
  tick(steadyMs: number): void {
    for (const { target, runner } of this.#desks) {
      runner.tick(steadyMs);
      target.tick?.(steadyMs);
    }
  }

  ledger(name: string): TargetLedger {
    const desk = this.#desks.find(({ target }) => target.name === name);
    return targetLedger(desk?.counters ?? new Counters(), desk ? this.#accepted() - desk.base : 0);
  }

  /**
   * Keeps the cursors and counters that have changed and releases what nobody needs, in one transaction, so that no
   * crash can make a message vanish from both. Throws what the disk says.
   */
  save(): void {
    // Letters first: those that no counter speaks of yet are forgotten at the next start. But a disk that has no room
    // for them must get the chance to have some.
    const fault = attempt(() => this.#letters?.flush());
    const { values, noteKept } = this.#changes();
    const unneeded = findUnneeded(this.#desks.flatMap(({ runner }) => runner.needs));
    const ranges = unneeded.filter((range) => !this.#released.has(range.join("-")));
    if (values.size > 0 || ranges.length > 0) this.#spool.release(ranges, values);
    noteKept();
    this.#released = new Set(unneeded.map((range) => range.join("-")));
    this.#letters?.forget();
    if (fault !== undefined) throw fault.error;
  }

  /** The values that have changed, and what to call once they are on the disk. */
  #changes(): { readonly values: ReadonlyMap<string, string>; noteKept(): void } {
    const values = new Map<string, string>();
    const isDamaged = this.#spool.isDamaged;
    const states = new Map<Desk, string>();
    for (const desk of this.#desks) {
      if (isDamaged && desk.runner.isIdle) this.#settleDamage(desk);
      const { cursors } = desk.runner;
      const figures = [...desk.counters.entries()];
      const kept = desk.letters?.kept ?? "";
      const state = JSON.stringify([cursors, desk.base, figures, kept]);
      if (state === desk.saved) continue;
      const prefix = `target.${desk.target.name}/`;
      values.set(`${prefix}cursor`, cursors);
      values.set(`${prefix}base`, String(desk.base));
      if (kept !== "") values.set(`${prefix}letters`, kept);
      for (const [name, value] of figures) values.set(`${prefix}counter/${name}`, String(value));
      states.set(desk, state);
    }
    const mark = this.#letters?.mark;
    if (mark !== undefined && mark !== this.#savedMark) values.set(LETTERS_MARK, mark);
    const noteKept = () => {
      for (const [desk, state] of states) desk.saved = state;
      this.#savedMark = mark;
    };
    return { values, noteKept };
  }

  /** Gives up contents while the spool is over its limit, as each target's plan has it; target name to messages lost. */
  bound(): Map<string, number> {
    const losses = new Map<string, number>();
    let after = 0;
    for (let entries = this.#oldestOver(after); entries.length > 0; entries = this.#oldestOver(after)) {
      for (const entry of entries) {
        // One by one: a content may be large, and no more is given up than must be.
        if (!this.#spool.isOver()) return losses;
        for (const desk of this.#desks) {
          if (desk.target.plan?.overflow === "drop-newest")
            bookLoss(desk, "overflow", desk.runner.giveUpNewest() ?? 0, losses);
          else this.#drop(desk, "overflow", [entry], losses);
        }
        this.save();
        after = entry.id;
      }
    }
    return losses;
  }

  #oldestOver(after: number): SpoolEntry[] {
    return this.#spool.isOver() ? this.#spool.oldest(after) : [];
  }

  /** Drops what arrived before `beforeMs`; target name to messages lost. Throws as save(). */
  expire(beforeMs: number): Map<string, number> {
    const losses = new Map<string, number>();
    let lastId = 0;
    for (let entries = this.#spool.olderThan(beforeMs); entries.length > 0; ) {
      for (const desk of this.#desks) this.#drop(desk, "age", entries, losses);
      this.save();
      lastId = entries.at(-1)?.id ?? lastId;
      entries = this.#spool.olderThan(beforeMs).filter(({ id }) => id > lastId);
    }
    return losses;
  }

  #drop(
    desk: Desk,
    reason: "overflow" | "age",
    entries: readonly SpoolEntry[],
    losses: Map<string, number>,
  ): void {
    const lost = entries.reduce((sum, entry) => sum + desk.runner.dropped(entry), 0);
    bookLoss(desk, reason, lost, losses);
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

  #open(target: Target, rim: RunnerRim): Desk {
    const prefix = `target.${target.name}/`;
    const counters = new Counters();
    for (const [name, value] of this.#spool.loadCounters(`${prefix}counter/`)) counters.set(name, value);
    const letters = this.#letters?.open(target.name, counters, this.#spool.value(`${prefix}letters`));
    const start = this.#spool.hasLostCursors ? 0 : this.#spool.lastId;
    const cursors = this.#spool.value(`${prefix}cursor`) ?? formatStart(start);
    const runner = new TargetRunner(this.#spool, target, counters, cursors, rim, letters);
    const base = Number(this.#spool.value(`${prefix}base`) ?? this.#accepted());
    const desk: Desk = { target, runner, counters, letters, base, saved: "" };
    target.onReady = () => runner.wake();
    if (letters !== undefined) {
      const acceptAnew = () => desk.base--;
      this.#letters?.connect(target.name, { letters, acceptAnew, wake: () => runner.wake() });
    }
    return desk;
  }
}

function bookLoss(
  { target, counters }: Desk,
  reason: "overflow" | "age",
  lost: number,
  losses: Map<string, number>,
): void {
  if (lost === 0) return;
  counters.add(`lost/${reason}`, lost);
  losses.set(target.name, (losses.get(target.name) ?? 0) + lost);
}

function attempt(work: () => void): { readonly error: unknown } | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return { error };
  }
}
