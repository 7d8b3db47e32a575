// A stretch of the spool that one target has still to get: where reading is, what is in flight, and the cursor before
// which all is settled. The live lane has no end; what a target finds when it comes back is a lane with one.
// What became of a message is told to `onPassed` when the cursor passes it, in order, and not before: so that the
// cursor and the counters that are kept together agree after any crash.
import type { Message } from "../../../shared/message.ts";
import type { Spool, SpoolEntry } from "../spool.ts";
import type { Held, TargetOutcome } from "./outcome.ts";

/** Everything before it is settled: message `index` of content `id`, or all of content `id` when index is 0. */
export type Cursor = { readonly id: number; readonly index: number };

export type Fate = {
  readonly outcome: TargetOutcome;
  /** For people. */
  readonly detail: string;
  /** The message, when it was lost. */
  readonly held?: Held;
};

export type Flight = {
  readonly id: number;
  readonly index: number;
  /** Messages that it stands for: none at the end of a content, all that was left of one that was passed by. */
  readonly messages: number;
  done: boolean;
  fate: Fate | undefined;
  /** Its content was dropped while it was unsettled: what it was booked as. */
  dropped: TargetOutcome | undefined;
};

/** What comes next: a message, or the end of a content (`message` is undefined). */
export type Next = {
  readonly entry: SpoolEntry;
  readonly index: number;
  readonly message: Message | undefined;
  /** Of the content, from here on. */
  readonly left: number;
};

const FORWARDED: Fate = { outcome: "forwarded", detail: "" };

/** Settled flights that are cut off the list at once. */
const SETTLED_MAX = 1024;

export class Lane {
  readonly #spool: Spool;
  readonly #onPassed: (flight: Flight) => void;
  #endId: number;
  #cursor: Cursor;
  #flights: Flight[] = [];
  #head = 0;
  /** Messages beyond one of each flight that the cursor has not passed. */
  #more = 0;
  #entries: readonly SpoolEntry[] = [];
  #entryAt = 0;
  /** Contents up to here have been handled. */
  #readId: number;
  /** Messages of content `#indexOf` that were handled already. */
  #index: number;
  #indexOf: number;

  constructor(
    spool: Spool,
    cursor: Cursor,
    onPassed: (flight: Flight) => void,
    endId = Number.POSITIVE_INFINITY,
  ) {
    this.#spool = spool;
    this.#onPassed = onPassed;
    this.#endId = endId;
    this.#cursor = cursor;
    this.#index = cursor.index;
    this.#indexOf = cursor.id;
    this.#readId = cursor.index > 0 ? cursor.id - 1 : cursor.id;
  }

  get cursor(): Cursor {
    return this.#cursor;
  }

  /** The last content that belongs to it. */
  get endId(): number {
    return this.#endId;
  }

  /** The last content of which nothing is needed any more. */
  get settledId(): number {
    return this.#cursor.index === 0 ? this.#cursor.id : this.#cursor.id - 1;
  }

  /** The first content of which nothing has been handled. */
  get freshId(): number {
    return this.#indexOf > this.#readId && this.#index > 0 ? this.#indexOf + 1 : this.#readId + 1;
  }

  /** Messages that the cursor has not passed, settled or not; the end of a content counts as one. */
  get inFlight(): number {
    return this.#flights.length - this.#head + this.#more;
  }

  /** All of it is settled; never true for the live lane. */
  get isDone(): boolean {
    return this.inFlight === 0 && this.settledId >= this.#endId;
  }

  /** Nothing after content `id` has been read of it, and nothing up to it is its own. */
  isUntouchedSince(id: number): boolean {
    return this.inFlight === 0 && this.settledId === id && this.freshId === id + 1;
  }

