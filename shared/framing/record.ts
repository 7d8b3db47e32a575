// Datagrams in a stream of bytes: what tcp, pipe and directory paths carry. docs/protocol.md, section "Records".
//
//   record = magic "TGD1" (4) · length (2) · complement of length (2) · datagram (length)
//
// A record of length 0 carries no datagram: it is the end mark of a file, and nothing in a stream. The decoder takes bytes cut anywhere,
// finds the next record after garbage, lost bytes or a damaged length, holds at most two records, and never throws.
// It knows nothing of what a datagram is: damage within one is for the seal to find.
import { DATAGRAM_BYTES_MAX } from "./header.ts";

export const RECORD_HEADER_BYTES = 8;
const MAGIC = 0x54474431;
const MAGIC_FIRST = 0x54;

/** Why bytes belong to no record. */
export const RECORD_FAULTS = [
  "garbage", // no record begins here
  "length", // a record seems to begin here, but its length is damaged or is one that no datagram has
  "cut", // the stream ended within a record
] as const;
export type RecordFault = (typeof RECORD_FAULTS)[number];

/** The 8 bytes before a datagram of this many bytes, 1 to 65,507; 0 makes the end mark. */
export function encodeRecordHeader(datagramBytes: number): Buffer {
  const header = Buffer.allocUnsafe(RECORD_HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt16BE(datagramBytes, 4);
  header.writeUInt16BE(~datagramBytes & 0xffff, 6);
  return header;
}

export type RecordOutput = {
  /** A view that is valid during the call only. */
  datagram(datagram: Buffer): void;
  skipped(reason: RecordFault, bytes: number): void;
};

const EMPTY = Buffer.alloc(0);
/**
 * Bytes of records that may be looked at a second time: as many as this, and this many times what has come in.
 * Without a bound, a stream made of nothing but beginnings would cost its receiver a datagram for every 8 bytes.
 */
const AGAIN_BYTES_MAX = 262_144;
const AGAIN_PER_BYTE = 4;

export class RecordDecoder {
  readonly #output: RecordOutput;
  /** Bytes not done with: the last record taken (up to #at, while the next is not seen) and what follows it. */
  #bytes: Buffer = EMPTY;
  /** Where the next record should begin. */
  #at = 0;
  /** Where to look again when none begins there: within the last record, which may have swallowed others. */
  #fallback = 0;
  /** Bytes before this are accounted for, as part of a record or as skipped. */
  #accounted = 0;
  #endMarkLast = false;
  #ending = false;
  #againBytes = AGAIN_BYTES_MAX;

  constructor(output: RecordOutput) {
    this.#output = output;
  }

  /** Bytes of a record that has begun and is not complete. */
  get pendingBytes(): number {
    return this.#bytes.length - this.#at;
  }

  /** True when the last thing in the stream was an end mark: nothing was cut off behind it. */
  get atEndMark(): boolean {
    return this.#endMarkLast && this.pendingBytes === 0;
  }

  /** Takes the next bytes of the stream, cut anywhere. */
  push(chunk: Uint8Array): void {
    this.#againBytes = Math.min(AGAIN_BYTES_MAX, this.#againBytes + chunk.length * AGAIN_PER_BYTE);
    const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const bytes = this.#bytes.length === 0 ? view : Buffer.concat([this.#bytes, view]);
    this.#bytes = bytes;
    while (this.#step(bytes));
    // The chunk is the caller's again after this: what is kept is copied.
    const keep = Math.min(this.#fallback, this.#at);
    this.#bytes = Buffer.from(bytes.subarray(keep));
    this.#at -= keep;
    this.#fallback -= keep;
    this.#accounted -= keep;
  }

  /** The stream has ended; a new one may follow. */
  end(): void {
    // A false beginning may have swallowed whole records: look for them behind it.
    this.#ending = true;
    while (this.pendingBytes > 0) {
      const bytes = this.#bytes;
      this.#skip("cut", this.#judge(bytes, this.#at) === "wait" ? bytes.length : this.#at + 1);
      while (this.#step(bytes));
    }
    this.#ending = false;
    this.#bytes = EMPTY;
    this.#at = 0;
    this.#fallback = 0;
    this.#accounted = 0;
    this.#endMarkLast = false;
  }

  /** Takes one record or skips to where the next may begin; false when more bytes are needed. */
  #step(bytes: Buffer): boolean {
    const found = this.#judge(bytes, this.#at);
    if (found === "wait") return false;
    if (found === "record") {
      const start = this.#at + RECORD_HEADER_BYTES;
      const end = start + bytes.readUInt16BE(this.#at + 4);
      if (end > bytes.length) return false;
      if (!this.#mayTake(start, end)) {
        this.#skip("garbage", start);
        return true;
      }
      this.#at = end;
      this.#fallback = start;
      this.#accounted = Math.max(this.#accounted, end);
      this.#endMarkLast = end === start;
      if (end > start) this.#output.datagram(bytes.subarray(start, end));
      return true;
    }
    // No record begins where one should: the last one may have swallowed the beginning of others.
    if (this.#fallback < this.#at) {
      this.#at = this.#fallback;
      if (this.#judge(bytes, this.#at) === "record") return true;
    }
    const next = bytes.indexOf(MAGIC_FIRST, this.#at + 1);
    this.#skip(found, next === -1 ? bytes.length : next);
    return true;
  }

  #judge(bytes: Buffer, at: number): "record" | "wait" | "garbage" | "length" {
    const left = bytes.length - at;
    for (let i = 0; i < 4; i++) {
      if (i >= left) return "wait";
      if (bytes[at + i] !== ((MAGIC >>> (24 - 8 * i)) & 0xff)) return "garbage";
    }
    if (left < RECORD_HEADER_BYTES) return "wait";
    const length = bytes.readUInt16BE(at + 4);
    const isSound = (length ^ bytes.readUInt16BE(at + 6)) === 0xffff && length <= DATAGRAM_BYTES_MAX;
    return isSound ? "record" : "length";
  }

  /** Whether there is credit left for the part of the record that was taken before, as part of another. */
  #mayTake(start: number, end: number): boolean {
    const again = Math.max(0, Math.min(end, this.#accounted) - start);
    if (again > this.#againBytes) return false;
    this.#againBytes -= again;
    return true;
  }

  #skip(reason: RecordFault, to: number): void {
    const from = Math.max(this.#at, this.#accounted);
    if (to > from) {
      this.#output.skipped(this.#ending ? "cut" : reason, to - from);
      this.#accounted = to;
      this.#endMarkLast = false;
    }
    this.#at = to;
    this.#fallback = to;
  }
}
