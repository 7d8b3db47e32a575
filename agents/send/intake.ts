// Where messages enter: judges each one, collects them in contents, keeps the contents in the journal, and only then
// tells the source that they are kept. Every message ends as exactly one of: kept, filtered by a named rule, lost for a
// named reason. Bounded: what waits for the journal has a limit, at which QoS 0 is lost by name ("overflow") and QoS 1
// and 2 are bounded by the source's receive maximum, because they are not acknowledged.
import type { Counters } from "../../shared/counters.ts";
import { ContentWriter } from "../../shared/framing/content.ts";
import type { Message, Qos } from "../../shared/message.ts";
import { matchTopic } from "../../shared/mqtt/topic.ts";
import type { Journal, JournalRow, NewContent, Notes } from "./journal.ts";
import type { LatestValues } from "./link/refine.ts";

/** Bytes that may wait for the journal before QoS 0 is refused. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024;
/** Contents that are kept in one transaction. */
const CONTENTS_PER_WRITE = 16;

export type LossReason = "oversize" | "overflow" | "invalid-topic" | "invalid-property" | "not-authorized";

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
/** A content that is being collected, or waits for the journal. */
type Collected = {
  readonly stream: number;
  readonly writer: ContentWriter;
  /** The places of the messages that a later one of their topic can overtake. */
  readonly latest: { readonly topic: string; readonly index: number }[];
  /** Messages by source. */
  readonly sources: Map<string, number>;
  /** What the sources want kept with these messages, and not without them. */
  notes: Map<string, string | undefined> | undefined;
  content: Buffer | undefined;
  count: number;
  kept: boolean;
};

