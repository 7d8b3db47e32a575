// The pages of a log's file as they lie on the disk, with those of its write-ahead log laid over them, whatever state
// the two are in. Refuses nothing: what cannot be read is a page of zeros.
// File formats: sqlite.org/fileformat2.html, sections 1 and 4.
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { PAGE_BYTES } from "./schema.ts";

export const WAL_HEADER_BYTES = 32;
export const FRAME_HEADER_BYTES = 24;
export const FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES;

/** A page, and its number where that is known: 1 is the first. */
export type Page = { readonly number: number; readonly bytes: Buffer };

/** A file of which any part can be read. */
export class PlainFile {
  readonly size: number;
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, "r");
    this.size = fstatSync(this.#fd).size;
  }

  read(at: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    try {
      readSync(this.#fd, bytes, 0, length, at);
    } catch {
      // A bad sector: zeros are no row and no value.
    }
    return bytes;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

export class PageFiles {
  readonly #db: PlainFile | undefined;
  readonly #wal: PlainFile | undefined;
  /** Page number to the place of its newest frame. */
  readonly #newest = new Map<number, number>();
  readonly #frames: { readonly number: number; readonly at: number }[] = [];

  constructor(file: string) {
    this.#db = existsSync(file) ? new PlainFile(file) : undefined;
    this.#wal = existsSync(`${file}-wal`) ? new PlainFile(`${file}-wal`) : undefined;
    this.#readFrames();
  }

  /** Bytes of both files: no content can be longer. */
  get size(): number {
    return (this.#db?.size ?? 0) + (this.#wal?.size ?? 0);
  }

  /** Every page there is, those of the write-ahead log first, several versions of one page among them. */
  *all(): Iterable<Page> {
    for (const { number, at } of this.#frames) {
      const bytes = this.#wal?.read(at, PAGE_BYTES);
      if (bytes !== undefined) yield { number, bytes };
    }
    const count = Math.ceil((this.#db?.size ?? 0) / PAGE_BYTES);
    for (let index = 0; index < count; index++) yield { number: index + 1, bytes: this.#fromFile(index + 1) };
  }

  /** A page as it was last written; with `older`, as the main file has it. */
  read(number: number, older: boolean): Buffer {
    const at = older ? undefined : this.#newest.get(number);
    if (at === undefined || this.#wal === undefined) return this.#fromFile(number);
    return this.#wal.read(at, PAGE_BYTES);
  }

  close(): void {
    this.#db?.close();
    this.#wal?.close();
  }

  #fromFile(number: number): Buffer {
    return this.#db?.read((number - 1) * PAGE_BYTES, PAGE_BYTES) ?? Buffer.alloc(PAGE_BYTES);
  }

  /** Frames of this generation of the write-ahead log; all there are when its header is lost. */
  #readFrames(): void {
    const wal = this.#wal;
    if (wal === undefined) return;
    const header = wal.read(0, WAL_HEADER_BYTES);
    const isHeader = isWalHeader(header);
    for (let at = WAL_HEADER_BYTES; at + FRAME_BYTES <= wal.size; at += FRAME_BYTES) {
      const frame = wal.read(at, FRAME_HEADER_BYTES);
      const number = frame.readUInt32BE(0);
      if (isHeader && frame.compare(header, 16, 24, 8, 16) !== 0) continue;
      this.#frames.push({ number, at: at + FRAME_HEADER_BYTES });
      this.#newest.set(number, at + FRAME_HEADER_BYTES);
    }
  }
}

export function isWalHeader(header: Buffer): boolean {
  return header.readUInt32BE(0) >>> 1 === 0x377f0682 >>> 1 && header.readUInt32BE(8) === PAGE_BYTES;
}
