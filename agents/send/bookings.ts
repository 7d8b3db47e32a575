// What the journal is to keep that is in no content: counters of what was filtered or lost, and notes of the sources. It goes with the
// next transaction; a note that overrides what a message brings goes with that message, or an older value would come last.
import type { Notes } from "./journal.ts";
import type { Keepable } from "./unsettled.ts";

/** A content that waits, and the notes that are kept with it and not without it. */
export type Noted = Keepable & { readonly notes: Map<string, string | undefined> | undefined };

export class Bookings {
  /** Stands for the bookings that the journal does not have yet. */
  #booked: { kept: boolean } | undefined;
  readonly #notes = new Map<string, string | undefined>();

  /** Something waits for the next transaction. */
  get isWaiting(): boolean {
    return this.#booked !== undefined;
  }

  /** Those that go with no message. */
  get notes(): Notes {
    return this.#notes;
  }

  /** Books something; `contents` wait, in order. What is returned is kept when all of it is. */
  add(notes: Notes, contents: () => readonly Noted[]): Keepable {
    this.#booked ??= { kept: false };
    const all: Keepable[] = [this.#booked];
    if (notes.size > 0) {
      const waiting = contents();
      for (const [name, value] of notes) {
        const holder = waiting.findLast((content) => content.notes?.has(name) === true);
        (holder?.notes ?? this.#notes).set(name, value);
        if (holder !== undefined) all.push(holder);
      }
    }
    if (all.length === 1) return this.#booked;
    return {
      get kept() {
        return all.every(({ kept }) => kept);
      },
    };
  }

  /** The notes of these contents, and those that go with none: what goes with a message may take back what was noted before it came. */
  collect(contents: readonly Noted[]): Notes {
    if (contents.every(({ notes }) => notes === undefined)) return this.#notes;
    const all = new Map(this.#notes);
    for (const { notes } of contents) for (const [name, value] of notes ?? []) all.set(name, value);
    return all;
  }

  /** All that was booked is on the disk. */
  noteKept(): void {
    if (this.#booked !== undefined) this.#booked.kept = true;
    this.#booked = undefined;
    this.#notes.clear();
  }
}
