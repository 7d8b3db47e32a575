// From the link to the spool: decodes what the receiver delivers, books gaps and skips, and keeps all of it, with the
// link's state, in one transaction a turn. Refuses contents that do not parse: their sequences are lost by name.
import type { Counters } from "../../shared/counters.ts";
import { decodeContent } from "../../shared/framing/content.ts";
import type { Delivery, Gap } from "./link/order.ts";
import type { GapReason } from "./link/receiver.ts";
import type { LinkState } from "./link/session.ts";
import { messagesAfter, type NewContent, type Spool } from "./spool.ts";

/** Contents that wait for the disk; beyond, the oldest are lost by name, because nobody can be asked to wait. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024;

export class SpoolIntake {
  readonly #spool: Spool;
  readonly #counters: Counters;
  readonly #state: () => LinkState;
  #waiting: NewContent[] = [];
  #waitingBytes = 0;
  #dirty = false;

  constructor(spool: Spool, counters: Counters, state: () => LinkState) {
    this.#spool = spool;
    this.#counters = counters;
    this.#state = state;
  }

  /** True when flush() has something to keep. */
  get dirty(): boolean {
    return this.#dirty;
  }

  deliver(stream: number, { first, count, skip, content }: Delivery): void {
    this.#dirty = true;
    const frames = decodeContent(content, count);
    if (frames === undefined) {
      this.#counters.add("link/lost/malformed", count - skip);
      return;
    }
    const messages = messagesAfter(frames, skip);
    let at = 0;
    for (const frame of frames) {
      const size = frame.type === "skip" ? frame.count : 1;
      const fresh = Math.min(size, at + size - skip);
      if (frame.type === "skip" && fresh > 0) this.#counters.add(`link/skipped/${frame.reason}`, fresh);
      at += size;
    }
    this.#counters.add("link/accepted", messages.length);
    if (messages.length === 0) return;
    this.#waiting.push({ stream, first, count, skip, content, messages });
    this.#waitingBytes += content.length;
  }

  gap(gap: Gap, reason: GapReason): void {
    this.#dirty = true;
    this.#counters.add(`link/lost/${reason}`, gap.count);
  }

  /** Keeps what waits. Throws what the disk says; then it waits on, up to a bound. */
  flush(nowMs: number, clockDifferenceMs: number): void {
    if (!this.#dirty) return;
    this.#bound();
    const values = new Map(
      [...this.#counters.entries()].map(([name, value]) => [`counter.${name}`, String(value)]),
    );
    this.#spool.append(this.#waiting, this.#state(), values, nowMs, clockDifferenceMs);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#dirty = false;
  }

  #bound(): void {
    let dropped = 0;
    while (this.#waitingBytes > WAITING_BYTES_MAX && dropped < this.#waiting.length) {
      const oldest = this.#waiting[dropped++] as NewContent;
      this.#waitingBytes -= oldest.content.length;
      this.#counters.add("link/accepted", -oldest.messages.length);
      this.#counters.add("link/lost/spool", oldest.messages.length);
    }
    this.#waiting.splice(0, dropped);
  }
}
