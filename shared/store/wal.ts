// Looks a write-ahead log over before SQLite does, which takes the first frame that does not add up for the end, and
// drops all transactions behind it without a word. Tells damage from a write that a kill has cut short: a frame is
// written in two steps, its header and its page, and a log that is used again and again has an old page in that place.
// File formats: sqlite.org/fileformat2.html section 4, sqlite.org/walformat.html section 2.
import { existsSync } from "node:fs";
import { FRAME_BYTES, FRAME_HEADER_BYTES, isWalHeader, PlainFile, WAL_HEADER_BYTES } from "./pages.ts";

const INDEX_HEADER_BYTES = 48;
const INDEX_VERSION = 3_007_000;

/** What is wrong with the write-ahead log of a log's file that SQLite would pass over in silence. */
export function judgeWal(file: string): string | undefined {
  if (!existsSync(`${file}-wal`)) return undefined;
  const wal = new PlainFile(`${file}-wal`);
  try {
    if (wal.size < WAL_HEADER_BYTES + FRAME_BYTES) return undefined;
    const header = wal.read(0, WAL_HEADER_BYTES);
    const sum = new WalSum((header.readUInt32BE(0) & 1) === 1);
    if (!isWalHeader(header) || !sum.matches(header.subarray(0, 24), header, 24))
      return "the header of its write-ahead log is altered";
    for (let at = WAL_HEADER_BYTES, number = 1; at + FRAME_BYTES <= wal.size; at += FRAME_BYTES, number++) {
      const frame = wal.read(at, FRAME_BYTES);
      if (!isOfGeneration(frame, header)) return undefined;
      sum.add(frame.subarray(0, 8));
      if (sum.matches(frame.subarray(FRAME_HEADER_BYTES), frame, 16)) continue;
      const committed = readCommitted(`${file}-shm`, header);
      const next = wal.read(at + FRAME_BYTES, FRAME_HEADER_BYTES);
      const isCommitted = committed === undefined ? mayBeCommitted(frame, next, header) : number <= committed;
      return isCommitted ? "its write-ahead log is altered in the middle" : undefined;
    }
    return undefined;
  } finally {
    wal.close();
  }
}

/** Frames of older generations lie behind those that count: they have other salts. */
function isOfGeneration(frame: Buffer, header: Buffer): boolean {
  return frame.compare(header, 16, 24, 8, 16) === 0;
}

/** Without an index only a frame that ends no transaction, and has none behind it, was certainly not committed. */
function mayBeCommitted(frame: Buffer, next: Buffer, header: Buffer): boolean {
  return frame.readUInt32BE(4) !== 0 || isOfGeneration(next, header);
}

/**
 * Frames of the transactions that are complete, from the index beside the log, which outlives the process. Undefined
 * when there is none that belongs to this generation. After a power cut it may be older than the log: then what a disk
 * altered besides, in the newest transactions, is taken for a write that was cut short.
 */
function readCommitted(path: string, walHeader: Buffer): number | undefined {
  if (!existsSync(path)) return undefined;
  const index = new PlainFile(path);
  try {
    const header = index.read(0, INDEX_HEADER_BYTES);
    // SQLite writes it twice, one after the other: two that differ were being written.
    if (!header.equals(index.read(INDEX_HEADER_BYTES, INDEX_HEADER_BYTES))) return undefined;
    if (header.readUInt32LE(0) !== INDEX_VERSION || header.compare(walHeader, 16, 24, 32, 40) !== 0)
      return undefined;
    const sum = new WalSum(false);
    return sum.matchesLittle(header.subarray(0, 40), header, 40) ? header.readUInt32LE(16) : undefined;
  } finally {
    index.close();
  }
}

/** The running checksum of a write-ahead log [fileformat2 section 4.2]. */
class WalSum {
  readonly #isBigEndian: boolean;
  #a = 0;
  #b = 0;

  constructor(isBigEndian: boolean) {
    this.#isBigEndian = isBigEndian;
  }

  add(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += 8) {
      const x = this.#isBigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
      const y = this.#isBigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4);
      this.#a = (this.#a + x + this.#b) >>> 0;
      this.#b = (this.#b + y + this.#a) >>> 0;
    }
  }

  /** Against a sum of the log itself, which is always big-endian. */
  matches(bytes: Buffer, source: Buffer, at: number): boolean {
    this.add(bytes);
    return source.readUInt32BE(at) === this.#a && source.readUInt32BE(at + 4) === this.#b;
  }

  /** Against a sum of the index, which is in the order of this host. */
  matchesLittle(bytes: Buffer, source: Buffer, at: number): boolean {
    this.add(bytes);
    return source.readUInt32LE(at) === this.#a && source.readUInt32LE(at + 4) === this.#b;
  }
}
