// What waits to leave on one path: heartbeats first, then blocks in order, `interleaveBlocks` of them at a time symbol
// by symbol, so that a burst of loss hits many blocks a little. Shallow on purpose: an urgent block that comes later
// waits for what is here. Knows nothing of sockets: `write` puts datagrams on the wire and says how many it took.
import type { Pacer } from "./pacer.ts";

export type WriteResult = { readonly written: number; readonly error?: string };
export type PathCounters = { datagrams: number; bytes: number; errors: number; droppedBlocks: number };

type Batch = { readonly datagrams: readonly Buffer[]; at: number; sent: number; readonly onSent: () => void };

export type PathQueueOptions = {
  readonly pacer: Pacer;
  /** What the network adds to each datagram on the wire. */
  readonly overheadBytes: number;
  /** Bytes that may wait before no further block is taken. */
  readonly roomBytes: number;
  readonly interleaveBlocks: number;
  /** True when `write` is done with a datagram once it has taken it: its memory may be used again. */
  readonly copies?: boolean;
  readonly write: (datagrams: readonly Buffer[]) => WriteResult;
  readonly onError: (error: string | undefined) => void;
};

/** Datagrams handed to the kernel in one call at most. */
const BURST_DATAGRAMS = 64;
/** Pause after the kernel refused to take a datagram. */
const RETRY_MS = 50;
/** First pause when there was no room for all of it; each further one is twice as long, up to RETRY_MS. */
const FULL_MS = 1;
/** Whole heartbeats may take one part in so many of what a path carries: on a slow one brief ones come between them. */
const HEARTBEAT_SHARE = 8;
/** Brief ones may take as much as it needs to have one about every second. */
const BRIEF_SHARE = 4;
const BRIEF_MS_MAX = 900;
/** A path that has not moved for this long holds nobody up any more. */
const STALL_MS = 1000;

export class PathQueue {
  readonly counters: PathCounters = { datagrams: 0, bytes: 0, errors: 0, droppedBlocks: 0 };
  readonly #options: PathQueueOptions;
  #heartbeat: Batch | undefined;
  #blocks: Batch[] = [];
  #turn = 0;
  #bytes = 0;
  #movedMs = 0;
  #fullMs = FULL_MS;
  #nextHeartbeatMs = Number.NEGATIVE_INFINITY;
  /** A heartbeat that passes one which takes long. */
  #brief: Batch | undefined;
  #nextBriefMs = Number.NEGATIVE_INFINITY;

  constructor(options: PathQueueOptions) {
    this.#options = options;
  }

  /** Bytes of blocks that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** False when what was written may still be looked at. */
  get copies(): boolean {
    return this.#options.copies ?? false;
  }

  get empty(): boolean {
    return this.#heartbeat === undefined && this.#brief === undefined && this.#blocks.length === 0;
  }

  get hasRoom(): boolean {
    const { roomBytes, interleaveBlocks } = this.#options;
    return this.#bytes < roomBytes || this.#blocks.length < interleaveBlocks;
  }

  /** True when something waits and nothing has left for a while: the path is dead or as good as dead. */
  isStalled(nowMs: number): boolean {
    return !this.empty && nowMs - this.#movedMs > STALL_MS + this.#options.pacer.periodMs;
  }

  /** Puts a block's datagrams in line; `onSent` is called when the last of them has left. */
  addBlock(datagrams: readonly Buffer[], nowMs: number, onSent: () => void): void {
    if (this.empty) this.#movedMs = nowMs;
    for (const datagram of datagrams) this.#bytes += datagram.length;
    this.#blocks.push({ datagrams, at: 0, sent: 0, onSent });
  }

