// The send agent without its rim: intake, journal, link sender and heartbeats, with the time (both clocks) as an argument. What it
// needs of the world (a log to write to, paths to fill) is handed in; the simulator hands in others.
import { Counters } from "../../shared/counters.ts";
import { decodeContent } from "../../shared/framing/content.ts";
import { BlockEncoder } from "../../shared/framing/encoder.ts";
import { encodeHeartbeat } from "../../shared/framing/heartbeat.ts";
import type { Message, Qos } from "../../shared/message.ts";
import type { Moment } from "../../shared/moment.ts";
import { matchTopic } from "../../shared/mqtt/topic.ts";
import { OWN_TOPICS } from "../../shared/sparkplug/snapshot.ts";
import type { BlockLog, Durability } from "../../shared/store/block-log.ts";

import { ContentPool } from "./content-pool.ts";
import { makeHeartbeat } from "./heartbeat.ts";
import type { Source } from "./ingress/source.ts";
import { Intake, type LossReason } from "./intake.ts";
import type { IntakeOptions } from "./intake-options.ts";
import { Journal, type JournalRow, type Notes } from "./journal.ts";
import { type SendLedger, sendLedger } from "./ledger.ts";
import type { PathQueue } from "./link/path-queue.ts";
import { LatestValues } from "./link/refine.ts";
import { type Range, Repeats } from "./link/repeats.ts";
import { LinkSender } from "./link/sender.ts";
import { OwnWaiting } from "./own-waiting.ts";
import { OWN_STREAM } from "./topic-treatment.ts";

export type SendCoreOptions = Omit<IntakeOptions, "pool"> & {
  readonly linkId: string;
  readonly linkKeys: readonly Uint8Array[];
  readonly durability: Durability;
  readonly journalBytesMax: number;
  /** 0: nothing is given up because of its age. */
  readonly journalAgeMsMax?: number;
  readonly datagramBytes: number;
  readonly repairPercent: number;
  readonly repairSymbolsMin: number;
  readonly compress: boolean;
  readonly heartbeatMs: number;
  /** 0: nothing is repeated by itself. */
  readonly repeatAfterMs: number;
};

export type CorePath = { readonly name: string; readonly queue: PathQueue; readonly bestEffort: boolean };

export type SendCoreOutput = {
  /** Something waits for flush(). */
  waiting(full: boolean): void;
  lost(source: string, reason: LossReason, topic: string, payloadBytes: number): void;
  /** The journal refuses, and why; undefined: it takes again. */
  blocked(why: string | undefined): void;
  /** Messages were kept while nobody had called flush(): call fill(). */
  ready(): void;
  /** Messages given up after they were kept, by reason; of these sequences. */
  skipped(reason: string, messages: number, range: Range): void;
};

/** The agent's own messages that have not left may take one part in so many of the journal. */
const OWN_SHARE = 8;

export class SendCore {
  readonly journal: Journal;
  readonly counters = new Counters();
  readonly #options: SendCoreOptions;
  readonly #intake: Intake;
  readonly #encoder: BlockEncoder;
  readonly #sender: LinkSender;
  readonly #repeats: Repeats;
  readonly #latest = new LatestValues();
  readonly #paths: readonly CorePath[];
  readonly #startedMs: number;
  readonly #ownWaiting: OwnWaiting;

