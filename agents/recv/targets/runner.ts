// Carries one target from its cursors in the spool to its broker: at its own pace, in the order of its plan, with a
// window of unacknowledged messages. One runner never waits for another. What it does not forward it books under a name.
import type { Counters } from "../../../shared/counters.ts";
import type { Message } from "../../../shared/message.ts";
import type { Spool, SpoolEntry } from "../spool.ts";
import type { Flight, Lane, Next } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import type { Held, Judgement, Origin, Outgoing, TargetOutcome } from "./outcome.ts";
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
  /** Publishes a message that needs nobody's answer, if that can be at once; true: it is forwarded. */
  sendNow?(message: Outgoing): boolean;
  /**
   * Publishes; `onSettled` is called once, with what became of it, and with words for people when it was refused.
   * `origin` is undefined for a letter that is sent again.
   */
  publish(
    message: Outgoing,
    onSettled: (outcome: TargetOutcome, detail?: string) => void,
    origin?: Origin,
  ): void;
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
  /** A message that was judged before its turn. */
  #ahead: { readonly message: Message; readonly judgement: Judgement } | undefined;
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
    for (let handled = 1; left > 0 && handled > 0; left -= handled) handled = this.#step(left);
    // Its limits and its age may be others next time; but what is lost has been told.
    if (this.#ahead !== undefined && "publish" in this.#ahead.judgement) this.#ahead = undefined;
    this.#lanes.tidy();
    if (left <= 0) this.wake();
  }

  /** Handles what is next, about `most` messages at most; how many, 0 when there is none, or none that may go. */
  #step(most: number): number {
    if (this.#retentionMs !== Number.POSITIVE_INFINITY && this.#dropAged()) return 1;
    const room = this.#link.window - this.inFlight;
    if (room <= 0) return 0;
    if (this.#letters?.hasNext) return this.#sendLetter(this.#letters);
    const lane = this.#choose();
    const next = lane?.peek();
    if (lane === undefined || next === undefined) return 0;
    const { entry, message } = next;
    if (message === undefined) {
      // The content's end, or all of one that the disk has altered.
      lane.pass(next.left, next.left > 0 ? "lost/corrupt" : undefined);
      return 1;
    }
    const isBacklog = lane !== this.#lanes.live;
    const gone = this.#sendRun(next, isBacklog ? 1 : Math.min(most, room));
    if (gone > 0) {
      if (isBacklog) this.#pace.take();
      lane.passForwarded(gone);
      return gone;
    }
    const flight = lane.take();
    const held = { message, clockDifferenceMs: entry.clockDifferenceMs };
    const origin = { id: entry.id, index: next.index, isLate: entry.isLate };
    const settle = (outcome: TargetOutcome, detail: string) => {
      const fate = outcome.startsWith("lost/") ? { outcome, detail, held } : { outcome, detail };
      if (!flight.done) lane.settle(flight, fate);
      else if (flight.dropped !== undefined) {
        // Its content was dropped, but it was sent before: this is what became of it.
        this.#counters.add(flight.dropped, -flight.messages);
        flight.dropped = undefined;
        flight.fate = fate;
        this.#book(flight);
      }
    };
    this.#dispatch(this.#judge(message, entry.clockDifferenceMs), isBacklog, settle, origin);
    return 1;
  }

  /** Sends messages of one content at once, as long as they need no more than that; how many. */
  #sendRun({ entry, index }: Next, most: number): number {
    if (this.#link.sendNow === undefined) return 0;
    const { messages, clockDifferenceMs } = entry;
    const end = Math.min(messages.length, index + most);
    for (let at = index; at < end; at++) {
      const message = messages[at] as Message;
      if (message.qos !== 0) return at - index;
      const judgement = this.#judge(message, clockDifferenceMs);
      if ("outcome" in judgement || !this.#link.sendNow(judgement.publish)) {
        // Its turn comes, and it is not to be judged twice: what is lost is told.
        this.#ahead = { message, judgement };
        return at - index;
      }
    }
    return end - index;
  }

  #judge(message: Message, clockDifferenceMs: number): Judgement {
    if (this.#ahead?.message === message) return this.#ahead.judgement;
    return this.#link.judge(
      message,
      Math.max(0, this.#rim.clock() - (message.acceptedMs + clockDifferenceMs)),
    );
  }

  /** The lane whose turn it is, with something to read. */
  #choose(): Lane | undefined {
    const { live, oldest } = this.#lanes;
    if (this.#plan.backlog === "newest-first" && live.peek() !== undefined) return live;
    return oldest === live || this.#pace.isOpen ? oldest : undefined;
  }

  #dispatch(
    judgement: Judgement,
    isBacklog: boolean,
    onOutcome: (outcome: TargetOutcome, detail: string) => void,
    origin?: Origin,
  ): void {
    if ("outcome" in judgement) {
      onOutcome(judgement.outcome, judgement.detail ?? "");
      return;
    }
    if (isBacklog) this.#pace.take();
    const onSettled = (outcome: TargetOutcome, detail?: string) => {
      onOutcome(outcome, detail ?? "");
      this.wake();
    };
    this.#link.publish(judgement.publish, onSettled, origin);
  }

  /** The cursor has passed it. */
  #book({ fate, messages }: Flight): void {
    if (fate === undefined) return;
    const { outcome, detail, held } = fate;
    this.#counters.add(outcome, messages);
    if (held !== undefined) this.#letters?.bury(outcome.slice(5), detail, held);
  }

  #sendLetter(letters: Letters): number {
    const letter = letters.next();
    if (letter === undefined) return 1;
    this.#lettersInFlight++;
    let done = false;
    this.#dispatch(this.#judge(letter.message, letter.clockDifferenceMs), false, (outcome, detail) => {
      if (done) return;
      done = true;
      this.#lettersInFlight--;
      letter.settle(outcome, detail);
    });
    return 1;
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
