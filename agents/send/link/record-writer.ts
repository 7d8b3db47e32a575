// Datagrams as records into a stream that takes as many bytes as it likes. A record that was begun is always finished
// before the next. Pure: the stream is a function.
import { encodeRecordHeader, RECORD_HEADER_BYTES } from "../../../shared/framing/record.ts";

/** Bytes taken, 0 when there is no room. Throws when the stream is broken. */
export type Writev = (chunks: readonly Buffer[]) => number;

const EMPTY = Buffer.alloc(0);

export class RecordWriter {
  readonly #writev: Writev;
  /** What the stream has not taken yet of the record begun last. */
  #tail: Buffer = EMPTY;

  constructor(writev: Writev) {
    this.#writev = writev;
  }

  get hasTail(): boolean {
    return this.#tail.length > 0;
  }

  /** Goes on with the record that was begun; true when it is finished. */
  flush(): boolean {
    while (this.#tail.length > 0) {
      const taken = this.#writev([this.#tail]);
      if (taken === 0) return false;
      this.#tail = this.#tail.subarray(taken);
    }
    return true;
  }

  /** How many of the datagrams were taken, one that was only begun included. */
  write(datagrams: readonly Buffer[]): number {
    if (!this.flush()) return 0;
    const chunks: Buffer[] = [];
    for (const datagram of datagrams) chunks.push(encodeRecordHeader(datagram.length), datagram);
    let left = this.#writev(chunks);
    let taken = 0;
    for (const [index, datagram] of datagrams.entries()) {
      if (left === 0) break;
      taken++;
      const bytes = RECORD_HEADER_BYTES + datagram.length;
      if (left < bytes) {
        this.#tail = Buffer.concat(chunks.slice(2 * index, 2 * index + 2)).subarray(left);
        break;
      }
      left -= bytes;
    }
    return taken;
  }
}