  constructor(
    options: SendCoreOptions,
    log: BlockLog,
    paths: readonly CorePath[],
    now: Moment,
    random64: () => bigint,
    output: SendCoreOutput,
  ) {
    this.#options = options;
    this.#paths = paths;
    this.#startedMs = now.steadyMs;
    this.#ownWaiting = new OwnWaiting(options.journalBytesMax / OWN_SHARE);
    const { linkId, linkKeys, durability, journalBytesMax: bytesMax, datagramBytes } = options;
    const { journalAgeMsMax: ageMsMax = 0 } = options;
    this.journal = new Journal(log, { durability, bytesMax, ageMsMax, nowMs: now.wallMs, random64 });
    for (const [name, value] of this.journal.counters()) this.counters.set(name, value);
    const { journalId, epoch } = this.journal;
    const { repairPercent, repairSymbolsMin } = options;
    this.#encoder = new BlockEncoder({
      linkId,
      linkKeys,
      journalId,
      epoch,
      datagramBytes,
      repairPercent,
      repairSymbolsMin,
    });
    const pool = new ContentPool();
    this.#repeats = new Repeats(this.journal, options.repeatAfterMs);
    this.#sender = new LinkSender(this.journal, this.#latest, this.#repeats, {
      encoder: this.#encoder,
      queues: paths,
      priorities: [...options.priorities.map(({ stream }) => stream), 0, OWN_STREAM],
      compress: options.compress,
      blockBytes: options.blockBytes,
      giveBack: (content) => pool.giveBack(content),
      onLost: (losses, { stream, first, count }) => {
        for (const [reason, messages] of losses) {
          // No message ever had those: nothing is lost, but the receiver will hear of them.
          if (reason === "void") this.counters.add("link/void", messages);
          else {
            this.counters.add(`link/lost/${reason}`, messages);
            output.skipped(reason, messages, { stream, first, end: first + count });
          }
        }
      },
    });
    this.#recallLatest();
    this.#intake = new Intake({ ...options, pool }, this.journal, this.counters, this.#latest, {
      kept: (rows) => this.#sender.add(rows),
      waiting: (full) => output.waiting(full),
      lost: (source, reason, topic, payloadBytes) => output.lost(source, reason, topic, payloadBytes),
      blocked: (why) => output.blocked(why),
      ready: () => output.ready(),
    });
  }

  get ledger(): SendLedger {
    return sendLedger(this.counters, this.journal.unsentMessages, this.#intake.waitingMessages);
  }

  get messageBytesMax(): number {
    return this.#options.messageBytesMax;
  }

  /** True when everything that was accepted has left. */
  get idle(): boolean {
    return this.#intake.waitingMessages === 0 && this.#sender.idle;
  }

  /** Sequences that wait to be sent again on request. */
  get replaying(): number {
    return this.#repeats.waiting;
  }

  accept(source: string, message: Message, onSettled?: () => void, notes?: Notes): void {
    this.#intake.accept(source, message, onSettled, notes);
  }

  /** A message of the agent's own. False when there is no room for it now. */
  acceptOwn(message: Message): boolean {
    const { journal } = this;
    const bytes = message.payload.length + message.topic.length;
    if (!this.#ownWaiting.hasRoom(bytes, journal.sent(OWN_STREAM))) return false;
    if (!this.#intake.acceptOwn(message)) return false;
    this.#ownWaiting.add(bytes, journal.next(OWN_STREAM));
    return true;
  }

  /** Messages of the agent's own that have not left yet. */
  get ownWaiting(): number {
    return this.journal.next(OWN_STREAM) - this.journal.sent(OWN_STREAM);
  }

  /** The rule that keeps messages of this topic in the plant. */
  filterOf(topic: string): string | undefined {
    return this.#intake.filterOf(topic);
  }

  setAside(source: string, rule: string, qos: Qos, onSettled: () => void, notes?: Notes): void {
    this.#intake.setAside(source, rule, qos, onSettled, notes);
  }

  note(notes: Notes, onKept: () => void): void {
    this.#intake.note(notes, onKept);
  }

  /** What note() and the others have kept, this run and earlier ones, by name without the prefix. */
  readNotes(prefix: string): Map<string, string> {
    return this.journal.notes(prefix);
  }

  refuse(
    source: string,
    reason: LossReason,
    topic: string,
    payloadBytes: number,
    qos: Qos,
    onSettled: () => void,
    notes?: Notes,
  ): void {
    this.#intake.refuse(source, reason, topic, payloadBytes, qos, onSettled, notes);
  }

  /** Keeps what was accepted, and settles it: soon, or `now`. False when the journal did not take it. */
  flush(nowMs: number, now = false): boolean {
    return this.#intake.flush(nowMs, now);
  }

  /** Gives the paths what they have room for. */
  fill(now: Moment): void {
    this.#sender.fill(now);
  }

  /** Puts a heartbeat on every path. */
  beat({ wallMs, steadyMs }: Moment, sources: readonly Source[], stopping: boolean): void {
    const { heartbeatMs: intervalMs } = this.#options;
    const paths = this.#paths.map(({ name, queue }) => ({ name, counters: queue.counters }));
    const { journal, ledger, counters } = this;
    const heartbeat = makeHeartbeat({
      nowMs: wallMs,
      uptimeMs: steadyMs - this.#startedMs,
      intervalMs,
      stopping,
      journal,
      ledger,
      sources,
      paths,
      counters,
    });
    const datagrams = this.#encoder.encodeHeartbeat(encodeHeartbeat(heartbeat));
    let brief: readonly Buffer[] | undefined;
    const makeBrief = () => {
      brief ??= this.#encoder.encodeHeartbeat(encodeHeartbeat({ ...heartbeat, sections: [] }), false);
      return brief;
    };
    for (const { queue } of this.#paths) queue.addHeartbeat(datagrams, steadyMs, makeBrief);
  }

  /** Other live keys, from the next block on. */
  setKeys(linkKeys: readonly Uint8Array[]): void {
    this.#encoder.setKeys(linkKeys);
  }

  /** Asks for sequences to be sent again; how many of them the journal still holds, or undefined when too much waits. */
  replay(range: Range): number | undefined {
    const oldest = Math.max(range.first, this.journal.oldest(range.stream) ?? range.end);
    const end = Math.min(range.end, this.journal.sent(range.stream));
    if (oldest >= end) return 0;
    return this.#repeats.ask({ ...range, first: oldest, end }) ? end - oldest : undefined;
  }

  /** Keeps cursors and counters that no message has carried into the journal. Throws what the log throws. */
  save(wallMs: number): void {
    this.journal.save(this.counters.changes());
    this.counters.noteKept();
    this.journal.expire(wallMs);
  }

  close(): void {
    this.journal.close(this.counters.changes());
  }

  /** After a restart: what waits in the journal overtakes its like as if it had just been taken in. */
  #recallLatest(): void {
    for (const stream of this.journal.streams) {
      if (this.#options.latestOnly.length === 0 && stream !== OWN_STREAM) continue;
      let at = this.journal.sent(stream);
      for (let rows = this.journal.read(stream, at); rows.length > 0; rows = this.journal.read(stream, at)) {
        for (const row of rows) this.#recallRow(row);
        const last = rows[rows.length - 1] as JournalRow;
        at = last.first + last.count;
      }
    }
  }

  #recallRow(row: JournalRow): void {
    let sequence = row.first;
    for (const frame of decodeContent(row.content, row.count) ?? []) {
      if (frame.type === "message" && this.#isLatestOnly(frame.message.topic))
        this.#latest.note(row.stream, frame.message.topic, sequence);
      sequence += frame.type === "message" ? 1 : frame.count;
    }
  }

  #isLatestOnly(topic: string): boolean {
    return (
      topic.startsWith(OWN_TOPICS) || this.#options.latestOnly.some((filter) => matchTopic(filter, topic))
    );
  }
}
