// From the link to the spool: decodes what the receiver delivers, books gaps and skips, and keeps all of it, with the
// link's state, in one transaction a turn. Refuses contents that do not parse: their sequences are lost by name.
import type { Counters } from "../../shared/counters.ts";
import { ContentWriter, decodeAfter, decodeContent } from "../../shared/framing/content.ts";
import type { Message } from "../../shared/message.ts";
import type { Filled } from "./link/gaps.ts";
import type { Delivery, Gap } from "./link/order.ts";
import type { Joined } from "./link/parts.ts";
import type { GapReason } from "./link/receiver.ts";
import type { LinkState } from "./link/session.ts";
import { LATE_STREAMS, type NewContent, type Spool, weighContent } from "./spool.ts";

/** Contents that wait for the disk; beyond, the oldest are lost by name, because nobody can be asked to wait. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024;

export class SpoolIntake {
  readonly #spool: Spool;
  readonly #counters: Counters;
  readonly #state: () => LinkState;
  #waiting: NewContent[] = [];
  #waitingBytes = 0;
  #dirty = false;
  readonly #lastTopics = new Map<number, string>();

  constructor(spool: Spool, counters: Counters, state: () => LinkState) {
    this.#spool = spool;
    this.#counters = counters;
    this.#state = state;
  }

  /** Memory of what waits for flush(). */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Messages that are counted as accepted and are not in the spool yet. */
  get waitingMessages(): number {
    return this.#waiting.reduce((sum, { messages }) => sum + messages.length, 0);
  }

  /** The link's state has changed: flush() is to keep it even if nothing else comes. */
  touch(): void {
    this.#dirty = true;
  }

  deliver(stream: number, { first, count, skip, content }: Delivery): void {
    this.#dirty = true;
    const decoded = decodeAfter(content, count, skip);
    if (decoded === undefined) {
      this.#counters.add("link/lost/malformed", count - skip);
      return;
    }
    const { messages } = decoded;
    for (const skipped of decoded.skips) this.#counters.add(`link/skipped/${skipped.reason}`, skipped.count);
    this.#counters.add("link/accepted", messages.length);
    const newest = messages.at(-1);
    if (newest === undefined) return;
    this.#state().gaps.noteAfter(stream, messages[0]?.topic ?? "");
    this.#lastTopics.set(stream, newest.topic);
    if (messages.length === count - skip) this.#push({ stream, first, count, skip, content, messages });
    else this.#pushMessages(stream, first, messages);
  }

  /** What a gap lacked came after all: it is delivered now, behind what came in between. */
  recover(stream: number, joined: Joined, range: Filled): void {
    this.#dirty = true;
    const frames = decodeContent(joined.content, joined.count);
    if (frames === undefined) return; // lost it was, and lost it stays
    const messages: Message[] = [];
    let at = joined.first;
    let skipped = 0;
    for (const frame of frames) {
      const size = frame.type === "skip" ? frame.count : 1;
      const fresh = Math.min(at + size, range.end) - Math.max(at, range.first);
      at += size;
      if (fresh <= 0) continue;
      if (frame.type === "message") messages.push(frame.message);
      else {
        this.#counters.add(`link/skipped/${frame.reason}`, fresh);
        skipped += fresh;
      }
    }
    const count = messages.length;
    this.#counters.add(`link/lost/${range.reason}`, -(count + skipped));
    this.#counters.add("link/accepted", count);
    this.#counters.add("link/recovered", count);
    if (count > 0) this.#pushMessages(stream + LATE_STREAMS, range.first, messages);
  }

  /** As a content of messages alone, so that a content that the disk alters has lost as many messages as sequences. */
  #pushMessages(stream: number, first: number, messages: readonly Message[]): void {
    const writer = new ContentWriter();
    for (const message of messages) writer.addMessage(message);
    const { count } = writer;
    this.#push({ stream, first, count, skip: 0, content: writer.take(), messages });
  }

  gap(stream: number, gap: Gap, reason: GapReason, nowMs: number): void {
    this.#dirty = true;
    this.#counters.add(`link/lost/${reason}`, gap.count);
    const { first, count } = gap;
    const before = this.#lastTopics.get(stream);
    this.#state().gaps.add({
      stream,
      first,
      end: first + count,
      atMs: nowMs,
      reason,
      before,
      after: undefined,
    });
  }

  /** Keeps what waits. Throws what the disk says; then it waits on, up to a bound. */
  flush(nowMs: number, clockDifferenceMs: number): void {
    if (!this.#dirty) return;
    const values = new Map(
      [...this.#counters.changes()].map(([name, value]) => [`counter.${name}`, String(value)]),
    );
    try {
      this.#spool.append(this.#waiting, this.#state(), values, nowMs, clockDifferenceMs);
    } catch (error) {
      this.#bound();
      throw error;
    }
    this.#counters.noteKept();
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#dirty = false;
  }

  #push(content: NewContent): void {
    this.#waiting.push(content);
    this.#waitingBytes += weighContent(content.content.length, content.messages.length);
  }

  #bound(): void {
    let dropped = 0;
    while (this.#waitingBytes > WAITING_BYTES_MAX && dropped < this.#waiting.length) {
      const oldest = this.#waiting[dropped++] as NewContent;
      this.#waitingBytes -= weighContent(oldest.content.length, oldest.messages.length);
      this.#counters.add("link/accepted", -oldest.messages.length);
      this.#counters.add("link/lost/spool", oldest.messages.length);
    }
    this.#waiting.splice(0, dropped);
  }
}
