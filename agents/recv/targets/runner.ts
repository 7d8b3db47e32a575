// Carries one target from its cursors in the spool to its broker: at its own pace, in the order of its plan, with a
// window of unacknowledged messages. One runner never waits for another. What it does not forward it books under a name.
import type { Counters } from "../../../shared/counters.ts";
import type { Message } from "../../../shared/message.ts";
import type { Spool, SpoolEntry } from "../spool.ts";
import type { Flight, Lane } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import type { Held, Judgement, TargetOutcome } from "./outcome.ts";
import { Pace } from "./pace.ts";
import { PLAIN_PLAN, type TargetPlan } from "./plan.ts";

export type { Held, Judgement, TargetOutcome };

/** The rim of a target: a connection that publishes. One file per type implements it. */
export type TargetLink = {
  /** Messages that may be unacknowledged now; 0 while not connected. */
  readonly window: number;
  /** `connecting` until the first connection; `down` when there is none and the reason is known. */
  readonly state: "connecting" | "connected" | "down";
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
  /** Called for each message that is lost when that is counted, with the reason as the ledger has it. */
  bury(reason: string, detail: string, held: Held): void;
  readonly hasNext: boolean;
  /** Takes the next one; `settle` is to be called with what became of it. */
  next(): (Held & { settle(outcome: TargetOutcome, detail: string): void }) | undefined;
};

/** Messages handled before other work gets its turn. */
const SLICE_MESSAGES = 512;
const HOUR_MS = 3_600_000;

export class TargetRunner {
  readonly #spool: Spool;
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

  /** `cursors` is what `cursors` of an earlier run was; undefined for a target that is new. */
  constructor(
    spool: Spool,
    link: TargetLink,
    counters: Counters,
    cursors: string | undefined,
    rim: RunnerRim,
    letters?: Letters,
  ) {
    this.#link = link;
    this.#plan = link.plan ?? PLAIN_PLAN;
    this.#counters = counters;
    this.#rim = rim;
    this.#letters = letters;
    this.#spool = spool;
    this.#lanes = new Lanes(spool, cursors, (flight) => this.#book(flight));
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

  /** True when it has nothing left to do; a disk that does not give back what is there leaves something. */
  get isIdle(): boolean {
    if (this.inFlight > 0 || this.#letters?.hasNext === true) return false;
    return this.#lanes.oldest === undefined && !this.#spool.hasReadFault;
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

  /** Contents up to this one are given up: moves on, and says how many of its messages it had not settled. */
  dropped(entry: SpoolEntry, outcome: TargetOutcome): number {
    const lost = this.#lanes.drop(entry, outcome);
    this.wake();
    return lost;
  }

  /** Gives up the newest contents, of so many bytes; undefined when it has none to give, else their messages. */
  giveUpNewest(bytes: number): number | undefined {
    let messages: number | undefined;
    for (let freed = 0; freed < bytes; ) {
      const given = this.#lanes.giveUpNewest();
      if (given === undefined) break;
      messages = (messages ?? 0) + given.messages;
      freed += given.bytes;
    }
    return messages;
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
    const { entry, message } = next;
    if (message === undefined) {
      // The content's end, or all of one that the disk has altered.
      lane.pass(next.left, next.left > 0 ? "lost/corrupt" : undefined);
      return true;
    }
    const flight = lane.take();
    const held = { message, clockDifferenceMs: entry.clockDifferenceMs };
    this.#dispatch(held, lane !== this.#lanes.live, (outcome, detail) => {
      const fate = outcome.startsWith("lost/") ? { outcome, detail, held } : { outcome, detail };
      if (!flight.done) lane.settle(flight, fate);
      else if (flight.dropped !== undefined) {
        // Its content was dropped, but it was sent before: this is what became of it.
        this.#counters.add(flight.dropped, -flight.messages);
        flight.dropped = undefined;
        flight.fate = fate;
        this.#book(flight);
      }
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

  /** The cursor has passed it. */
  #book({ fate, messages }: Flight): void {
    if (fate === undefined) return;
    const { outcome, detail, held } = fate;
    this.#counters.add(outcome, messages);
    if (held !== undefined) this.#letters?.bury(outcome.slice(5), detail, held);
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
    const { entry, left } = next;
    if (this.#rim.clock() - entry.arrivedMs <= this.#retentionMs) return false;
    const outcome = entry.corrupt > 0 ? "lost/corrupt" : "lost/age";
    // What is in flight to a broker that is away would keep all behind it from being released.
    if (this.#link.state !== "connected") this.#counters.add(outcome, lane.drop(entry, outcome));
    else lane.pass(left, left > 0 ? outcome : undefined);
    return true;
  }
}