/** A message whose source waits to hear that it is settled, in the order of arrival. */
type Unsettled = { readonly settle: () => void; readonly content: { readonly kept: boolean } };

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
  readonly #open = new Map<number, Collected>();
  readonly #treatments = new Map<string, Treatment>();
  /** Writers that are free: each has a large buffer. */
  readonly #writers: ContentWriter[] = [];
  #closed: Collected[] = [];
  #unsettled: Unsettled[] = [];
  /** Stands for the bookings that the journal does not have yet. */
  #booked: { kept: boolean } | undefined;
  #bookedNotes = new Map<string, string | undefined>();
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
   * acknowledged. The notes are kept in the same transaction as the message.
   */
  accept(source: string, message: Message, onSettled: () => void, notes?: Notes): void {
    const { filter, stream, latestOnly } = this.#treat(message.topic);
    const loss = filter === undefined ? this.#judge(message) : undefined;
    if (filter !== undefined || loss !== undefined) {
      this.#counters.add(`source/${source}/accepted`);
      if (filter !== undefined) this.#counters.add(`source/${source}/filtered/${filter}`);
      else if (loss !== undefined) this.#lose(source, loss, message.topic, message.payload.length);
      this.#settleBooked(message.qos, onSettled, notes);
      return;
    }
    const size = message.payload.length + message.topic.length + 32;
    let open = this.#collect(stream);
    if (open.writer.count > 0 && open.writer.length + size > this.#options.blockBytes) {
      this.#close(stream);
      open = this.#collect(stream);
    }
    if (latestOnly) open.latest.push({ topic: message.topic, index: open.writer.count });
    open.sources.set(source, (open.sources.get(source) ?? 0) + 1);
    if (notes !== undefined) {
      open.notes ??= new Map();
      for (const [name, value] of notes) open.notes.set(name, value);
    }
    const before = open.writer.length;
    open.writer.addMessage(message);
    this.#waitingBytes += open.writer.length - before;
    this.#waitingMessages++;
    this.#unsettled.push({ settle: onSettled, content: open });
    if (open.writer.length >= this.#options.blockBytes) this.#close(stream);
    this.#output.waiting(this.#closed.length >= CONTENTS_PER_WRITE);
  }

  /** Books a message that a source could not even hand over. */
  refuse(
    source: string,
    reason: LossReason,
    topic: string,
    payloadBytes: number,
    qos: Qos,
    onSettled: () => void,
    notes?: Notes,
  ): void {
    this.#counters.add(`source/${source}/accepted`);
    this.#lose(source, reason, topic, payloadBytes);
    this.#settleBooked(qos, onSettled, notes);
  }

  /** Books a message that the source itself keeps back, under the name of its rule. */
  setAside(source: string, rule: string, qos: Qos, onSettled: () => void, notes?: Notes): void {
    this.#counters.add(`source/${source}/accepted`);
    this.#counters.add(`source/${source}/filtered/${rule}`);
    this.#settleBooked(qos, onSettled, notes);
  }

  /** Keeps notes that go with no message; `onKept` comes after the settling of all that was accepted before. */
  note(notes: Notes, onKept: () => void): void {
    this.#settleBooked(1, onKept, notes);
  }

  #lose(source: string, reason: LossReason, topic: string, payloadBytes: number): void {
    this.#counters.add(`source/${source}/lost/${reason}`);
    this.#output.lost(source, reason, topic, payloadBytes);
  }

  /**
   * Keeps what waits, and settles it. False when the journal did not take all of it: the rest waits on, unacknowledged.
   */
  flush(nowMs: number): boolean {
    for (const stream of [...this.#open.keys()]) this.#close(stream);
    while (this.#closed.length > 0) {
      // What has piled up while the journal refused may be more than it ever holds at once.
      const problem = this.#keep(CONTENTS_PER_WRITE, nowMs) && this.#keep(1, nowMs);
      if (problem !== undefined) return this.#block(problem);
    }
    if (this.#booked !== undefined) {
      const problem = this.#keepCounters(nowMs);
      if (problem !== undefined) return this.#block(problem);
    }
    if (this.#blocked !== undefined) this.#output.blocked(undefined);
    this.#blocked = undefined;
    return true;
  }

  /** Keeps the first contents in one transaction; why not, when it could not. */
  #keep(contentsMax: number, nowMs: number): string | undefined {
    const batch = this.#closed.slice(0, contentsMax);
    const contents = batch.map(({ stream, count, content }): NewContent => {
      return { stream, count, skip: 0, content: content ?? Buffer.alloc(0) };
    });
    const bytes = contents.reduce((sum, { content }) => sum + content.length, 0);
    let rows: JournalRow[];
    try {
      if (!this.#journal.hasRoom(bytes, this.#counters.changes()))
        return "it is full and nothing in it has been sent";
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    this.#count(batch, 1);
    try {
      rows = this.#journal.append(contents, this.#counters.changes(), nowMs, this.#collectNotes(batch));
    } catch (error) {
      this.#count(batch, -1);
      return error instanceof Error ? error.message : String(error);
    }
    this.#noteKept();
    this.#closed.splice(0, batch.length);
    this.#waitingBytes -= bytes;
    for (const [i, { first, stream }] of rows.entries()) {
      const collected = batch[i] as Collected;
      collected.kept = true;
      this.#waitingMessages -= collected.count;
      for (const { topic, index } of collected.latest) this.#latest.note(stream, topic, first + index);
    }
    this.#settleKept();
    this.#output.kept(rows);
    return undefined;
  }

  /** Nothing but counters waits; why they could not be kept. */
  #keepCounters(nowMs: number): string | undefined {
    try {
      this.#journal.append([], this.#counters.changes(), nowMs, this.#bookedNotes);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    this.#noteKept();
    this.#settleKept();
    return undefined;
  }

  /** The counters are on the disk, and with them what was booked so far. */
  #noteKept(): void {
    this.#counters.noteKept();
    if (this.#booked !== undefined) this.#booked.kept = true;
    this.#booked = undefined;
    this.#bookedNotes.clear();
  }

  /** Those booked apart first: what goes with a message may take back what was noted before it came. */
  #collectNotes(batch: readonly Collected[]): Notes {
    if (batch.every(({ notes }) => notes === undefined)) return this.#bookedNotes;
    const all = new Map(this.#bookedNotes);
    for (const { notes } of batch) for (const [name, value] of notes ?? []) all.set(name, value);
    return all;
  }

  /** Counters change with what they count, in the same transaction, so that they agree after any crash. */
  #count(batch: readonly Collected[], sign: 1 | -1): void {
    for (const { sources } of batch) {
      for (const [source, messages] of sources) {
        this.#counters.add(`source/${source}/accepted`, sign * messages);
        this.#counters.add(`source/${source}/kept`, sign * messages);
      }
    }
  }

  /**
   * Settles what is filtered or lost once that is kept, so that a crash cannot make it vanish from the books after its
   * publisher has forgotten it; in the order in which messages came [MQTT-4.6.0-2]. QoS 0 waits for nothing.
   */
  #settleBooked(qos: Qos, settle: () => void, notes?: Notes): void {
    for (const [name, value] of notes ?? []) this.#bookedNotes.set(name, value);
    if (qos === 0 && notes === undefined) {
      settle();
      return;
    }
    this.#booked ??= { kept: false };
    this.#unsettled.push({ settle, content: this.#booked });
    this.#output.waiting(false);
  }

  #settleKept(): void {
    const waiting = this.#unsettled.findIndex(({ content }) => !content.kept);
    const settled = waiting < 0 ? this.#unsettled : this.#unsettled.slice(0, waiting);
    this.#unsettled = waiting < 0 ? [] : this.#unsettled.slice(waiting);
    for (const { settle } of settled) settle();
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

  #collect(stream: number): Collected {
    const known = this.#open.get(stream);
    if (known !== undefined) return known;
    const writer = this.#writers.pop() ?? new ContentWriter();
    const sources = new Map<string, number>();
    const open: Collected = {
      stream,
      writer,
      latest: [],
      sources,
      notes: undefined,
      content: undefined,
      count: 0,
      kept: false,
    };
    this.#open.set(stream, open);
    return open;
  }

  #close(stream: number): void {
    const open = this.#open.get(stream);
    if (open === undefined) return;
    this.#open.delete(stream);
    open.count = open.writer.count;
    open.content = open.writer.take();
    this.#writers.push(open.writer);
    this.#closed.push(open);
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
