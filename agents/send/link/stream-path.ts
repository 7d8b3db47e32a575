// A path that is a stream: opened, written to without ever waiting, and opened again when it breaks, with growing and random
// pauses. What was written last is given back after a break, because it may have been lost on the way; the
// receiver drops what it has twice. Bounded: the stream's own buffer, one begun record, and `repeatBytesMax`.
import { writevSync } from "node:fs";
import { Backoff } from "../../../shared/mqtt/backoff.ts";
import { describeError } from "../../../shared/native/tcp-connect.ts";
import type { WriteResult } from "./path-queue.ts";
import type { PathWriter } from "./path-writer.ts";
import { RecordWriter } from "./record-writer.ts";

export type OpenStream = {
  /** Open for writing, and never waiting. */
  readonly fd: number;
  /** Resolves with the reason when the other end is gone. */
  readonly ended?: Promise<string>;
  close(): Promise<void> | void;
};

export type StreamPathOptions = {
  /** Rejects with an Error whose message tells a person why. */
  open(signal: AbortSignal): Promise<OpenStream>;
  /** What was written last and may be lost when the stream breaks. */
  readonly repeatBytesMax: number;
  readonly random: () => number;
  /** The stream is open: what may have been lost with the one before is to be sent again. */
  onOpened(repeat: readonly Buffer[]): void;
};

const REOPEN_MIN_MS = 100;
const REOPEN_MAX_MS = 5000;
/** A stream that has lasted this long is opened again without delay. */
const STABLE_MS = 5000;
const TAIL_RETRY_MS = 2;
const TAIL_RETRY_MAX_MS = 50;

export class StreamPath implements PathWriter {
  readonly #options: StreamPathOptions;
  readonly #backoff: Backoff;
  readonly #abort = new AbortController();
  #stream: OpenStream | undefined;
  #writer: RecordWriter | undefined;
  #written: Buffer[] = [];
  #writtenBytes = 0;
  #problem: string | undefined;
  #openedMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: StreamPathOptions) {
    this.#options = options;
    this.#backoff = new Backoff(REOPEN_MIN_MS, REOPEN_MAX_MS, options.random);
  }

  /** Begins to open the stream. */
  start(): this {
    this.#open();
    return this;
  }

  write(datagrams: readonly Buffer[]): WriteResult {
    const writer = this.#writer;
    if (writer === undefined) return this.#problem ? { written: 0, error: this.#problem } : { written: 0 };
    try {
      const taken = writer.write(datagrams);
      for (const datagram of datagrams.slice(0, taken)) this.#remember(datagram);
      if (writer.hasTail) this.#scheduleTail(TAIL_RETRY_MS);
      return { written: taken };
    } catch (error) {
      this.#break(explain(error));
      return { written: 0, error: this.#problem ?? "" };
    }
  }

  async close(): Promise<void> {
    this.#abort.abort();
    clearTimeout(this.#timer);
    try {
      this.#writer?.flush();
    } catch {
      // It was broken already.
    }
    const stream = this.#stream;
    this.#stream = undefined;
    this.#writer = undefined;
    await stream?.close();
  }

  #open(): void {
    const { open, onOpened } = this.#options;
    open(this.#abort.signal).then(
      (stream) => {
        if (this.#abort.signal.aborted) return void stream.close();
        this.#stream = stream;
        this.#writer = new RecordWriter((chunks) => writeNow(stream.fd, chunks));
        this.#problem = undefined;
        this.#openedMs = performance.now();
        stream.ended?.then((why) => {
          if (this.#stream === stream) this.#break(why);
        });
        const repeat = this.#written;
        this.#written = [];
        this.#writtenBytes = 0;
        onOpened(repeat);
      },
      (error: Error) => this.#reopenLater(error.message),
    );
  }

  #break(why: string): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#writer = undefined;
    if (performance.now() - this.#openedMs > STABLE_MS) this.#backoff.reset();
    void stream?.close();
    this.#reopenLater(why);
  }

  #reopenLater(why: string): void {
    if (this.#abort.signal.aborted) return;
    this.#problem = why;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), this.#backoff.next());
  }

  #remember(datagram: Buffer): void {
    this.#written.push(datagram);
    this.#writtenBytes += datagram.length;
    // Dropped a good many at a time: an array is costly to shift.
    if (this.#writtenBytes < 2 * this.#options.repeatBytesMax) return;
    let drop = 0;
    while (this.#writtenBytes > this.#options.repeatBytesMax)
      this.#writtenBytes -= this.#written[drop++]?.length ?? 0;
    this.#written = this.#written.slice(drop);
  }

  /** A record that was begun goes on by itself, even when nothing follows it. */
  #scheduleTail(waitMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const writer = this.#writer;
      try {
        if (writer === undefined || writer.flush()) return;
        this.#scheduleTail(Math.min(TAIL_RETRY_MAX_MS, waitMs * 2));
      } catch (error) {
        this.#break(explain(error));
      }
    }, waitMs);
  }
}

function explain(error: unknown): string {
  return describeError((error as NodeJS.ErrnoException).code ?? String(error));
}

function writeNow(fd: number, chunks: readonly Buffer[]): number {
  try {
    return writevSync(fd, chunks);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
    throw error;
  }
}
