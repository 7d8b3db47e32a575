// What waits to leave on one path: heartbeats first, then blocks in order. Bounded in bytes; a block enters whole or not
// at all. Knows nothing of sockets: `write` puts datagrams on the wire and says how many it took.
import type { Pacer } from "./pacer.ts";

export type WriteResult = { readonly written: number; readonly error?: string };
export type PathCounters = { datagrams: number; bytes: number; errors: number; droppedBlocks: number };

type Batch = { readonly datagrams: readonly Buffer[]; at: number; readonly onSent: (() => void) | undefined };

/** Datagrams handed to the kernel in one call at most. */
const BURST_DATAGRAMS = 32;
/** Pause after the kernel refused to take a datagram. */
const RETRY_MS = 50;

export class PathQueue {
  readonly counters: PathCounters = { datagrams: 0, bytes: 0, errors: 0, droppedBlocks: 0 };
  readonly #pacer: Pacer;
  readonly #overheadBytes: number;
  readonly #bytesMax: number;
  readonly #write: (datagrams: readonly Buffer[]) => WriteResult;
  readonly #onError: (error: string | undefined) => void;
  readonly #control: Batch[] = [];
  #data: Batch[] = [];
  #dataHead = 0;
  #bytes = 0;

  /** `overheadBytes` is what the network adds to each datagram on the wire. */
  constructor(options: {
    pacer: Pacer;
    overheadBytes: number;
    bytesMax: number;
    write: (datagrams: readonly Buffer[]) => WriteResult;
    onError: (error: string | undefined) => void;
  }) {
    this.#pacer = options.pacer;
    this.#overheadBytes = options.overheadBytes;
    this.#bytesMax = options.bytesMax;
    this.#write = options.write;
    this.#onError = options.onError;
  }

  /** Bytes of blocks that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  get empty(): boolean {
    return this.#control.length === 0 && this.#dataHead === this.#data.length;
  }

  get hasRoom(): boolean {
    return this.#bytes < this.#bytesMax;
  }

  /** Puts a block's datagrams in line; `onSent` is called when the last of them has left. */
  addBlock(datagrams: readonly Buffer[], onSent: () => void): void {
    for (const datagram of datagrams) this.#bytes += datagram.length;
    this.#data.push({ datagrams, at: 0, onSent });
  }

  /** Puts a heartbeat in front of the blocks. An older one that still waits is out of date and is dropped. */
  addHeartbeat(datagrams: readonly Buffer[]): void {
    if (this.#control[0]?.at === 0) this.#control.pop();
    this.#control.push({ datagrams, at: 0, onSent: undefined });
  }

  /** Writes what may leave now; milliseconds until it should be called again, undefined when nothing waits. */
  pump(nowMs: number): number | undefined {
    for (;;) {
      const batch = this.#control[0] ?? this.#data[this.#dataHead];
      if (batch === undefined) return undefined;
      const ready: Buffer[] = [];
      let wait = 0;
      for (let i = batch.at; i < batch.datagrams.length && ready.length < BURST_DATAGRAMS; i++) {
        const datagram = batch.datagrams[i] as Buffer;
        const wireBytes = datagram.length + this.#overheadBytes;
        if (!this.#pacer.take(wireBytes, nowMs)) {
          wait = this.#pacer.waitMs(wireBytes);
          break;
        }
        ready.push(datagram);
      }
      if (ready.length > 0 && !this.#flush(batch, ready)) return RETRY_MS;
      if (wait > 0) return wait;
    }
  }

  /** False when the kernel did not take all of it. */
  #flush(batch: Batch, ready: readonly Buffer[]): boolean {
    const { written, error } = this.#write(ready);
    for (let i = 0; i < written; i++) {
      const size = ready[i]?.length ?? 0;
      this.counters.datagrams++;
      this.counters.bytes += size + this.#overheadBytes;
      if (batch.onSent !== undefined) this.#bytes -= size;
    }
    batch.at += written;
    for (let i = written; i < ready.length; i++)
      this.#pacer.giveBack((ready[i]?.length ?? 0) + this.#overheadBytes);
    if (error !== undefined) this.counters.errors++;
    this.#onError(error);
    if (batch.at === batch.datagrams.length) this.#finish(batch);
    return written === ready.length;
  }

  #finish(batch: Batch): void {
    if (batch.onSent === undefined) {
      this.#control.shift();
      return;
    }
    this.#dataHead++;
    if (this.#dataHead >= 1024 || this.#dataHead === this.#data.length) {
      this.#data = this.#data.slice(this.#dataHead);
      this.#dataHead = 0;
    }
    batch.onSent();
  }
}
