// Carries one target from its cursor in the spool to its broker: at its own pace, in order, with a window of
// unacknowledged messages. One runner never waits for another. What it does not forward it books under a name.
import type { Counters } from "../../../shared/counters.ts";
import type { Message } from "../../../shared/message.ts";
import type { Spool, SpoolEntry } from "../spool.ts";

/** Why a target loses or filters a message. */
export type TargetOutcome = "forwarded" | `filtered/${string}` | `lost/${string}`;

/** A message as this target is to publish it, or what becomes of it instead. */
export type Judgement = { readonly publish: Message } | { readonly outcome: TargetOutcome };

/** The rim of a target: a connection that publishes. One file per type implements it. */
export type TargetLink = {
  /** Messages that may be unacknowledged now; 0 while not connected. */
  readonly window: number;
  /** Applies the target's rules. `ageMs` is the time since the message was accepted in the plant. */
  judge(message: Message, ageMs: number): Judgement;
  /** Publishes; `onSettled` is called once, with what became of it. */
  publish(message: Message, onSettled: (outcome: TargetOutcome) => void): void;
};

export type RunnerRim = {
  /** The wall clock. */
  clock(): number;
  /** Runs `work` soon, once other work has had its turn. */
  later(work: () => void): void;
};

type Flight = {
  readonly id: number;
  readonly index: number;
  /** Messages that it stands for: none at the end of a content, all of one that the disk altered. */
  readonly messages: number;
  done: boolean;
  /** What became of it: booked when the cursor passes, so that cursor and counters agree after any crash. */
  outcome: TargetOutcome | undefined;
};
export type Cursor = { readonly id: number; readonly index: number };

/** Messages handled before other work gets its turn. */
const SLICE_MESSAGES = 512;

export class TargetRunner {
  readonly #spool: Spool;
  readonly #link: TargetLink;
  readonly #counters: Counters;
  readonly #rim: RunnerRim;
  #cursor: Cursor;
  #flights: Flight[] = [];
  #head = 0;
  #entries: SpoolEntry[] = [];
  #entryAt = 0;
  /** Messages of content `#indexOf` that were handled already. */
  #index: number;
  #indexOf: number;
  #readId: number;
  #scheduled = false;

  /** `cursor`: everything before message `index` of content `id` is settled. */
  constructor(spool: Spool, link: TargetLink, counters: Counters, cursor: Cursor, rim: RunnerRim) {
    this.#spool = spool;
    this.#link = link;
    this.#counters = counters;
    this.#rim = rim;
    this.#cursor = cursor;
    this.#index = cursor.index;
    this.#indexOf = cursor.id;
    this.#readId = cursor.index > 0 ? cursor.id - 1 : cursor.id;
  }

  /** Everything before it is settled: message `index` of content `id`, or all of content `id` when index is 0. */
  get cursor(): Cursor {
    return this.#cursor;
  }

  get inFlight(): number {
    return this.#flights.length - this.#head;
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

  /** A content is gone from the spool: moves on, and says how many of its messages have no other outcome. */
  dropped(entry: SpoolEntry): number {
    if (this.#cursor.id > entry.id || (this.#cursor.id === entry.id && this.#cursor.index === 0)) return 0;
    const settled = this.#cursor.id === entry.id ? this.#cursor.index : 0;
    let lost = entry.messages.length + entry.corrupt - settled;
    const flights = this.#flights.slice(this.#head);
    for (const flight of flights) {
      if (flight.id > entry.id) continue;
      if (flight.done && flight.outcome !== undefined) {
        this.#counters.add(flight.outcome, flight.messages);
        lost -= flight.messages;
      }
      flight.done = true;
    }
    this.#cursor = { id: entry.id, index: 0 };
    this.#flights = flights.filter((flight) => flight.id > entry.id);
    this.#head = 0;
    this.#advance();
    if (this.#readId < entry.id) {
      this.#readId = entry.id;
      this.#entries = [];
      this.#entryAt = 0;
    }
    this.wake();
    return lost;
  }

  #pump(): void {
    for (let left = SLICE_MESSAGES; left > 0; left--) {
      if (this.inFlight >= this.#link.window) return;
      if (!this.#step()) return;
    }
    this.wake();
  }

  /** Handles the next message; false when there is none. */
  #step(): boolean {
    const entry = this.#nextEntry();
    if (entry === undefined) return false;
    if (entry.id !== this.#indexOf) {
      this.#indexOf = entry.id;
      this.#index = 0;
    }
    const message = entry.messages[this.#index];
    if (message === undefined) {
      // The content's end: settled when all before it is.
      const corrupt = Math.max(0, entry.corrupt - this.#index);
      this.#settle(this.#launch(entry.id, 0, corrupt), corrupt > 0 ? "lost/corrupt" : undefined);
      this.#readId = entry.id;
      this.#entryAt++;
      return true;
    }
    const flight = this.#launch(entry.id, ++this.#index, 1);
    const nowMs = this.#rim.clock();
    const ageMs = Math.max(0, nowMs - (message.acceptedMs + entry.clockDifferenceMs));
    const judgement = this.#link.judge(message, ageMs);
    if ("outcome" in judgement) {
      this.#settle(flight, judgement.outcome);
      return true;
    }
    this.#link.publish(judgement.publish, (outcome) => {
      if (flight.done) return;
      this.#settle(flight, outcome);
      this.wake();
    });
    return true;
  }

  #nextEntry(): SpoolEntry | undefined {
    if (this.#entryAt >= this.#entries.length) {
      this.#entries = this.#spool.read(this.#readId);
      this.#entryAt = 0;
    }
    return this.#entries[this.#entryAt];
  }

  #launch(id: number, index: number, messages: number): Flight {
    const flight = { id, index, messages, done: false, outcome: undefined };
    this.#flights.push(flight);
    return flight;
  }

  #settle(flight: Flight, outcome: TargetOutcome | undefined): void {
    flight.done = true;
    flight.outcome = outcome;
    this.#advance();
  }

  /** Moves the cursor past all that is done, and books it. */
  #advance(): void {
    for (let first = this.#flights[this.#head]; first?.done; first = this.#flights[this.#head]) {
      this.#cursor = { id: first.id, index: first.index };
      if (first.outcome !== undefined) this.#counters.add(first.outcome, first.messages);
      this.#head++;
    }
    if (this.#head < 1024 && this.#head < this.#flights.length) return;
    this.#flights = this.#flights.slice(this.#head);
    this.#head = 0;
  }
}
