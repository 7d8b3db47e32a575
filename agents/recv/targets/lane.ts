// A stretch of the spool that one target has still to get: where reading is, what is in flight, and the cursor before
// which all is settled. The live lane has no end; what a target finds when it comes back is a lane with one.
// What became of a message is booked when the cursor passes it, so that cursor and books agree after any crash.
import type { Message } from "../../../shared/message.ts";
import type { Spool, SpoolEntry } from "../spool.ts";
import type { Settlement } from "./outcome.ts";

/** Everything before it is settled: message `index` of content `id`, or all of content `id` when index is 0. */
export type Cursor = { readonly id: number; readonly index: number };

export type Flight = {
  readonly id: number;
  readonly index: number;
  done: boolean;
  settlement: Settlement | undefined;
};

/** What comes next: a message, or the end of a content (`message` is undefined), of which `corrupt` are lost. */
export type Next = {
  readonly entry: SpoolEntry;
  readonly index: number;
  readonly message: Message | undefined;
};

/** Settled flights that are cut off the list at once. */
const SETTLED_MAX = 1024;

export class Lane {
  readonly #spool: Spool;
  readonly #book: (settlement: Settlement) => void;
  #endId: number;
  #cursor: Cursor;
  #flights: Flight[] = [];
  #head = 0;
  #entries: readonly SpoolEntry[] = [];
  #entryAt = 0;
  /** Contents up to here have been handled. */
  #readId: number;
  /** Messages of content `#indexOf` that were handled already. */
  #index: number;
  #indexOf: number;

  constructor(
    spool: Spool,
    book: (settlement: Settlement) => void,
    cursor: Cursor,
    endId = Number.POSITIVE_INFINITY,
  ) {
    this.#spool = spool;
    this.#book = book;
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

  get inFlight(): number {
    return this.#flights.length - this.#head;
  }

  /** All of it is settled; never true for the live lane. */
  get isDone(): boolean {
    return this.inFlight === 0 && this.settledId >= this.#endId;
  }

  /** What comes next; undefined when nothing is there to be read. */
  peek(): Next | undefined {
    if (this.#readId >= this.#endId) return undefined;
    if (this.#entryAt >= this.#entries.length) {
      this.#entries = this.#spool.read(this.#readId);
      this.#entryAt = 0;
    }
    const entry = this.#entries[this.#entryAt];
    if (entry === undefined) return undefined;
    if (entry.id > this.#endId) {
      // The rest of it is not there any more: a damaged disk.
      this.#passTo(this.#endId, undefined);
      return undefined;
    }
    if (entry.id !== this.#indexOf) {
      this.#indexOf = entry.id;
      this.#index = 0;
    }
    return { entry, index: this.#index, message: entry.messages[this.#index] };
  }

  /** Takes the message that peek() showed; it is in flight until settle(). */
  take(): Flight {
    return this.#launch(this.#indexOf, ++this.#index);
  }

  /** Passes by the rest of the content that peek() showed. */
  pass(settlement: Settlement | undefined): void {
    const { id } = this.#entries[this.#entryAt] as SpoolEntry;
    this.#entryAt++;
    this.#passTo(id, settlement);
  }

  /** Does nothing when what was in flight has been given up meanwhile. */
  settle(flight: Flight, settlement: Settlement | undefined): void {
    if (flight.done) return;
    flight.done = true;
    flight.settlement = settlement;
    this.#advance();
  }

  /** A content is gone from the spool: moves on, and says how many of its messages have no other outcome. */
  drop({ id, messages, corrupt }: SpoolEntry): number {
    if (id > this.#endId || id <= this.settledId) return 0;
    let lost = messages.length + corrupt - (this.#cursor.id === id ? this.#cursor.index : 0);
    const flights = this.#flights.slice(this.#head);
    for (const flight of flights) {
      if (flight.id > id) continue;
      const { settlement } = flight;
      if (flight.done && settlement !== undefined) {
        this.#book(settlement);
        lost -= settlement.count;
      }
      flight.done = true;
    }
    this.#cursor = { id, index: 0 };
    this.#flights = flights.filter((flight) => flight.id > id);
    this.#head = 0;
    this.#advance();
    if (this.#readId < id) {
      this.#readId = id;
      this.#forget();
    }
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

  #passTo(id: number, settlement: Settlement | undefined): void {
    this.#readId = id;
    this.settle(this.#launch(id, 0), settlement);
  }

  #launch(id: number, index: number): Flight {
    const flight = { id, index, done: false, settlement: undefined };
    this.#flights.push(flight);
    return flight;
  }

  /** Moves the cursor past all that is done, and books it. */
  #advance(): void {
    for (let first = this.#flights[this.#head]; first?.done; first = this.#flights[this.#head]) {
      this.#cursor = { id: first.id, index: first.index };
      if (first.settlement !== undefined) this.#book(first.settlement);
      this.#head++;
    }
    if (this.#head < SETTLED_MAX && this.#head < this.#flights.length) return;
    this.#flights = this.#flights.slice(this.#head);
    this.#head = 0;
  }
}
