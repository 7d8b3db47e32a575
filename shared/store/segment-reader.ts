// Reads contents from the files beside a log's database (segments.ts).
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Place } from "./block-log.ts";
import { isPassing, nameReadFault } from "./fault.ts";

/** Files kept open for reading. */
const READERS_MAX = 4;

/** What reads contents: undefined for one that is not there as a whole. Throws while nobody can tell: what is there is not lost. */
export type ContentSource = { read(place: Place): Uint8Array | undefined };

export class SegmentReader implements ContentSource {
  readonly #file: string;
  readonly #fds = new Map<number, number>();

  /** `file` is the database. */
  constructor(file: string) {
    this.#file = file;
  }

  read({ segment, at, bytes }: Place): Uint8Array | undefined {
    try {
      return readAt(this.#open(segment), at, bytes);
    } catch (error) {
      if (isPassing(error)) throw nameReadFault(error);
      // Gone, or a bad sector.
      return undefined;
    }
  }

  forget(segment: number): void {
    const fd = this.#fds.get(segment);
    if (fd === undefined) return;
    this.#fds.delete(segment);
    closeSync(fd);
  }

  close(): void {
    for (const segment of [...this.#fds.keys()]) this.forget(segment);
  }

  #open(segment: number): number {
    const known = this.#fds.get(segment);
    if (known !== undefined) return known;
    const fd = openSync(nameSegment(this.#file, segment), "r");
    this.#fds.set(segment, fd);
    for (const oldest of this.#fds.keys()) {
      if (this.#fds.size <= READERS_MAX) break;
      this.forget(oldest);
    }
    return fd;
  }
}

export function nameSegment(file: string, segment: number): string {
  return `${file}.segment-${segment}`;
}

/** The numbers of the files that there are. */
export function listSegments(file: string): number[] {
  const prefix = `${basename(file)}.segment-`;
  return readdirSync(dirname(file))
    .filter((name) => name.startsWith(prefix) && /^[1-9]\d{0,14}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)));
}

function readAt(fd: number, at: number, bytes: number): Uint8Array | undefined {
  const content = Buffer.allocUnsafeSlow(bytes);
  let done = 0;
  while (done < bytes) {
    const read = readSync(fd, content, done, bytes - done, at + done);
    if (read === 0) return undefined;
    done += read;
  }
  return content;
}
