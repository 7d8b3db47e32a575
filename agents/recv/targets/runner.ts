// Carries one target from its cursors in the spool to its broker: at its own pace, in the order of its plan, with a
// window of unacknowledged messages. One runner never waits for another. What it does not forward it books under a name.
import type { Counters } from "../../../shared/counters.ts";
import type { Message } from "../../../shared/message.ts";
import type { Spool, SpoolEntry } from "../spool.ts";
import type { Lane } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import type { Held, Settlement, TargetOutcome } from "./outcome.ts";
import { Pace } from "./pace.ts";
import { PLAIN_PLAN, type TargetPlan } from "./plan.ts";

export type { TargetOutcome } from "./outcome.ts";

/** A message as this target is to publish it, or what becomes of it instead; `detail` is for people. */
export type Judgement =
  | { readonly publish: Message }
  | { readonly outcome: TargetOutcome; readonly detail?: string };

/** The rim of a target: a connection that publishes. One file per type implements it. */
export type TargetLink = {
  /** Messages that may be unacknowledged now; 0 while not connected. */
  readonly window: number;
  /** Times it has connected. */
  readonly connections: number;
  /** PLAIN_PLAN when absent. */
  readonly plan?: TargetPlan;
  /** Applies the target's rules. `ageMs` is the time since the message was accepted in the plant. */
  judge(message: Message, ageMs: number): Judgement;
  /** Publishes; `onSettled` is called once, with what became of it, and with words for people when it was refused. */
  publish(message: Message, onSettled: (outcome: TargetOutcome, detail?: string) => void): void;
};

export type RunnerRim = {
  /** The wall clock. */
  clock(): number;
  /** Runs `work` soon, once other work has had its turn. */
  later(work: () => void): void;
};

/** What else there is to publish, before all other: letters that somebody wants sent again. And where letters go. */
export type Letters = {
  /** Called for each message that is lost, with the reason as the ledger has it. */
  bury(reason: string, detail: string, held: Held): void;
  readonly hasNext: boolean;
  /** Takes the next one; `settle` is to be called with what became of it. */
  next(): (Held & { settle(outcome: TargetOutcome, detail: string): void }) | undefined;
};

/** Messages handled before other work gets its turn. */
const SLICE_MESSAGES = 512;
const HOUR_MS = 3_600_000;

export class TargetRunner {
  readonly #link: TargetLink;
  readonly #plan: TargetPlan;
  readonly #counters: Counters;
  readonly #rim: RunnerRim;
  readonly #letters: Letters | undefined;
  readonly #lanes: Lanes;
  readonly #pace: Pace;
  readonly #retentionMs: number;
  #connections: number;
  #lettersInFlight = 0;
  #scheduled = false;

  /** `cursors` is what `cursors` of an earlier run was, or formatStart() of a new target. */
  constructor(
    spool: Spool,
    link: TargetLink,
    counters: Counters,
    cursors: string,
    rim: RunnerRim,
    letters?: Letters,
  ) {
    this.#link = link;
    this.#plan = link.plan ?? PLAIN_PLAN;
    this.#counters = counters;
    this.#rim = rim;
    this.#letters = letters;
    this.#lanes = new Lanes(spool, (settlement) => this.#book(settlement), cursors);
    this.#pace = new Pace(this.#plan.drainPerSecond);
    this.#retentionMs = this.#plan.retentionHours * HOUR_MS || Number.POSITIVE_INFINITY;
    this.#connections = link.connections;
  }

  /** Where it is, as text. */
  get cursors(): string {
    return this.#lanes.format();
  }

  /** The contents that it needs, as ranges in ascending order, both ends included; the last has no end. */
  get needs(): (readonly [firstId: number, lastId: number])[] {
    return this.#lanes.all.map(({ settledId, endId }) => [settledId + 1, endId]);
  }

  get inFlight(): number {
    return this.#lanes.inFlight + this.#lettersInFlight;
  }

  /** True when it has nothing left to do. */
  get isIdle(): boolean {
    return this.inFlight === 0 && this.#letters?.hasNext !== true && this.#lanes.isSettled;
  }

