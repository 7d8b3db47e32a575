// Contents on their way to the disk before the transaction that keeps them, so that the agent does not stand still while a disk is at
// work on what is large. One batch at a time: the first of those that wait for the journal.
import type { Preparation } from "../../shared/store/block-log.ts";
import type { Journal, NewContent } from "./journal.ts";

/** What may wait while the disk is at work; beyond, everything waits for the disk, and publishers with it. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;
/** Of what may wait at all, where that is less. */
const WAITING_SHARE = 4;

/** A content that waits for the journal. */
export type WaitingContent = { readonly content: Buffer | undefined; place: NewContent["place"] };

type Batch = { readonly count: number; readonly way: Preparation };

export class WriteAhead {
  readonly #journal: Journal;
  readonly #waitingBytesMax: number;
  readonly #onDone: (error: unknown, nowMs: number) => void;
  #batch: Batch | undefined;

  /** `onDone` hears when the disk is done with a batch, or has failed; then it was forgotten. `nowMs` is that of begin(). */
  constructor(journal: Journal, waitingBytesMax: number, onDone: (error: unknown, nowMs: number) => void) {
    this.#journal = journal;
    this.#waitingBytesMax = Math.min(WAITING_BYTES_MAX, waitingBytesMax / WAITING_SHARE);
    this.#onDone = onDone;
  }

  /** The disk is at work. */
  get isBusy(): boolean {
    return this.#batch?.way.isDone === false;
  }

  /** So many bytes wait that the disk has to catch up. */
  isFar(waitingBytes: number): boolean {
    return waitingBytes >= this.#waitingBytesMax;
  }

  /** Contents of the batch that are not in the journal yet. */
  get count(): number {
    return this.#batch?.count ?? 0;
  }

  /** Gives the disk these contents, the first that wait; false when it would be done at once, or is not to be asked now. */
  begin(contents: readonly WaitingContent[], nowMs: number): boolean {
    if (this.#batch !== undefined) return false;
    const bytes = contents.map(({ content }) => content ?? NOTHING);
    let way: Preparation | undefined;
    try {
      way = this.#journal.prepare(bytes, (error) => this.#end(contents, error, nowMs));
    } catch {
      // It says so again when it is asked to keep them.
    }
    if (way === undefined) return false;
    this.#batch = { count: contents.length, way };
    for (const [index, content] of contents.entries()) content.place = way.places[index];
    return true;
  }

  #end(contents: readonly WaitingContent[], error: unknown, nowMs: number): void {
    if (error !== undefined) this.#forget(contents);
    this.#onDone(error, nowMs);
  }

  /** Waits for the disk, if it is at work; why not, when it fails. */
  finish(contents: readonly WaitingContent[]): string | undefined {
    try {
      this.#batch?.way.finish();
      return undefined;
    } catch (error) {
      this.#forget(contents);
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** So many of those that wait, the first ones, are in the journal. */
  noteKept(count: number): void {
    if (this.#batch === undefined) return;
    const left = this.#batch.count - count;
    this.#batch = left > 0 ? { ...this.#batch, count: left } : undefined;
  }

  #forget(contents: readonly WaitingContent[]): void {
    for (const content of contents) content.place = undefined;
    this.#batch = undefined;
  }
}

const NOTHING = Buffer.alloc(0);
