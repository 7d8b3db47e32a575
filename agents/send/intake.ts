// Where messages enter: judges each one, collects them in contents, keeps the contents in the journal, and only then
// tells the source that they are kept. Every message ends as exactly one of: kept, filtered by a named rule, lost for a
// named reason. Bounded: what waits for the journal has a limit, at which QoS 0 is lost by name ("overflow", the newest or
// the oldest of it) and QoS 1 and 2 are bounded by the source's receive maximum, because they are not acknowledged.
import type { Counters } from "../../shared/counters.ts";
import { ContentWriter } from "../../shared/framing/content.ts";
import { countPayloadBytes, type Message, type Qos } from "../../shared/message.ts";
import { OWN_TOPICS } from "../../shared/sparkplug/snapshot.ts";
import { Bookings } from "./bookings.ts";
import type { IntakeOptions } from "./intake-options.ts";
import { dropQos0, type Waiting } from "./intake-overflow.ts";
import type { Journal, JournalRow, NewContent, Notes } from "./journal.ts";
import type { LatestValues } from "./link/refine.ts";
import { TopicTreatment, type Treatment } from "./topic-treatment.ts";
import { Unsettled } from "./unsettled.ts";
import { WriteAhead } from "./write-ahead.ts";

/** Contents that are kept in one transaction. */
const CONTENTS_PER_WRITE = 16;

export type LossReason =
  | "oversize"
  | "overflow"
  | "invalid-topic"
  | "invalid-property"
  | "not-authorized"
  | "reserved-topic";

/** What the agent itself sends across has this source in the ledger, which no source in a configuration can be called. */
const OWN_SOURCE = "$tidegate";

/** A content that is being collected, or waits for the journal. */
type Collected = Waiting & {
  readonly stream: number;
  readonly writer: ContentWriter;
  /** What the sources want kept with these messages, and not without them. */
  notes: Map<string, string | undefined> | undefined;
  kept: boolean;
  /** Where it lies already, if it does. */
  place: NewContent["place"];
};

export type IntakeOutput = {
  /** Contents are in the journal: send them. */
  kept(rows: readonly JournalRow[]): void;
  /** Something waits: call flush() within the linger time, or at once when `full`. */
  waiting(full: boolean): void;
  lost(source: string, reason: LossReason, topic: string, payloadBytes: number): void;
  /** The journal refuses (undefined: it takes again). */
  blocked(why: string | undefined): void;
  /** kept() was called while flush() was not: nobody has looked yet whether something can be sent. */
  ready(): void;
};

