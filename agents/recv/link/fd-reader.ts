// Reads a stream that never waits (a pipe, a serial line) by asking again and again: often while it brings something, seldom when it
// does not. That works alike for every kind of stream, and leaves other paths their turn.
import { closeSync, readSync } from "node:fs";

export type ReaderOutput = {
  /** A view that is valid during the call only. */
  bytes(bytes: Uint8Array): void;
  /** There is nobody at the other end; the reader goes on asking unless it is closed. */
  noWriter(): void;
  failed(code: string): void;
};

const BUFFER_BYTES = 262_144;
/** Read in one turn at most, so that others have theirs. */
const TURN_BYTES = 4_194_304;
const ASK_MS = 1;
const ASK_MAX_MS = 10;

export class FdReader {
  readonly #fd: number;
  readonly #output: ReaderOutput;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waitMs = ASK_MS;
  #closed = false;

  constructor(fd: number, output: ReaderOutput) {
    this.#fd = fd;
    this.#output = output;
    this.#schedule(0);
  }

  /** Reads no more; the file descriptor stays open. */
  stop(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  close(): void {
    if (this.#closed) return;
    this.stop();
    closeSync(this.#fd);
  }

  #schedule(waitMs: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#turn(), waitMs);
  }

  #turn(): void {
    let left = TURN_BYTES;
    while (left > 0 && !this.#closed) {
      const count = this.#read();
      if (typeof count === "string") {
        this.#output.failed(count);
        return;
      }
      if (count > 0) {
        left -= count;
        this.#output.bytes(this.#buffer.subarray(0, count));
      }
      if (count < BUFFER_BYTES) break;
    }
    this.#waitMs = left < TURN_BYTES ? ASK_MS : Math.min(ASK_MAX_MS, this.#waitMs * 2);
    this.#schedule(left <= 0 ? 0 : this.#waitMs);
  }

  /** Bytes read, 0 for none, or an error's code. */
  #read(): number | string {
    try {
      const count = readSync(this.#fd, this.#buffer);
      if (count === 0) this.#output.noWriter();
      return count;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === "EAGAIN" ? 0 : (code ?? String(error));
    }
  }
}