  /**
   * Puts a heartbeat in front of the blocks. An older one that still waits is out of date and is dropped. Where the path
   * is too slow for it, the one that `makeBrief` makes takes its place.
   */
  addHeartbeat(datagrams: readonly Buffer[], nowMs: number, makeBrief?: () => readonly Buffer[]): void {
    if (nowMs >= this.#nextHeartbeatMs) {
      this.#nextHeartbeatMs = nowMs + HEARTBEAT_SHARE * this.#timeMs(datagrams);
      if (this.empty) this.#movedMs = nowMs;
      this.#heartbeat = { datagrams, at: 0, sent: 0, onSent: () => {} };
      return;
    }
    // One that has not begun leaves next: then there is nothing to add, and what it says of this path stays true.
    if (makeBrief === undefined || nowMs < this.#nextBriefMs || this.#heartbeat?.at === 0) return;
    const brief = makeBrief();
    this.#nextBriefMs = nowMs + Math.min(BRIEF_MS_MAX, BRIEF_SHARE * this.#timeMs(brief));
    if (this.empty) this.#movedMs = nowMs;
    this.#brief = { datagrams: brief, at: 0, sent: 0, onSent: () => {} };
  }

  /** The time that datagrams take on the wire. */
  #timeMs(datagrams: readonly Buffer[]): number {
    const { pacer, overheadBytes } = this.#options;
    let wireBytes = 0;
    for (const datagram of datagrams) wireBytes += datagram.length + overheadBytes;
    return pacer.timeMs(wireBytes);
  }

  /** Writes what may leave now; milliseconds until it should be called again, undefined when nothing waits. */
  pump(nowMs: number): number | undefined {
    const { pacer, overheadBytes } = this.#options;
    while (!this.empty) {
      const picks: Batch[] = [];
      const ready: Buffer[] = [];
      let wait = 0;
      for (
        let batch = this.#next();
        batch !== undefined && ready.length < BURST_DATAGRAMS;
        batch = this.#next()
      ) {
        const datagram = batch.datagrams[batch.at] as Buffer;
        const wireBytes = datagram.length + overheadBytes;
        if (!pacer.take(wireBytes, nowMs)) {
          wait = pacer.waitMs(wireBytes);
          break;
        }
        batch.at++;
        this.#turn++;
        picks.push(batch);
        ready.push(datagram);
      }
      if (ready.length > 0) {
        const retryMs = this.#flush(picks, ready, nowMs);
        if (retryMs !== undefined) return retryMs;
      }
      if (wait > 0) return wait;
    }
    return undefined;
  }

  /** The batch whose datagram is next. */
  #next(): Batch | undefined {
    for (const heartbeat of [this.#brief, this.#heartbeat])
      if (heartbeat !== undefined && heartbeat.at < heartbeat.datagrams.length) return heartbeat;
    const { interleaveBlocks } = this.#options;
    if (interleaveBlocks === 1) {
      for (const batch of this.#blocks) if (batch.at < batch.datagrams.length) return batch;
      return undefined;
    }
    const window: Batch[] = [];
    for (const batch of this.#blocks) {
      if (batch.at < batch.datagrams.length && window.push(batch) === interleaveBlocks) break;
    }
    return window[this.#turn % window.length];
  }

  /** Undefined when all of it was taken, else the pause before the next attempt. */
  #flush(picks: readonly Batch[], ready: readonly Buffer[], nowMs: number): number | undefined {
    const { pacer, overheadBytes, write, onError } = this.#options;
    const { written, error } = write(ready);
    for (let i = ready.length - 1; i >= written; i--) {
      (picks[i] as Batch).at--;
      pacer.giveBack((ready[i]?.length ?? 0) + overheadBytes);
    }
    const done: Batch[] = [];
    for (let i = 0; i < written; i++) {
      const batch = picks[i] as Batch;
      const size = ready[i]?.length ?? 0;
      this.counters.datagrams++;
      this.counters.bytes += size + overheadBytes;
      if (batch !== this.#heartbeat && batch !== this.#brief) this.#bytes -= size;
      if (++batch.sent === batch.datagrams.length) done.push(batch);
    }
    if (written > 0) this.#movedMs = nowMs;
    if (error !== undefined) this.counters.errors++;
    onError(error);
    for (const batch of done) this.#finish(batch);
    if (error !== undefined) return RETRY_MS;
    if (written > 0) this.#fullMs = FULL_MS;
    if (written === ready.length) return undefined;
    const retryMs = this.#fullMs;
    this.#fullMs = Math.min(RETRY_MS, retryMs * 2);
    return retryMs;
  }

  #finish(batch: Batch): void {
    if (batch === this.#heartbeat) this.#heartbeat = undefined;
    else if (batch === this.#brief) this.#brief = undefined;
    else this.#blocks.splice(this.#blocks.indexOf(batch), 1);
    batch.onSent();
  }
}
