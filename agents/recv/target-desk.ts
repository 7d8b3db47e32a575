// The targets at work: one runner each, their cursors and counters kept in the spool, what nobody needs released,
// what the spool cannot hold booked as lost for those who had not read it.
import { Counters } from "../../shared/counters.ts";
import { formatHoles, HOLES } from "../../shared/store/holes.ts";
import type { DeadLetterDesk } from "./dead-letter-desk.ts";
import { type TargetLedger, targetLedger } from "./ledger.ts";
import type { Spool, SpoolEntry } from "./spool.ts";
import { LETTERS_MARK } from "./spool-salvage.ts";
import type { TargetLetters } from "./targets/letters.ts";
import { findUnneeded, type Range } from "./targets/needs.ts";
import type { TargetOutcome } from "./targets/outcome.ts";
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

export class TargetDesk {
  readonly #spool: Spool;
  readonly #accepted: () => number;
  readonly #letters: DeadLetterDesk | undefined;
  readonly #desks: Desk[];
  #released: ReadonlySet<string> = new Set();
  #savedMark = "";

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
    this.#keep(letters?.isMarkUrgent);
    this.#letters?.forget();
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

  /** Messages that are lost to this target. */
  lost(name: string): number {
    return this.#desks.find(({ target }) => target.name === name)?.counters.total("lost") ?? 0;
  }

  /** Keeps the cursors and counters that have changed, and releases what nobody needs. Throws what the disk says. */
  save(): void {
    this.#keep();
    this.#letters?.forget();
  }

  /**
   * Gives up contents while the spool is over its limit, as each target's plan has it; target name to messages lost.
   * Throws what the disk says, also what it said to a target that wanted to read.
   */
  bound(): Map<string, number> {
    this.#spool.throwReadFault();
    const losses = new Map<string, number>();
    let after = 0;
    while (this.#spool.excessBytes > 0) {
      const entries = pickBytes(this.#spool.read(after), this.#spool.excessBytes);
      after = entries.at(-1)?.id ?? after;
      let progress = entries.length > 0;
      for (const desk of this.#desks) {
        if (desk.target.plan?.overflow === "drop-newest") {
          const given = desk.runner.giveUpNewest(this.#spool.excessBytes);
          progress ||= given !== undefined;
          note(losses, desk, "lost/overflow", given ?? 0);
        } else drop(losses, desk, "lost/overflow", entries);
      }
      this.#keep();
      if (!progress) break;
    }
    return losses;
  }

  /** Gives up what arrived before `beforeMs`; target name to messages lost. Throws what the disk says. */
  expire(beforeMs: number): Map<string, number> {
    const losses = new Map<string, number>();
    for (;;) {
      const entries = this.#spool.olderThan(beforeMs);
      if (entries.length === 0) return losses;
      for (const desk of this.#desks) drop(losses, desk, "lost/age", entries);
      this.#keep();
    }
  }

  /** In one transaction, so that no crash can make a message vanish from the books and the spool. */
  #keep(isDurable = false): void {
    // Letters first: those that no counter speaks of yet are forgotten at the next start.
    this.#letters?.flush();
    const { values, noteKept } = this.#changes();
    const needed = this.#desks.flatMap(({ runner }) => runner.needs);
    const unneeded = findUnneeded([...needed, [this.#spool.lastId + 1, Number.POSITIVE_INFINITY]]);
    const fresh = unneeded.filter((range) => !this.#released.has(nameRange(range)));
    const holes = formatHoles(unneeded);
    if (holes !== (this.#spool.value(HOLES) ?? "")) values.set(HOLES, holes);
    if (values.size > 0 || fresh.length > 0) this.#spool.release(fresh, values, isDurable);
    noteKept();
    this.#released = new Set(unneeded.map(nameRange));
  }

  /** The values that have changed, and what to call once they are on the disk. */
  #changes(): { readonly values: Map<string, string>; noteKept(): void } {
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
    const mark = this.#letters?.mark ?? "";
    if (mark !== this.#savedMark) values.set(LETTERS_MARK, mark);
    const noteKept = () => {
      for (const [desk, state] of states) desk.saved = state;
      this.#savedMark = mark;
    };
    return { values, noteKept };
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
}

function drop(
  losses: Map<string, number>,
  desk: Desk,
  outcome: TargetOutcome,
  entries: readonly SpoolEntry[],
): void {
  for (const entry of entries) note(losses, desk, outcome, desk.runner.dropped(entry, outcome));
}

function note(
  losses: Map<string, number>,
  { target, counters }: Desk,
  outcome: TargetOutcome,
  messages: number,
) {
  if (messages === 0) return;
  counters.add(outcome, messages);
  losses.set(target.name, (losses.get(target.name) ?? 0) + messages);
}

/** As many from the front as it takes to have these bytes. */
function pickBytes(entries: readonly SpoolEntry[], bytes: number): SpoolEntry[] {
  const picked: SpoolEntry[] = [];
  let sum = 0;
  for (const entry of entries) {
    if (sum >= bytes) break;
    picked.push(entry);
    sum += entry.bytes;
  }
  return picked;
}

function nameRange([firstId, lastId]: Range): string {
  return `${firstId}-${lastId}`;
}
