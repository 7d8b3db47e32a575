// Where messages enter: judges each one, collects them in contents, keeps the contents in the journal, and only then
// tells the source that they are kept. Every message ends as exactly one of: kept, filtered by a named rule, lost for a
// named reason. Bounded: what waits for the journal has a limit, at which QoS 0 is lost by name ("overflow") and QoS 1
// and 2 are bounded by the source's receive maximum, because they are not acknowledged.
import type { Counters } from "../../shared/counters.ts";
import { ContentWriter } from "../../shared/framing/content.ts";
import type { Message } from "../../shared/message.ts";
import { matchTopic } from "../../shared/mqtt/topic.ts";
import type { Journal, JournalRow, NewContent } from "./journal.ts";
import type { LatestValues } from "./link/refine.ts";

/** Bytes that may wait for the journal before QoS 0 is refused. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024;
/** Contents that are kept in one transaction. */
const CONTENTS_PER_WRITE = 16;

export type LossReason = "oversize" | "overflow" | "invalid-topic" | "invalid-property";

/** Topics whose treatment is remembered. */
const TOPICS_MAX = 50_000;

export type IntakeOptions = {
  /** Content bytes after which a block is closed. */
  readonly blockBytes: number;
  readonly messageBytesMax: number;
  readonly filters: readonly { readonly name: string; readonly drop: readonly string[] }[];
  /** The stream of the topics that match; the first that matches counts. All others have stream 0. */
  readonly priorities: readonly { readonly stream: number; readonly topics: readonly string[] }[];
  /** Topics of which only the latest value matters while messages wait for the link. */
  readonly latestOnly: readonly string[];
};

/** What is done with the messages of a topic: decided once. */
type Treatment = {
  readonly filter: string | undefined;
  readonly stream: number;
  readonly latestOnly: boolean;
};
/** A content with the places of the messages that a later one can overtake. */
type Collected = NewContent & {
  readonly latest: readonly { readonly topic: string; readonly index: number }[];
};

export type IntakeOutput = {
  /** Contents are in the journal: send them. */
  kept(rows: readonly JournalRow[]): void;
  /** Something waits: call flush() within the linger time, or at once when `full`. */
  waiting(full: boolean): void;
  lost(source: string, reason: LossReason, topic: string, payloadBytes: number): void;
  /** The journal refuses (undefined: it takes again). */
  blocked(why: string | undefined): void;
};

export class Intake {
  readonly #options: IntakeOptions;
  readonly #journal: Journal;
  readonly #counters: Counters;
  readonly #latest: LatestValues;
  readonly #output: IntakeOutput;
  readonly #open = new Map<number, { writer: ContentWriter; latest: { topic: string; index: number }[] }>();
  readonly #treatments = new Map<string, Treatment>();
  #closed: Collected[] = [];
  #acks: (() => void)[] = [];
  #waitingBytes = 0;
  #waitingMessages = 0;
  #blocked: string | undefined;

  constructor(
    options: IntakeOptions,
    journal: Journal,
    counters: Counters,
    latest: LatestValues,
    output: IntakeOutput,
  ) {
    this.#options = options;
    this.#journal = journal;
    this.#counters = counters;
    this.#latest = latest;
    this.#output = output;
  }

  /** Messages taken in that are not in the journal yet. */
  get waitingMessages(): number {
    return this.#waitingMessages;
  }

  /**
   * Takes a message from a source; `onSettled` is called once it is kept, filtered or lost: then it may be
   * acknowledged.
   */
  accept(source: string, message: Message, onSettled: () => void): void {
    this.#counters.add(`source/${source}/accepted`);
    const { filter, stream, latestOnly } = this.#treat(message.topic);
    if (filter !== undefined) {
      this.#counters.add(`source/${source}/filtered/${filter}`);
      onSettled();
      return;
    }
    const loss = this.#judge(message);
    if (loss !== undefined) {
      this.#lose(source, loss, message.topic, message.payload.length);
      onSettled();
      return;
    }
    this.#counters.add(`source/${source}/kept`);
    const open = this.#openContent(stream);
    const { writer } = open;
    const size = message.payload.length + message.topic.length + 32;
    if (writer.count > 0 && writer.length + size > this.#options.blockBytes) this.#close(stream);
    if (latestOnly) open.latest.push({ topic: message.topic, index: writer.count });
    const before = writer.length;
    writer.addMessage(message);
    this.#waitingBytes += writer.length - before;
    this.#waitingMessages++;
    this.#acks.push(onSettled);
    if (writer.length >= this.#options.blockBytes) this.#close(stream);
    this.#output.waiting(this.#closed.length >= CONTENTS_PER_WRITE);
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
  flush(nowMs: number): boolean {
    for (const stream of this.#open.keys()) this.#close(stream);
    if (this.#closed.length === 0) return true;
    let rows: JournalRow[];
    try {
      if (!this.#journal.hasRoom(this.#waitingBytes))
        return this.#block("it is full and nothing in it has been sent");
      rows = this.#journal.append(this.#closed, this.#counters.changes(), nowMs);
      this.#counters.noteKept();
    } catch (error) {
      return this.#block(error instanceof Error ? error.message : String(error));
    }
    for (const [i, { first, stream }] of rows.entries()) {
      for (const { topic, index } of this.#closed[i]?.latest ?? [])
        this.#latest.note(stream, topic, first + index);
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

  #judge({ payload, qos }: Message): LossReason | undefined {
    if (payload.length > this.#options.messageBytesMax) return "oversize";
    return qos === 0 && this.#waitingBytes >= WAITING_BYTES_MAX ? "overflow" : undefined;
  }

  #openContent(stream: number) {
    const known = this.#open.get(stream);
    if (known !== undefined) return known;
    const open = { writer: new ContentWriter(), latest: [] };
    this.#open.set(stream, open);
    return open;
  }

  #close(stream: number): void {
    const open = this.#open.get(stream);
    if (open === undefined || open.writer.count === 0) return;
    const { writer, latest } = open;
    const count = writer.count;
    this.#closed.push({ stream, count, skip: 0, content: writer.take(), latest });
    open.latest = [];
  }

  #treat(topic: string): Treatment {
    const known = this.#treatments.get(topic);
    if (known !== undefined) return known;
    const matches = (filters: readonly string[]) => filters.some((filter) => matchTopic(filter, topic));
    const treatment = {
      filter: this.#options.filters.find(({ drop }) => matches(drop))?.name,
      stream: this.#options.priorities.find(({ topics }) => matches(topics))?.stream ?? 0,
      latestOnly: matches(this.#options.latestOnly),
    };
    if (this.#treatments.size >= TOPICS_MAX) this.#treatments.clear();
    this.#treatments.set(topic, treatment);
    return treatment;
  }
}
