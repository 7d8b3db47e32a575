// The send agent at work: the core between sources and sockets, its timers, and its end in good order.
//
//   sources ─► intake ─► journal ─► link sender ─► path queues ─► sockets (written to, never read)
//                 └─ settles, so that the source may acknowledge
import { type Logger, LogLimiter } from "../../shared/log.ts";
import type { Moment } from "../../shared/moment.ts";
import { openBlockLog } from "../../shared/store/open.ts";
import { describeRepair } from "../../shared/store/repair-text.ts";
import type { SendConfig } from "./config.ts";
import { SendCore } from "./core.ts";
import type { Source } from "./ingress/source.ts";
import { startSource } from "./ingress/start.ts";
import { adoptJournal } from "./journal-salvage.ts";
import { openPaths, type Path } from "./link/paths.ts";
import type { Range } from "./link/repeats.ts";
import { openReplayDesk } from "./replay-desk.ts";
import type { SendFigures } from "./status.ts";

/** Changed cursors and counters that no new message has carried into the journal are kept this often. */
const SAVE_MS = 1000;
const RETRY_JOURNAL_MS = 250;
/** Repeats and stalled paths are looked after this often when nothing else happens. */
const IDLE_PUMP_MS = 50;
/** How long the last heartbeat may take to leave. */
const FAREWELL_MS = 1000;
const REFUSAL_LOG_MS = 10_000;
/** Spoilt ranges that are named; beyond, they are summed up like any other loss. */
const SPOILT_LINES_MAX = 100;
/** How long edge nodes may take to hear that we stop. */
const GOODBYE_MS = 1000;

export type Rim = {
  readonly log: Logger;
  /** Milliseconds since 1970, without the steps of the wall clock. */
  clock(): number;
  /** A clock that only runs forward. */
  steady(): number;
  random64(): bigint;
  random(): number;
};

export class SendAgent {
  readonly figures: () => SendFigures;
  readonly #config: SendConfig;
  readonly #rim: Rim;
  readonly #core: SendCore;
  readonly #paths: readonly Path[];
  readonly #replays: ReturnType<typeof openReplayDesk>;
  readonly #limiter = new LogLimiter(REFUSAL_LOG_MS);
  readonly #startedMs: number;
  #sources: Source[] = [];
  #timers: ReturnType<typeof setInterval>[] = [];
  /** The flush that is to come. */
  #linger: { cancel(): void } | undefined;
  #flushedMs = Number.NEGATIVE_INFINITY;
  #stopping = false;
  #problem: string | undefined;
  /** Ranges that the disk has spoilt. */
  #spoilt = 0;
  #readFault: string | undefined;
  /** What keeps cursors and counters from the disk: it ends by itself, whether or not messages come. */
  #saveProblem: string | undefined;

  /** Throws an Error with a sentence for a person when the journal or a path cannot be opened. */
  static async start(config: SendConfig, rim: Rim): Promise<SendAgent> {
    const paths = await openPaths(config.link, rim);
    const agent = new SendAgent(config, rim, paths);
    agent.#start();
    return agent;
  }