  /** What comes next; undefined when nothing is there to be read. */
  peek(): Next | undefined {
    if (this.#readId >= this.#endId) return undefined;
    if (this.#entryAt >= this.#entries.length) {
      this.#entries = this.#spool.read(this.#readId);
      this.#entryAt = 0;
    }
    const entry = this.#entries[this.#entryAt];
    if (entry === undefined || entry.id > this.#endId) {
      // The rest of it is not there any more, which is not to say that a disk that fails will not give it back later.
      if (this.#endId !== Number.POSITIVE_INFINITY && !this.#spool.hasReadFault) this.#passTo(this.#endId, 0);
      return undefined;
    }
    if (entry.id !== this.#indexOf) {
      this.#indexOf = entry.id;
      this.#index = 0;
    }
    const left = Math.max(0, entry.messages.length + entry.corrupt - this.#index);
    return { entry, index: this.#index, message: entry.messages[this.#index], left };
  }

  /** Takes the message that peek() showed; it is in flight until settle(). */
  take(): Flight {
    return this.#launch(this.#indexOf, ++this.#index, 1);
  }

  /** Takes so many messages from the one on that peek() showed, which are forwarded already. */
  passForwarded(messages: number): void {
    this.#index += messages;
    this.settle(this.#launch(this.#indexOf, this.#index, messages), FORWARDED);
  }

  /** Passes by what is left of the content that peek() showed: `messages` of them, which became of them `outcome`. */
  pass(messages: number, outcome?: TargetOutcome): void {
    const { id } = this.#entries[this.#entryAt] as SpoolEntry;
    this.#entryAt++;
    this.#passTo(id, messages, outcome);
  }

  settle(flight: Flight, fate?: Fate): void {
    flight.done = true;
    flight.fate = fate;
    this.#advance();
  }

  /** The cursor passes what is settled with nothing unsettled before it. */
  #advance(): void {
    for (let first = this.#flights[this.#head]; first?.done; first = this.#flights[this.#head]) {
      this.#cursor = { id: first.id, index: first.index };
      this.#head++;
      this.#more -= countMore(first);
      this.#onPassed(first);
    }
    if (this.#head < SETTLED_MAX && this.#head < this.#flights.length) return;
    this.#flights = this.#flights.slice(this.#head);
    this.#head = 0;
  }

  /**
   * The contents up to this one are given up: moves on, and says how many of its messages were not settled. Those that
   * are in flight still have this outcome from now on, until the target says otherwise.
   */
  drop(entry: SpoolEntry, outcome: TargetOutcome): number {
    const { id, messages, corrupt } = entry;
    if (id > this.#endId || id <= this.settledId) return 0;
    const open = this.#flights.slice(this.#head);
    let lost = 0;
    if (this.#readId < id) {
      lost += Math.max(0, messages.length + corrupt - (this.#indexOf === id ? this.#index : 0));
      this.#readId = id;
      this.#forget();
    }
    this.#cursor = { id, index: 0 };
    this.#flights = open.filter((flight) => flight.id > id);
    this.#head = 0;
    for (const flight of open) {
      if (flight.id > id) continue;
      this.#more -= countMore(flight);
      if (flight.done) this.#onPassed(flight);
      else {
        lost += flight.messages;
        flight.dropped = outcome;
        flight.done = true;
      }
    }
    // What came after it may have been settled before it was dropped.
    this.#advance();
    return lost;
  }

  /** Ends after `endId`, which is not before what has been read; what was in flight stays in it. */
  end(endId: number): void {
    this.#endId = endId;
    this.#forget();
  }

  #forget(): void {
    this.#entries = [];
    this.#entryAt = 0;
  }

  #passTo(id: number, messages: number, outcome?: TargetOutcome): void {
    this.#readId = id;
    const fate = outcome === undefined ? undefined : { outcome, detail: "" };
    this.settle(this.#launch(id, 0, messages), fate);
  }

  #launch(id: number, index: number, messages: number): Flight {
    const flight: Flight = { id, index, messages, done: false, fate: undefined, dropped: undefined };
    this.#flights.push(flight);
    this.#more += countMore(flight);
    return flight;
  }
}

function countMore({ messages }: Flight): number {
  return Math.max(0, messages - 1);
}
