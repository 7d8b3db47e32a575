// Where messages enter: judges each one, collects them in contents, keeps the contents in the journal, and only then
// tells the source that they are kept. Every message ends as exactly one of: kept, filtered by a named rule, lost for a
// named reason. Bounded: what waits for the journal has a limit, at which QoS 0 is lost by name ("overflow") and QoS 1
// and 2 are bounded by the source's receive maximum, because they are not acknowledged.
import type { Counters } from "../../shared/counters.ts";
import { ContentWriter } from "../../shared/framing/content.ts";
import type { Message } from "../../shared/message.ts";
import { matchTopic } from "../../shared/mqtt/topic.ts";
import type { Journal, JournalRow, NewContent } from "./journal.ts";

/** Bytes that may wait for the journal before QoS 0 is refused. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024;
/** Contents that are kept in one transaction. */
const CONTENTS_PER_WRITE = 16;

export type LossReason = "oversize" | "overflow" | "invalid-topic" | "invalid-property";

export type IntakeOptions = {
  readonly blockBytes: number;
  readonly messageBytesMax: number;
  readonly filters: readonly { readonly name: string; readonly drop: readonly string[] }[];
};

export type IntakeOutput = {
  /** Contents are in the journal: send them. */
  kept(rows: readonly JournalRow[]): void;
  /** Something waits: call flush() within the linger time. */
  waiting(): void;
  lost(source: string, reason: LossReason, topic: string, payloadBytes: number): void;
  /** The journal refuses (undefined: it takes again). */
  blocked(why: string | undefined): void;
};

export class Intake {
  readonly #options: IntakeOptions;
  readonly #journal: Journal;
  readonly #counters: Counters;
  readonly #output: IntakeOutput;
  readonly #writer = new ContentWriter();
  #closed: NewContent[] = [];
  #acks: (() => void)[] = [];
  #waitingBytes = 0;
  #waitingMessages = 0;
  #blocked: string | undefined;

  constructor(options: IntakeOptions, journal: Journal, counters: Counters, output: IntakeOutput) {
    this.#options = options;
    this.#journal = journal;
    this.#counters = counters;
    this.#output = output;
  }

  /** Messages taken in that are not in the journal yet. */
  get waitingMessages(): number {
    return this.#waitingMessages;
  }

  /** Takes a message from a source; `onSettled` is called once it is kept, filtered or lost: then it may be acknowledged. */
  accept(source: string, message: Message, onSettled: () => void): void {
    this.#counters.add(`source/${source}/accepted`);
    const rule = this.#filter(message.topic);
    if (rule !== undefined) {
      this.#counters.add(`source/${source}/filtered/${rule}`);
      onSettled();
      return;
    }
    if (message.payload.length > this.#options.messageBytesMax) {
      this.#lose(source, "oversize", message.topic, message.payload.length);
      onSettled();
      return;
    }
    if (message.qos === 0 && this.#waitingBytes >= WAITING_BYTES_MAX) {
      this.#lose(source, "overflow", message.topic, message.payload.length);
      onSettled();
      return;
    }
    this.#counters.add(`source/${source}/kept`);
    const size = message.payload.length + message.topic.length + 32;
    if (this.#writer.count > 0 && this.#writer.length + size > this.#options.blockBytes) this.#close();
    const before = this.#writer.length;
    this.#writer.addMessage(message);
    this.#waitingBytes += this.#writer.length - before;
    this.#waitingMessages++;
    this.#acks.push(onSettled);
    if (this.#writer.length >= this.#options.blockBytes) this.#close();
    if (this.#closed.length >= CONTENTS_PER_WRITE && this.#blocked === undefined) this.flush();
    else this.#output.waiting();
  }

  /** Books a message that a source could not even hand over. */
  refuse(source: string, reason: LossReason, topic: string, payloadBytes: number): void {
    this.#counters.add(`source/${source}/accepted`);
    this.#lose(source, reason, topic, payloadBytes);
  }

  #lose(source: string, reason: LossReason, topic: string, payloadBytes: number): void {
    this.#counters.add(`source/${source}/lost/${reason}`);
    this.#output.lost(source, reason, topic, payloadBytes);
  }

  /** Keeps all that waits, then settles it. False when the journal did not take it: it waits on, unacknowledged. */
  flush(): boolean {
    if (this.#writer.count > 0) this.#close();
    if (this.#closed.length === 0) return true;
    let rows: JournalRow[];
    try {
      if (!this.#journal.hasRoom(this.#waitingBytes))
        return this.#block("it is full and nothing in it has been sent");
      rows = this.#journal.append(this.#closed, this.#counters.entries());
    } catch (error) {
      return this.#block(error instanceof Error ? error.message : String(error));
    }
    const acks = this.#acks;
    this.#closed = [];
    this.#acks = [];
    this.#waitingBytes = 0;
    this.#waitingMessages = 0;
    if (this.#blocked !== undefined) this.#output.blocked(undefined);
    this.#blocked = undefined;
    for (const settle of acks) settle();
    this.#output.kept(rows);
    return true;
  }

  #block(why: string): false {
    if (this.#blocked !== why) this.#output.blocked(why);
    this.#blocked = why;
    return false;
  }

  #close(): void {
    const count = this.#writer.count;
    this.#closed.push({ stream: 0, count, skip: 0, content: this.#writer.take() });
  }

  #filter(topic: string): string | undefined {
    for (const { name, drop } of this.#options.filters) {
      if (drop.some((filter) => matchTopic(filter, topic))) return name;
    }
    return undefined;
  }
}