  private constructor(config: SendConfig, rim: Rim, paths: readonly Path[]) {
    this.#config = config;
    this.#rim = rim;
    this.#paths = paths;
    this.#startedMs = rim.clock();
    const { directory, durability, bytesMax } = config.journal;
    const { link } = config;
    const options = {
      linkId: link.id,
      linkKeys: link.keys.map((key) => key.reveal()),
      durability,
      journalBytesMax: bytesMax,
      journalAgeMsMax: config.journal.ageHoursMax * 3_600_000,
      datagramBytes: link.datagramBytes,
      repairPercent: link.repairPercent,
      repairSymbolsMin: link.repairSymbolsMin,
      compress: link.compression === "zstd",
      heartbeatMs: link.heartbeatMs,
      repeatAfterMs: link.repeatAfterSeconds * 1000,
      blockBytes: limitBlockBytes(link),
      messageBytesMax: config.limits.messageBytesMax,
      waitingBytesMax: config.journal.waitingBytesMax,
      qos0Overflow: config.journal.qos0Overflow,
      filters: config.filters,
      priorities: config.priorities,
      latestOnly: config.latestOnly,
    };
    const log = openBlockLog(directory, "journal.db", durability, {
      owner: link.id,
      adopt: adoptJournal,
      onRepair: (repair) => rim.log.error({ repair }, describeRepair("journal", repair)),
      clock: () => rim.clock(),
    });
    this.#core = new SendCore(options, log, paths, this.#now(), () => rim.random64(), {
      waiting: (full) => this.#scheduleFlush(full, link.lingerMs),
      lost: (source, reason, topic, payloadBytes) => this.#logLoss(source, reason, topic, payloadBytes),
      blocked: (why) => this.#noteBlocked(why),
      ready: () => this.#pump(),
      skipped: (reason, messages, range) => this.#logSkip(reason, messages, range),
    });
    this.#replays = openReplayDesk(directory, this.#core, rim.log);
    const { journal } = this.#core;
    for (const path of paths) path.begin(journal.epoch);
    const names = {
      journal: hex(journal.journalId),
      epoch: hex(journal.epoch),
      unsent: journal.unsentMessages,
    };
    const how = journal.unclean ? "journal opened after an unclean stop" : "journal opened";
    rim.log.info({ ...names, unclean: journal.unclean }, how);
    this.figures = () => this.#collectFigures();
  }

  #start(): void {
    const { link, sources, limits } = this.#config;
    for (const path of this.#paths) path.onWritten = () => this.#pump();
    this.#beat();
    this.#timers.push(setInterval(() => this.#beat(), link.heartbeatMs));
    this.#timers.push(setInterval(() => this.#save(), SAVE_MS));
    this.#timers.push(setInterval(() => this.#pump(), IDLE_PUMP_MS));
    this.#pump();
    const trust = { unclean: this.#core.journal.unclean, durability: this.#config.journal.durability };
    const accepts = () => this.#problem === undefined && !this.#stopping;
    this.#sources = sources.map((source) =>
      startSource(source, limits.messageBytesMax, this.#core, trust, this.#rim, accepts),
    );
  }

  /** Takes other link keys without a restart. */
  setKeys(linkKeys: readonly Uint8Array[]): void {
    this.#core.setKeys(linkKeys);
  }

  /** Takes other access rules of listening sources without a restart. */
  setAccess(sources: SendConfig["sources"]): void {
    for (const source of sources) {
      if (source.type !== "listen") continue;
      this.#sources.find(({ name }) => name === source.name)?.setAccess?.(source.access);
    }
  }

  /**
   * Takes no more in, sends what is held, says goodbye. True when all that was taken in has left within `graceMs`;
   * what has not stays in the journal for the next run.
   */
  async stop(graceMs: number): Promise<boolean> {
    if (this.#stopping) return true;
    this.#stopping = true;
    const deadline = this.#rim.steady() + graceMs;
    await this.#sayGoodbye();
    for (const source of this.#sources) source.pause();
    this.#linger?.cancel();
    while (!(this.#flush(true) && this.#core.idle) && this.#rim.steady() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const idle = this.#core.idle;
    await Promise.race([
      Promise.all(this.#sources.map((source) => source.close())),
      new Promise((resolve) => setTimeout(resolve, Math.max(500, deadline - this.#rim.steady()))),
    ]);
    for (const timer of this.#timers) clearInterval(timer);
    this.#beat();
    const farewellMs = this.#rim.steady() + FAREWELL_MS;
    const leaving = () =>
      this.#paths.some(({ queue }) => !queue.empty && !queue.isStalled(this.#rim.steady()));
    do await new Promise((resolve) => setTimeout(resolve, 20));
    while (leaving() && this.#rim.steady() < farewellMs);
    await Promise.all(this.#paths.map((path) => path.close()));
    this.#core.close();
    return idle;
  }

  /** Those who buffer while we are away are told first, so that they do. */
  async #sayGoodbye(): Promise<void> {
    await Promise.race([
      Promise.all(this.#sources.map((source) => source.sayGoodbye?.())),
      new Promise((resolve) => setTimeout(resolve, GOODBYE_MS)),
    ]);
  }

  #now(): Moment {
    return { wallMs: this.#rim.clock(), steadyMs: this.#rim.steady() };
  }

  /** What comes after a pause goes at once, with all that this turn brings; what follows keeps its distance. */
  #scheduleFlush(full: boolean, lingerMs: number): void {
    if (this.#stopping) return;
    // What is full need not linger; what the journal refuses is tried again by the timer alone.
    if (full && this.#problem === undefined) {
      this.#linger?.cancel();
      this.#endLinger();
      return;
    }
    if (this.#linger !== undefined) return;
    const leftMs = this.#flushedMs + lingerMs - this.#rim.steady();
    this.#linger = leftMs > 0 ? after(leftMs, () => this.#endLinger()) : afterTurn(() => this.#endLinger());
  }

  #endLinger(): void {
    this.#linger = undefined;
    if (!this.#flush()) this.#tryAgain();
  }

  /** What was settled in a flush that then failed may have brought more, and a timer with it. */
  #tryAgain(): void {
    this.#linger?.cancel();
    this.#linger = after(RETRY_JOURNAL_MS, () => this.#endLinger());
  }

  #flush(now = false): boolean {
    this.#flushedMs = this.#rim.steady();
    const kept = this.#core.flush(this.#rim.clock(), now);
    this.#pump();
    return kept;
  }

  #pump(): void {
    try {
      this.#core.fill(this.#now());
      if (this.#readFault !== undefined) this.#rim.log.info("the journal can be read again");
      this.#readFault = undefined;
    } catch (error) {
      // What the disk does not give back now is asked for again by the timer.
      const why = error instanceof Error ? error.message : String(error);
      if (this.#readFault !== why) this.#rim.log.error({ why }, `cannot read the journal: ${why}`);
      this.#readFault = why;
    }
    for (const path of this.#paths) path.pump();
  }

  #beat(): void {
    this.#core.beat(this.#now(), this.#sources, this.#stopping);
    for (const path of this.#paths) path.pump();
  }

  #save(): void {
    this.#replays.look();
    this.#logHeldBack();
    try {
      this.#core.save(this.#rim.clock());
      if (this.#saveProblem !== undefined) this.#rim.log.info("the journal keeps its counters again");
      this.#saveProblem = undefined;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (why !== this.#saveProblem)
        this.#rim.log.error({ why }, `cannot keep the journal's counters: ${why}`);
      this.#saveProblem = why;
    }
  }

  #noteBlocked(why: string | undefined): void {
    if (this.#problem === why) return;
    this.#problem = why;
    if (why === undefined) this.#rim.log.info("the journal takes messages again");
    else
      this.#rim.log.error({ why }, `cannot write the journal: ${why}; nothing is acknowledged until it can`);
  }

  #logLoss(source: string, reason: string, topic: string, payloadBytes: number): void {
    const group = `${source} ${reason}`;
    const alike = this.#limiter.allow(`${group} ${topic}`, this.#rim.steady(), group);
    if (alike === undefined) return;
    const figures = { source, reason, topic: topic.slice(0, 256), payloadBytes, alike };
    this.#rim.log.warn(figures, `message refused: ${reason}`);
  }

  /** Of topics that there are too many of to have a line each. */
  #logHeldBack(): void {
    for (const [group, held] of this.#limiter.heldBack(this.#rim.steady())) {
      const [source, reason] = group.split(" ");
      this.#rim.log.warn(
        { source, reason, alike: held },
        `messages refused: ${reason}: ${held} more, of other topics`,
      );
    }
  }

  #logSkip(reason: string, messages: number, { stream, first, end }: Range): void {
    // What a disk has spoilt is named one by one, up to a bound: each is a message that was acknowledged.
    if (reason === "corrupt" && this.#spoilt++ < SPOILT_LINES_MAX) {
      const range = { stream, first, last: end - 1, messages };
      this.#rim.log.error(
        range,
        "the journal's disk has spoilt messages that were not sent yet: they are lost",
      );
      return;
    }
    const alike = this.#limiter.allow(`skip ${reason}`, this.#rim.steady());
    if (alike !== undefined)
      this.#rim.log.warn({ reason, messages, alike }, `messages given up while they waited: ${reason}`);
  }

  #collectFigures(): SendFigures {
    const { journal, counters, ledger } = this.#core;
    return {
      linkId: this.#config.link.id,
      startedMs: this.#startedMs,
      stopping: this.#stopping,
      problem: this.#problem ?? this.#saveProblem ?? this.#readFault,
      journalId: hex(journal.journalId),
      epoch: hex(journal.epoch),
      journalBytes: journal.bytes,
      journalBytesMax: this.#config.journal.bytesMax,
      streams: journal.streams.map((stream) => ({
        stream,
        next: journal.next(stream),
        sent: journal.sent(stream),
      })),
      replaying: this.#core.replaying,
      counters,
      ledger,
      sources: this.#sources,
      paths: this.#paths.map(({ name, endpoint, problem, queue }) => {
        return { name, endpoint, problem, queuedBytes: queue.bytes, counters: queue.counters };
      }),
    };
  }
}

/** A block should not keep the fastest path busy for long, or the urgent ones behind it would wait. */
const BLOCK_MS = 50;

function limitBlockBytes(link: SendConfig["link"]): number {
  const fastest = Math.max(...link.paths.map((path) => path.rateMbitPerSecond));
  const bytes = Math.floor(((fastest * 1_000_000) / 8 / 1000) * BLOCK_MS);
  return Math.max(Math.min(link.blockBytes, bytes), link.datagramBytes - 100);
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}

function after(ms: number, work: () => void): { cancel(): void } {
  const timer = setTimeout(work, Math.ceil(ms));
  return { cancel: () => clearTimeout(timer) };
}

function afterTurn(work: () => void): { cancel(): void } {
  const immediate = setImmediate(work);
  return { cancel: () => clearImmediate(immediate) };
}
