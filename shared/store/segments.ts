// Large contents of a log, in plain files beside the database: they are appended, read and, when no row points into a file any more,
// deleted with it. In the database each would be written twice and taken apart into pages. What a row says of its content, the
// checksum above all, is in the database: a file that is short, altered or gone gives no content, and the row's checksum tells.
//
//   NAME.segment-1  NAME.segment-2  …   one is written to, at its end; each start begins a new one
//
// While contents come and go, a file that is done with is not deleted: it is the next to be written to, from its beginning. Memory
// and space on the disk are there then, and a sync has no more to do than to write.
import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
  writevSync,
} from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Place, Preparation } from "./block-log.ts";
import { type ContentSource, listSegments, nameSegment, SegmentReader } from "./segment-reader.ts";

/** Smaller contents lie in the database: one more file to sync would cost more than it saves. */
export const SEGMENT_CONTENT_BYTES_MIN = 16 * 1024;
/** A file takes no more contents from here on; so much of the disk may be taken by contents that are deleted. */
const SEGMENT_BYTES = 8 * 1024 * 1024;
/** A larger file is deleted, not used again: it held one very large content. */
const SPARE_BYTES_MAX = 2 * SEGMENT_BYTES;
/** What the kernel keeps of files, and would have to read from the disk where only a part of it is written. */
const PAGE_BYTES = 4096;
const PADDING = new Uint8Array(PAGE_BYTES);

export const IN_DATABASE: Place = { segment: 0, at: 0, bytes: 0 };

/** Rows that came to point into a segment, or, where the count is negative, do so no more. */
export type RowsMoved = { readonly segment: number; readonly rows: number };

type Open = {
  readonly number: number;
  readonly fd: number;
  end: number;
  /** The end of what was committed, or prepared to be. */
  kept: number;
  /** The directory may not know it after a power cut. */
  isFresh: boolean;
  /** What lies behind `end` is old. */
  readonly isReused: boolean;
  /** Preparations whose sync is not over: until then somebody may wait for it, and its descriptor stays. */
  holds: number;
  isLeft: boolean;
};

const syncData = promisify(fdatasync);
const syncAll = promisify(fsync);

export class Segments implements ContentSource {
  readonly #file: string;
  readonly #reader: SegmentReader;
  /** Rows that point into each file. */
  readonly #rows: Map<number, number>;
  /** Files that no row points into; true from the second look on. */
  readonly #idle = new Map<number, boolean>();
  /** Files to be written to again. */
  readonly #spare: number[] = [];
  /** Files that were begun since the last sweep(), and between the two before. */
  #begun = 0;
  #begunBefore = 0;
  #isDurable = false;
  #next: number;
  #open: Open | undefined;
  /** Something was appended that sync() has not seen. */
  #isDirty = false;
  /** Contents that were prepared, and whose rows are not committed, in each file. */
  readonly #prepared = new Map<number, number>();

  /** `file` is the database, `rows` how many of its rows point into each segment. */
  constructor(file: string, rows: ReadonlyMap<number, number>) {
    this.#file = file;
    this.#reader = new SegmentReader(file);
    this.#rows = new Map(rows);
    const there = listSegments(file);
    for (const number of there) if (!this.#rows.has(number)) this.#idle.set(number, false);
    this.#next = Math.max(0, ...there, ...[...rows.keys()].filter(Number.isSafeInteger)) + 1;
  }

  /** A transaction begins; `isDurable` when it calls sync() before it commits. */
  begin(isDurable: boolean): void {
    this.#isDurable = isDurable;
  }

  /** Throws what the disk says. What was appended does not count before its row is committed. */
  append(content: Uint8Array): Place {
    const open = this.#openOne();
    this.#isDirty = true;
    return this.#write(open, content);
  }

  #write(open: Open, content: Uint8Array): Place {
    const place = { segment: open.number, at: open.end, bytes: content.length };
    let done = open.isReused ? writePages(open.fd, content, open.end) : 0;
    open.end += done;
    while (done < content.length) {
      const written = writeSync(open.fd, content, done, content.length - done, open.end);
      done += written;
      open.end += written;
    }
    return place;
  }

