// The targets at work: one runner each, their cursors and counters kept in the spool, what nobody needs released,
// what the spool cannot hold booked as lost for those who had not read it.
import { Counters } from "../../shared/counters.ts";
import type { DeadLetterDesk } from "./dead-letter-desk.ts";
import { type TargetLedger, targetLedger } from "./ledger.ts";
import type { Spool } from "./spool.ts";
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

  /** Keeps the cursors and counters that have changed, releases what nobody needs. Throws what the disk says. */
  save(): void {
    // Letters first: those that no counter speaks of yet are forgotten at the next start.
    this.#letters?.flush();
    const values = new Map<string, string>();
    for (const desk of this.#desks) {
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
      desk.saved = state;
    }
    if (values.size > 0) {
      if (this.#letters !== undefined) values.set(LETTERS_MARK, this.#letters.mark);
      this.#spool.save(values);
    }
    this.#letters?.forget();
    this.#release();
  }

  /** Gives up contents while the spool is over its limit, as each target's plan has it; target name to messages lost. */
  bound(): Map<string, number> {
    const losses = new Map<string, number>();
    for (let after = 0; this.#spool.isOver; ) {
      const entries = this.#spool.read(after);
      after = entries.at(-1)?.id ?? after;
      let progress = entries.length > 0;
      for (const { target, runner, counters } of this.#desks) {
        let lost = 0;
        if (target.plan?.overflow === "drop-newest") {
          const given = runner.giveUpNewest();
          progress ||= given !== undefined;
          lost = given ?? 0;
        } else for (const entry of entries) lost += runner.dropped(entry);
        if (lost === 0) continue;
        counters.add("lost/overflow", lost);
        losses.set(target.name, (losses.get(target.name) ?? 0) + lost);
      }
      // Booked before it is gone, so that a crash in between counts nothing as held that is not there.
      this.save();
      if (!progress) break;
    }
    return losses;
  }

  #open(target: Target, rim: RunnerRim): Desk {
    const prefix = `target.${target.name}/`;
    const counters = new Counters();
    for (const [name, value] of this.#spool.loadCounters(`${prefix}counter/`)) counters.set(name, value);
    const letters = this.#letters?.open(target.name, counters, this.#spool.value(`${prefix}letters`));
    const cursors = this.#spool.value(`${prefix}cursor`);
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

  #release(): void {
    const unneeded = findUnneeded(this.#desks.flatMap(({ runner }) => runner.needs));
    const fresh = unneeded.filter((range) => !this.#released.has(range.join("-")));
    if (fresh.length === 0) return;
    this.#spool.release(fresh);
    this.#released = new Set(unneeded.map((range) => range.join("-")));
  }
}
