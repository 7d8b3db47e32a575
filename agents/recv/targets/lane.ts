// A stretch of the spool that one target has still to get: where reading is, what is in flight, and the cursor before
// which all is settled. The live lane has no end; what a target finds when it comes back is a lane with one.
import type { Message } from "../../../shared/message.ts";
import type { Spool, SpoolEntry } from "../spool.ts";

/** Everything before it is settled: message `index` of content `id`, or all of content `id` when index is 0. */
export type Cursor = { readonly id: number; readonly index: number };

export type Flight = { readonly id: number; readonly index: number; done: boolean };

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

  constructor(spool: Spool, cursor: Cursor, endId = Number.POSITIVE_INFINITY) {
    this.#spool = spool;
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
    if (entry === undefined || entry.id > this.#endId) {
      // The rest of it is not there any more: a damaged disk.
      if (this.#endId !== Number.POSITIVE_INFINITY) this.#passTo(this.#endId);
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
  pass(): void {
    const { id } = this.#entries[this.#entryAt] as SpoolEntry;
    this.#entryAt++;
    this.#passTo(id);
  }

  settle(flight: Flight): void {
    flight.done = true;
    for (let first = this.#flights[this.#head]; first?.done; first = this.#flights[this.#head]) {
      this.#cursor = { id: first.id, index: first.index };
      this.#head++;
    }
    if (this.#head < SETTLED_MAX && this.#head < this.#flights.length) return;
    this.#flights = this.#flights.slice(this.#head);
    this.#head = 0;
  }

  /** True when the flight was booked as lost meanwhile, because its content was dropped. */
  isGone({ id }: Flight): boolean {
    return id <= this.settledId;
  }

  /** The contents up to this one are gone: moves on, and says how many of its messages were not settled. */
  drop(entry: SpoolEntry): number {
    const { id, messages, corrupt } = entry;
    if (id > this.#endId || id <= this.settledId) return 0;
    const open = this.#flights.slice(this.#head);
    // What is settled before its turn, because an older one is in flight still, has been counted.
    let lost = open.filter((flight) => flight.id === id && flight.index > 0 && !flight.done).length;
    if (this.#readId < id) {
      lost += messages.length + corrupt - (this.#indexOf === id ? this.#index : 0);
      this.#readId = id;
      this.#forget();
    }
    this.#cursor = { id, index: 0 };
    this.#flights = open.filter((flight) => flight.id > id);
    this.#head = 0;
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

  #passTo(id: number): void {
    this.#readId = id;
    this.settle(this.#launch(id, 0));
  }

  #launch(id: number, index: number): Flight {
    const flight = { id, index, done: false };
    this.#flights.push(flight);
    return flight;
  }
}