  /** There may be something to do: new contents, a connection, an acknowledgement. */
  wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#rim.later(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  /** To be called every few milliseconds, with a clock that only runs forward: for what waits for its time. */
  tick(steadyMs: number): void {
    this.#pace.tick(steadyMs);
    if (this.#lanes.all.length > 1 || this.#retentionMs !== Number.POSITIVE_INFINITY) this.wake();
  }

  /** A content is gone from the spool: moves on, and says how many of its messages have no other outcome. */
  dropped(entry: SpoolEntry): number {
    const lost = this.#lanes.drop(entry);
    this.wake();
    return lost;
  }

  /** Gives up the newest content; undefined when it has none to give, else how many messages that were. */
  giveUpNewest(): number | undefined {
    return this.#lanes.giveUpNewest();
  }

  #pump(): void {
    if (this.#connections !== this.#link.connections) {
      this.#connections = this.#link.connections;
      // With neither of the two there is no backlog, only what comes next.
      if (this.#plan.backlog === "newest-first" || this.#plan.drainPerSecond > 0) this.#lanes.setAside();
    }
    let left = SLICE_MESSAGES;
    while (left > 0 && this.#step()) left--;
    this.#lanes.tidy();
    if (left === 0) this.wake();
  }

  /** Handles the next message; false when there is none, or none that may go. */
  #step(): boolean {
    if (this.#retentionMs !== Number.POSITIVE_INFINITY && this.#dropAged()) return true;
    if (this.inFlight >= this.#link.window) return false;
    if (this.#letters?.hasNext) return this.#sendLetter(this.#letters);
    const lane = this.#choose();
    const next = lane?.peek();
    if (lane === undefined || next === undefined) return false;
    const { entry, index, message } = next;
    if (message === undefined) {
      // The content's end: settled when all before it is.
      const count = Math.max(0, entry.corrupt - index);
      lane.pass(count > 0 ? { outcome: "lost/corrupt", count } : undefined);
      return true;
    }
    const flight = lane.take();
    const held = { message, clockDifferenceMs: entry.clockDifferenceMs };
    this.#dispatch(held, lane !== this.#lanes.live, (outcome, detail) => {
      const lost = outcome.startsWith("lost/") ? { lost: { held, detail } } : {};
      lane.settle(flight, { outcome, count: 1, ...lost });
    });
    return true;
  }

  /** The lane whose turn it is, with something to read. */
  #choose(): Lane | undefined {
    const { live, oldest } = this.#lanes;
    if (this.#plan.backlog === "newest-first" && live.peek() !== undefined) return live;
    return oldest === live || this.#pace.isOpen ? oldest : undefined;
  }

  #dispatch(
    { message, clockDifferenceMs }: Held,
    isBacklog: boolean,
    onOutcome: (outcome: TargetOutcome, detail: string) => void,
  ): void {
    const ageMs = Math.max(0, this.#rim.clock() - (message.acceptedMs + clockDifferenceMs));
    const judgement = this.#link.judge(message, ageMs);
    if ("outcome" in judgement) {
      onOutcome(judgement.outcome, judgement.detail ?? "");
      return;
    }
    if (isBacklog) this.#pace.take();
    this.#link.publish(judgement.publish, (outcome, detail) => {
      onOutcome(outcome, detail ?? "");
      this.wake();
    });
  }

  #book({ outcome, count, lost }: Settlement): void {
    this.#counters.add(outcome, count);
    if (lost !== undefined) this.#letters?.bury(outcome.slice(5), lost.detail, lost.held);
  }

  #sendLetter(letters: Letters): boolean {
    const letter = letters.next();
    if (letter === undefined) return true;
    this.#lettersInFlight++;
    let done = false;
    this.#dispatch(letter, false, (outcome, detail) => {
      if (done) return;
      done = true;
      this.#lettersInFlight--;
      letter.settle(outcome, detail);
    });
    return true;
  }

  /** Contents keep their age from their arrival here, all messages of one the same. */
  #dropAged(): boolean {
    const lane = this.#lanes.oldest;
    const next = lane?.peek();
    if (lane === undefined || next === undefined) return false;
    const { entry, index } = next;
    if (this.#rim.clock() - entry.arrivedMs <= this.#retentionMs) return false;
    const count = entry.messages.length + entry.corrupt - index;
    lane.pass({ outcome: entry.corrupt > 0 ? "lost/corrupt" : "lost/age", count });
    return true;
  }
}