export class Intake {
  readonly #options: IntakeOptions;
  readonly #journal: Journal;
  readonly #counters: Counters;
  readonly #latest: LatestValues;
  readonly #output: IntakeOutput;
  readonly #open = new Map<number, Collected>();
  readonly #treatment: TopicTreatment;
  /** Writers that are free: each has a large buffer. */
  readonly #writers: ContentWriter[] = [];
  #closed: Collected[] = [];
  readonly #ahead: WriteAhead;
  /** flush() was called for what could not be kept yet. */
  #isDue = false;
  readonly #unsettled = new Unsettled();
  readonly #bookings = new Bookings();
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
    this.#treatment = new TopicTreatment(options);
    this.#ahead = new WriteAhead(journal, options.waitingBytesMax, (error, nowMs) =>
      this.#noteWritten(error, nowMs),
    );
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
   * acknowledged. It is left out where nobody waits to hear that. The notes are kept in the same transaction as the message.
   */
  accept(source: string, message: Message, onSettled?: () => void, notes?: Notes): void {
    const treatment = this.#treatment.of(message.topic);
    const { filter } = treatment;
    const loss = filter === undefined ? this.#judge(message) : undefined;
    if (filter !== undefined || loss !== undefined) {
      this.#counters.add(`source/${source}/accepted`);
      if (filter !== undefined) this.#counters.add(`source/${source}/filtered/${filter}`);
      else if (loss !== undefined) this.#lose(source, loss, message.topic, countPayloadBytes(message));
      this.#settleBooked(message.qos, onSettled, notes);
      return;
    }
    this.#take(source, message, treatment, onSettled, notes);
  }

  /** Takes a message of the agent's own, below OWN_TOPICS. False when there is no room for it now, and it may come later. */
  acceptOwn(message: Message): boolean {
    if (countPayloadBytes(message) > this.#options.messageBytesMax) return false;
    if (this.#blocked !== undefined || this.#waitingBytes >= this.#options.waitingBytesMax / 2) return false;
    this.#take(OWN_SOURCE, message, this.#treatment.of(message.topic));
    return true;
  }

  /** The rule that keeps messages of this topic in the plant. */
  filterOf(topic: string): string | undefined {
    return this.#treatment.of(topic).filter;
  }

  #take(
    source: string,
    message: Message,
    { stream, latestOnly }: Treatment,
    onSettled?: () => void,
    notes?: Notes,
  ): void {
    const size = countPayloadBytes(message) + message.topic.length + 32;
    let open = this.#collect(stream);
    if (open.writer.count > 0 && open.writer.length + size > this.#options.blockBytes) {
      this.#close(stream);
      open = this.#collect(stream);
    }
    if (latestOnly) open.latest.push({ topic: message.topic, index: open.writer.count });
    open.sources.set(source, (open.sources.get(source) ?? 0) + 1);
    if (message.qos === 0) open.qos0.set(source, (open.qos0.get(source) ?? 0) + 1);
    if (notes !== undefined) {
      open.notes ??= new Map();
      for (const [name, value] of notes) open.notes.set(name, value);
    }
    const before = open.writer.length;
    open.writer.addMessage(message);
    this.#waitingBytes += open.writer.length - before;
    this.#waitingMessages++;
    if (onSettled !== undefined) this.#unsettled.add(onSettled, open);
    if (open.writer.length >= this.#options.blockBytes) this.#close(stream);
    this.#output.waiting(this.#isFull);
  }

  /** What waits should be kept at once, if it can. */
  get #isFull(): boolean {
    const { isBusy } = this.#ahead;
    return isBusy ? this.#ahead.isFar(this.#waitingBytes) : this.#closed.length >= CONTENTS_PER_WRITE;
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
   * Keeps what waits, and settles it: large contents when the disk is done with them, or `now`. False when the journal did not
   * take all of it: the rest waits on, unacknowledged.
   */
  flush(nowMs: number, now = false): boolean {
    // The rest is kept when the disk is done with what it has.
    if (!now && this.#ahead.isBusy && !this.#ahead.isFar(this.#waitingBytes)) {
      this.#isDue = true;
      return true;
    }
    for (const stream of [...this.#open.keys()]) this.#close(stream);
    while (this.#closed.length > 0) {
      if (!now && this.#writeAhead(nowMs)) return true;
      const problem = this.#ahead.finish(this.#closed) ?? this.#keepSome(nowMs);
      if (problem !== undefined) return this.#block(problem);
    }
    if (this.#bookings.isWaiting) {
      const problem = this.#keepCounters(nowMs);
      if (problem !== undefined) return this.#block(problem);
    }
    if (this.#blocked !== undefined) this.#output.blocked(undefined);
    this.#blocked = undefined;
    return true;
  }

  /** What has piled up while the journal refused may be more than it ever holds at once. */
  #keepSome(nowMs: number): string | undefined {
    return this.#keep(this.#ahead.count || CONTENTS_PER_WRITE, nowMs) && this.#keep(1, nowMs);
  }

  /** True when the first contents are kept as soon as the disk has written them. */
  #writeAhead(nowMs: number): boolean {
    // What has failed, or takes so much that QoS 0 would be lost, is kept while everybody waits.
    if (this.#blocked !== undefined || this.#waitingBytes >= this.#options.waitingBytesMax) return false;
    if (!this.#ahead.begin(this.#closed.slice(0, CONTENTS_PER_WRITE), nowMs)) return false;
    this.#isDue = this.#closed.length > this.#ahead.count;
    return true;
  }

  #noteWritten(error: unknown, nowMs: number): void {
    const isDue = this.#isDue || error !== undefined;
    this.#isDue = false;
    const problem = error === undefined ? this.#keepSome(nowMs) : explain(error);
    if (problem !== undefined) this.#block(problem);
    this.#output.ready();
    if (this.#closed.length > 0 || this.#open.size > 0 || this.#bookings.isWaiting)
      this.#output.waiting(isDue || this.#isFull);
  }

  /** Keeps the first contents in one transaction; why not, when it could not. */
  #keep(contentsMax: number, nowMs: number): string | undefined {
    const batch = this.#closed.slice(0, contentsMax);
    const contents = batch.map(({ stream, count, content = NOTHING, place }): NewContent => {
      return { stream, count, skip: 0, content, place };
    });
    const bytes = contents.reduce((sum, { content }) => sum + content.length, 0);
    let rows: JournalRow[];
    try {
      if (!this.#journal.hasRoom(bytes, this.#counters.changes()))
        return "it is full and nothing in it has been sent";
    } catch (error) {
      return explain(error);
    }
    this.#count(batch, 1);
    try {
      rows = this.#journal.append(contents, this.#counters.changes(), nowMs, this.#bookings.collect(batch));
    } catch (error) {
      this.#count(batch, -1);
      return explain(error);
    }
    this.#noteKept();
    this.#closed.splice(0, batch.length);
    this.#ahead.noteKept(batch.length);
    this.#waitingBytes -= bytes;
    for (const [i, { first, stream }] of rows.entries()) {
      const collected = batch[i] as Collected;
      collected.kept = true;
      this.#waitingMessages -= collected.count;
      for (const { topic, index } of collected.latest) this.#latest.note(stream, topic, first + index);
    }
    this.#unsettled.settleKept();
    this.#output.kept(rows);
    return undefined;
  }

  /** Nothing but counters waits; why they could not be kept. */
  #keepCounters(nowMs: number): string | undefined {
    try {
      this.#journal.append([], this.#counters.changes(), nowMs, this.#bookings.notes);
    } catch (error) {
      return explain(error);
    }
    this.#noteKept();
    this.#unsettled.settleKept();
    return undefined;
  }

  /** The counters are on the disk, and with them what was booked so far. */
  #noteKept(): void {
    this.#counters.noteKept();
    this.#bookings.noteKept();
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
  #settleBooked(qos: Qos, settle: (() => void) | undefined, notes?: Notes): void {
    if (qos === 0 && notes === undefined) {
      settle?.();
      return;
    }
    const booked = this.#bookings.add(notes ?? NO_NOTES, () => [...this.#closed, ...this.#open.values()]);
    if (settle !== undefined) this.#unsettled.add(settle, booked);
    this.#output.waiting(false);
  }

  #block(why: string): false {
    if (this.#blocked !== why) this.#output.blocked(why);
    this.#blocked = why;
    return false;
  }

  #judge(message: Message): LossReason | undefined {
    const { topic, qos } = message;
    if (topic.startsWith(OWN_TOPICS)) return "reserved-topic";
    if (countPayloadBytes(message) > this.#options.messageBytesMax) return "oversize";
    if (qos > 0 || this.#waitingBytes < this.#options.waitingBytesMax) return undefined;
    return this.#options.qos0Overflow === "drop-oldest" && this.#dropOldest() ? undefined : "overflow";
  }

  /** Gives up the QoS 0 of the oldest content that has some; false when there is none. */
  #dropOldest(): boolean {
    // What the disk is at work on must stay as it is, and so must what goes with a message.
    const free = this.#ahead.count;
    const isFree = ({ qos0, notes }: Collected) => qos0.size > 0 && notes === undefined;
    const index = this.#closed.findIndex((content, index) => index >= free && isFree(content));
    const oldest = this.#closed[index];
    const dropped = oldest && dropQos0(oldest);
    if (oldest === undefined || dropped === undefined) return false;
    this.#waitingBytes -= dropped.bytes;
    this.#waitingMessages -= dropped.messages;
    for (const [source, messages] of dropped.bySource) {
      this.#counters.add(`source/${source}/accepted`, messages);
      this.#counters.add(`source/${source}/lost/overflow`, messages);
      this.#output.lost(source, "overflow", dropped.topic, dropped.payloadBytes);
    }
    if (oldest.count > 0) return true;
    // Nobody waits to hear of it, but what came after it must not wait for it either.
    oldest.kept = true;
    this.#closed.splice(index, 1);
    return true;
  }

  #collect(stream: number): Collected {
    const known = this.#open.get(stream);
    if (known !== undefined) return known;
    const open: Collected = {
      stream,
      writer: this.#writers.pop() ?? new ContentWriter(),
      latest: [],
      sources: new Map(),
      qos0: new Map(),
      notes: undefined,
      content: undefined,
      count: 0,
      kept: false,
      place: undefined,
    };
    this.#open.set(stream, open);
    return open;
  }

  #close(stream: number): void {
    const open = this.#open.get(stream);
    if (open === undefined) return;
    this.#open.delete(stream);
    open.count = open.writer.count;
    open.content = this.#options.pool.take(open.writer);
    this.#writers.push(open.writer);
    this.#closed.push(open);
  }
}

const NOTHING = Buffer.alloc(0);
const NO_NOTES: Notes = new Map();

function explain(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