  /** Makes what was appended survive a power cut. Throws what the disk says; then nothing of it may be believed. */
  sync(): void {
    if (!this.#isDirty || this.#open === undefined) return;
    this.#syncOne(this.#open);
    this.#isDirty = false;
  }

  #syncOne(open: Open): void {
    fdatasyncSync(open.fd);
    if (open.isFresh) syncDirectory(dirname(this.#file));
    open.isFresh = false;
  }

  /** As BlockLog.prepare() says; contents that are too small have no place. */
  prepare(contents: readonly Uint8Array[], onDone: (error?: unknown) => void): Preparation | undefined {
    if (!contents.some(isLarge)) return undefined;
    const places: (Place | undefined)[] = [];
    const unsynced = this.#prepareAll(contents, places);
    let isDone = false;
    let failure: unknown;
    const end = () => {
      if (isDone) return;
      isDone = true;
      if (failure !== undefined) this.#takeAll(places);
      onDone(failure);
    };
    const syncs = [...unsynced].map(async ([open, fd]) => {
      try {
        await this.#syncSoon(open, fd);
        unsynced.delete(open);
      } catch (error) {
        failure ??= error;
      } finally {
        closeQuietly(fd);
        this.#release(open);
      }
    });
    void Promise.all(syncs).then(end);
    const finish = () => {
      if (isDone) return;
      isDone = true;
      try {
        if (failure !== undefined) throw failure;
        for (const open of unsynced.keys()) this.#syncOne(open);
      } catch (error) {
        this.#takeAll(places);
        throw error;
      }
    };
    return {
      places,
      finish,
      get isDone() {
        return isDone;
      },
    };
  }

  /**
   * The files that they are in now, each with a descriptor of this preparation's own, opened before it was written to: the kernel says
   * once to each what a disk did not take [fsync(2)], and what one is told no other may miss.
   */
  #prepareAll(contents: readonly Uint8Array[], places: (Place | undefined)[]): Map<Open, number> {
    const opens = new Map<Open, number>();
    const [first, kept] = [this.#open, this.#open?.kept ?? 0];
    try {
      for (const content of contents)
        places.push(isLarge(content) ? this.#prepareOne(content, opens) : undefined);
      return opens;
    } catch (error) {
      this.#takeAll(places);
      if (this.#open !== undefined) this.#open.kept = this.#open === first ? kept : 0;
      this.abandon();
      for (const [open, fd] of opens) {
        closeQuietly(fd);
        this.#release(open);
      }
      throw error;
    }
  }

  #prepareOne(content: Uint8Array, opens: Map<Open, number>): Place {
    const open = this.#openOne();
    if (!opens.has(open)) {
      opens.set(open, openSync(nameSegment(this.#file, open.number), "r+"));
      open.holds++;
    }
    const place = this.#write(open, content);
    open.kept = open.end;
    this.#prepared.set(open.number, (this.#prepared.get(open.number) ?? 0) + 1);
    return place;
  }

  async #syncSoon(open: Open, fd: number): Promise<void> {
    await syncData(fd);
    if (open.isFresh) await this.#syncDirectorySoon();
    open.isFresh = false;
  }

  #release(open: Open): void {
    open.holds--;
    if (open.isLeft && open.holds === 0) closeQuietly(open.fd);
  }

  async #syncDirectorySoon(): Promise<void> {
    const fd = openSync(dirname(this.#file), "r");
    try {
      await syncAll(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** True when the file has contents that were prepared, and whose rows are not committed. */
  isPrepared({ segment }: Place): boolean {
    return this.#prepared.has(segment);
  }

  /** The row of one of them is committed, or will not come. */
  takePrepared({ segment }: Place): void {
    const count = this.#prepared.get(segment) ?? 0;
    if (count > 1) this.#prepared.set(segment, count - 1);
    else this.#prepared.delete(segment);
  }

  #takeAll(places: readonly (Place | undefined)[]): void {
    for (const place of places) if (place !== undefined) this.takePrepared(place);
  }

  /** What was appended is committed, and so are these changes. */
  keep(moved: readonly RowsMoved[]): void {
    if (this.#open !== undefined) this.#open.kept = this.#open.end;
    for (const { segment, rows } of moved) {
      const left = (this.#rows.get(segment) ?? 0) + rows;
      if (left > 0) this.#rows.set(segment, left);
      else if (this.#rows.delete(segment)) this.#idle.set(segment, false);
    }
  }

  /** Takes back what was appended since keep(), and its space. */
  abandon(): void {
    const open = this.#open;
    if (open === undefined || open.end === open.kept) return;
    if (open.isReused) {
      open.end = open.kept;
      return;
    }
    try {
      ftruncateSync(open.fd, open.kept);
      open.end = open.kept;
    } catch {
      // What lies behind belongs to no row: the next content goes into another file.
      this.#leave(open);
    }
  }

  /**
   * Deletes files that no row has pointed into for two calls, but for as many as are begun meanwhile: those are used again;
   * `beforehand` is called first. A copy of the directory made meanwhile finds the files that its database points into.
   */
  sweep(beforehand: () => void): void {
    const isNeeded = (number: number) =>
      number === this.#open?.number || this.#rows.has(number) || this.#prepared.has(number);
    const old = [...this.#idle].filter(([number]) => !isNeeded(number));
    const gone = old.filter(([, isOld]) => isOld).map(([number]) => number);
    for (const [number] of old) this.#idle.set(number, true);
    const spareMax = Math.max(this.#begun, this.#begunBefore);
    this.#begunBefore = this.#begun;
    this.#begun = 0;
    if (gone.length > 0) beforehand();
    for (const number of gone) {
      this.#reader.forget(number);
      if (this.#spare.length < spareMax && this.#isFit(number)) {
        this.#idle.delete(number);
        this.#spare.push(number);
      } else if (this.#remove(number)) this.#idle.delete(number);
    }
    // What cannot be deleted is tried again, as any other that nobody needs.
    for (const number of this.#spare.splice(spareMax))
      if (!this.#remove(number)) this.#idle.set(number, true);
  }

  #isFit(number: number): boolean {
    try {
      const stat = statSync(nameSegment(this.#file, number));
      return stat.isFile() && stat.size <= SPARE_BYTES_MAX;
    } catch {
      return false;
    }
  }

  /** False where something else has its name, or the disk is read-only: the others go all the same, this one perhaps later. */
  #remove(number: number): boolean {
    try {
      rmSync(nameSegment(this.#file, number), { force: true });
      return true;
    } catch {
      return false;
    }
  }

  read(place: Place): Uint8Array | undefined {
    return this.#reader.read(place);
  }

  close(): void {
    if (this.#open !== undefined) this.#leave(this.#open);
    this.#reader.close();
  }

  #openOne(): Open {
    if (this.#open !== undefined && this.#open.end >= SEGMENT_BYTES) {
      if (this.#isDurable) this.sync();
      this.#leave(this.#open);
    }
    if (this.#open !== undefined) return this.#open;
    this.#begun++;
    const state = { end: 0, kept: 0, holds: 0, isLeft: false };
    const reused = this.#takeSpare();
    if (reused !== undefined) this.#open = { ...reused, ...state, isFresh: false, isReused: true };
    else {
      const number = this.#next++;
      const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;
      const fd = openSync(nameSegment(this.#file, number), flags, 0o600);
      this.#open = { number, fd, ...state, isFresh: true, isReused: false };
    }
    return this.#open;
  }

  /** The one that was put aside last: the kernel has most of it in memory. */
  #takeSpare(): { readonly number: number; readonly fd: number } | undefined {
    for (let number = this.#spare.pop(); number !== undefined; number = this.#spare.pop()) {
      try {
        return { number, fd: openSync(nameSegment(this.#file, number), constants.O_WRONLY) };
      } catch {
        this.#idle.set(number, true);
      }
    }
    return undefined;
  }

  #leave(open: Open): void {
    open.isLeft = true;
    if (open.holds === 0) closeSync(open.fd);
    // Rows of a transaction that is under way may point into it: keep() says so. If it fails, nobody needs the file.
    if (!this.#rows.has(open.number)) this.#idle.set(open.number, false);
    this.#open = undefined;
    this.#isDirty = false;
  }
}

/** What was written was synced, or has failed: there is nothing that it could add. */
function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // The descriptor is gone all the same [close(2)].
  }
}

/** Writes a content and up to the end of its last page, so that the kernel need not read that; how many bytes it took. */
function writePages(fd: number, content: Uint8Array, at: number): number {
  const padding = -(at + content.length) & (PAGE_BYTES - 1);
  return writevSync(fd, [content, PADDING.subarray(0, padding)], at);
}

const isLarge = ({ length }: Uint8Array) => length >= SEGMENT_CONTENT_BYTES_MIN;

function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
