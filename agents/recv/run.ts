// The recv agent at work: wires paths, receiver, spool and targets together, and takes them down in order.
//
//   paths (read, never written to) ─► receiver ─► intake ─► spool ─► one runner per target ─► broker
import { randomBytes } from "node:crypto";
import type { Heartbeat } from "../../shared/framing/heartbeat.ts";
import { type Logger, LogLimiter } from "../../shared/log.ts";
import type { Moment } from "../../shared/moment.ts";
import { openBlockLog } from "../../shared/store/open.ts";
import { describeRepair } from "../../shared/store/repair-text.ts";
import type { RecvConfig } from "./config.ts";
import { RecvCore } from "./core.ts";
import { DeadLetterDesk } from "./dead-letter-desk.ts";
import { openRequeueDesk } from "./dead-letter-requests.ts";
import { DEAD_LETTERS_FILE, DeadLetters } from "./dead-letters.ts";
import { CLOCK_WARNING_MS } from "./link/health.ts";
import { RecvPaths } from "./link/paths.ts";
import { Spool } from "./spool.ts";
import { adoptSpool, LETTERS_MARK } from "./spool-salvage.ts";
import { makeStatus, type RecvFigures } from "./status.ts";
import { makeStatusDocument } from "./status-document.ts";
import { TargetDesk } from "./target-desk.ts";
import { startTarget } from "./targets/start.ts";

const TICK_MS = 20;
const SAVE_MS = 200;
const REFUSAL_LOG_MS = 10_000;
/** What a content may hold beyond the payload of its largest message: topic, properties, frame. */
const CONTENT_OVERHEAD_BYTES = 256 * 1024;

export type Rim = {
  readonly log: Logger;
  /** Milliseconds since 1970, without the steps of the wall clock. */
  clock(): number;
  /** The wall clock, for what has to agree with the rest of the world. */
  wall(): number;
  /** A clock that only runs forward. */
  steady(): number;
  random(): number;
};

export class RecvAgent {
  readonly #config: RecvConfig;
  readonly #rim: Rim;
  readonly #startedMs: number;
  readonly #core: RecvCore;
  readonly #spool: Spool;
  readonly #desk: TargetDesk;
  readonly #deadLetters: DeadLetterDesk;
  readonly #requeue: ReturnType<typeof openRequeueDesk>;
  readonly #limiter = new LogLimiter(REFUSAL_LOG_MS);
  readonly #paths: RecvPaths;
  #timers: ReturnType<typeof setInterval>[] = [];
  #flushing = false;
  #stopping = false;
  #problem: string | undefined;
  #letterProblem: string | undefined;
  #clockWarned = false;
  /** Of the two ledgers, as last told. */
  #difference = 0;

  /** Throws an Error with a sentence for a person when the spool or a path cannot be opened. */
  static async start(config: RecvConfig, rim: Rim): Promise<RecvAgent> {
    const agent = new RecvAgent(config, rim);
    await agent.#paths.open();
    agent.#run();
    return agent;
  }

  private constructor(config: RecvConfig, rim: Rim) {
    this.#config = config;
    this.#rim = rim;
    this.#startedMs = rim.clock();
    const { directory, durability, bytesMax } = config.spool;
    const { link } = config;
    const spoolLog = openBlockLog(directory, "spool.db", durability, {
      owner: link.id,
      adopt: adoptSpool,
      onRepair: (repair) => rim.log.error({ repair }, describeRepair("spool", repair)),
      clock: () => rim.clock(),
    });
    this.#spool = new Spool(spoolLog, bytesMax, ({ stream, first, count, skip }) => {
      const range = { stream, first: first + skip, last: first + count - 1, messages: count - skip };
      rim.log.error(range, "the spool's disk has spoilt messages: they are lost for targets that lack them");
    });
    const options = {
      ...link,
      linkId: link.id,
      linkKeys: link.keys.map((key) => key.reveal()),
      contentBytesMax: config.limits.messageBytesMax + CONTENT_OVERHEAD_BYTES,
    };
    this.#core = new RecvCore(options, this.#spool, {
      dirty: (much) => (much && this.#problem === undefined ? this.#flush() : this.#scheduleFlush()),
      gap: (stream, { first, count }, reason) => this.#noteGap(stream, first, count, reason),
      recovered: (stream, first, end) => this.#noteRecovered(stream, first, end),
      heartbeat: (heartbeat, block) => this.#noteHeartbeat(heartbeat, block),
      journalChanged: (journalId, retired) => this.#noteJournal(journalId, retired),
      epochChanged: (epoch) => rim.log.info({ epoch: showId(epoch) }, "the send agent was started again"),
      refused: (reason, path, count) => this.#noteRefused(reason, path, count),
    });
    this.#paths = new RecvPaths(link, rim, {
      receive: (datagram, path) => this.#core.receive(datagram, path, this.#now()),
      mark: () => this.#core.arrivals,
      keep: (mark) => {
        this.#flush();
        if (this.#problem !== undefined) return "refused";
        return this.#core.isSettled(mark) ? "kept" : "waiting";
      },
    });
    const targetRim = {
      ...rim,
      clock: () => rim.wall(),
      directory: config.spool.directory,
      durability: config.spool.durability,
      clockDifferenceMs: () => this.#core.health.clockDifferenceMs,
      senderNowMs: () => {
        const difference = this.#core.health.clockDifferenceMs;
        return difference === undefined ? undefined : rim.clock() - difference;
      },
      newestContentId: () => this.#spool.lastId,
      lostBefore: (target: string) => this.#countLost(target),
      linkState: () => this.#core.health.state,
      describe: (target: string) => makeStatusDocument(makeStatus(this.figures(), rim.clock()), target),
    };
    const targets = config.profiles.map((profile) => startTarget(profile, targetRim));
    const accepted = () => this.#core.kept;
    const runnerRim = { clock: () => rim.clock(), later: (work: () => void) => setImmediate(work) };
    this.#deadLetters = this.#openDeadLetters();
    this.#requeue = openRequeueDesk(config.deadLetters.directory, this.#deadLetters, rim.log);
    this.#desk = new TargetDesk(this.#spool, targets, accepted, runnerRim, this.#deadLetters);
  }

  /** Late values replace older ones without a gap; all else may hide anything. */
  #countLost(target: string): number {
    const { counters } = this.#core;
    // What was recovered came late, and was missed before.
    const onLink = counters.total("link/lost") + counters.get("link/recovered");
    const skipped = counters.total("link/skipped") - counters.get("link/skipped/conflated");
    // The desk is not there yet while its targets are started.
    return onLink + skipped + (this.#desk === undefined ? 0 : this.#desk.lost(target));
  }

  #openDeadLetters(): DeadLetterDesk {
    const { directory, bytesMax } = this.#config.deadLetters;
    const { log: out } = this.#rim;
    const log = openBlockLog(directory, DEAD_LETTERS_FILE, this.#config.spool.durability, {
      owner: this.#config.link.id,
      onRepair: (repair) => out.error({ repair }, describeRepair("dead letters", repair)),
      clock: () => this.#rim.clock(),
    });
    const fresh = randomBytes(8).toString("hex");
    const mark = this.#spool.value(LETTERS_MARK);
    return new DeadLetterDesk(new DeadLetters(log, bytesMax), mark, fresh, () => this.#rim.clock());
  }

  #run(): void {
    this.#timers.push(setInterval(() => this.#tick(), TICK_MS));
    this.#timers.push(setInterval(() => this.#save(), SAVE_MS));
    this.#desk.wake();
  }

  /** Takes no more in, delivers what is held, disconnects. True when nothing was left within `graceMs`. */
  async stop(graceMs: number): Promise<boolean> {
    if (this.#stopping) return true;
    this.#stopping = true;
    const deadline = this.#rim.steady() + graceMs;
    await this.#paths.close();
    this.#flush();
    // A target that is down is not waited for: what it has not got stays in the spool.
    while (!this.#desk.connectedIdle && this.#rim.steady() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const idle = this.#desk.idle;
    for (const timer of this.#timers) clearInterval(timer);
    const left = Math.max(200, deadline - this.#rim.steady());
    await Promise.all(this.#desk.targets.map((target) => target.close(left)));
    this.#save();
    const { unkept } = this.#deadLetters;
    if (unkept > 0)
      this.#rim.log.error({ letters: unkept }, "the disk did not take the last dead letters: they are gone");
    this.#deadLetters.close();
    this.#core.close();
    return idle;
  }

  /** Takes other link keys without a restart. */
  setKeys(linkKeys: readonly Uint8Array[]): void {
    this.#core.setKeys(linkKeys);
  }

  figures(): RecvFigures {
    const { health, counters, ledger, state, waitingBytes } = this.#core;
    const { journalId, epoch, expected, gaps } = state;
    return {
      linkId: this.#config.link.id,
      startedMs: this.#startedMs,
      stopping: this.#stopping,
      problem: this.#problem,
      journalId: journalId === undefined ? undefined : showId(journalId),
      epoch: showId(epoch),
      health,
      heartbeatAgeMs: health.silentMs(this.#rim.steady()),
      gaps: { count: gaps.count, sequences: gaps.sequences, closed: gaps.closed },
      streams: [...expected].map(([stream, next]) => ({ stream, next })),
      waitingBytes,
      spoolBytes: this.#spool.bytes,
      spoolBytesMax: this.#config.spool.bytesMax,
      deadLetters: {
        count: this.#deadLetters.count,
        dropped: this.#deadLetters.dropped,
        problem: this.#deadLetters.problem,
        bytes: this.#deadLetters.bytes,
        bytesMax: this.#config.deadLetters.bytesMax,
      },
      counters,
      ledger,
      paths: this.#paths.figures(),
      targets: this.#desk.targets.map((target) => ({ target, ledger: this.#desk.ledger(target.name) })),
    };
  }

  #tick(): void {
    const now = this.#now();
    this.#core.tick(now);
    this.#desk.tick(now.steadyMs);
    this.#paths.tick();
    const change = this.#core.health.tick(now.steadyMs);
    if (change === undefined) return;
    const write = change.state === "up" ? this.#rim.log.info : this.#rim.log.warn;
    write.call(this.#rim.log, { link: change.state, why: change.why }, `link ${change.state}: ${change.why}`);
  }

  #now(): Moment {
    return { wallMs: this.#rim.clock(), steadyMs: this.#rim.steady() };
  }

  /** All that arrives in one turn of the event loop is kept in one transaction. */
  #scheduleFlush(): void {
    if (this.#flushing || this.#stopping) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    this.#guard(() => {
      this.#core.flush(this.#rim.clock());
      this.#desk.wake();
    });
  }

  #save(): void {
    const { ageHoursMax } = this.#config.spool;
    if (!this.#stopping) this.#requeue.look();
    this.#guard(() => {
      // What is released first makes room for what waits.
      this.#desk.save();
      this.#noteDropped(this.#desk.bound(), "the spool is full");
      if (ageHoursMax > 0)
        this.#noteDropped(this.#desk.expire(this.#rim.clock() - ageHoursMax * 3_600_000), "they are too old");
      this.#core.flush(this.#rim.clock());
      // What the disk had refused before may only now be there for the targets.
      this.#desk.wake();
      this.#spool.rest();
    });
    this.#noteLetterProblem();
    // A disk that takes again, or gives back again what it did not, is noticed here alone when nothing else comes.
    this.#desk.wake();
  }

  #noteLetterProblem(): void {
    const { problem } = this.#deadLetters;
    if (problem === this.#letterProblem) return;
    this.#letterProblem = problem;
    if (problem === undefined) this.#rim.log.info("the disk takes dead letters again");
    else this.#rim.log.error({ why: problem }, `cannot write the dead letters: ${problem}`);
  }

  #noteDropped(losses: ReadonlyMap<string, number>, why: string): void {
    for (const [target, messages] of losses) {
      this.#rim.log.error(
        { target, messages },
        `target ${target} was too far behind: ${why}, messages are lost for it`,
      );
    }
  }

  /** Runs what writes to the disk; a disk that refuses is a state that is shown, not the end of the agent. */
  #guard(work: () => void): void {
    try {
      work();
      if (this.#problem !== undefined) this.#rim.log.info("the spool takes messages again");
      this.#problem = undefined;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (this.#problem !== why) this.#rim.log.error({ why }, `cannot write the spool: ${why}`);
      this.#problem = why;
    }
  }

  #noteHeartbeat(heartbeat: Heartbeat, block: number): void {
    this.#paths.heartbeat(this.#core.state.epoch, block, heartbeat);
    this.#noteDifference(this.#core.ledger.comparison?.difference ?? 0);
    const difference = this.#core.health.clockDifferenceMs ?? 0;
    const apart = Math.abs(difference) > CLOCK_WARNING_MS;
    if (apart && !this.#clockWarned) {
      this.#rim.log.warn(
        { clockDifferenceMs: difference },
        "the clocks of the two hosts differ; message expiry allows for it",
      );
    }
    this.#clockWarned = apart;
  }

  #noteDifference(messages: number): void {
    if (messages === this.#difference) return;
    this.#difference = messages;
    if (messages === 0) this.#rim.log.info("the sender's ledger and this one agree again");
    else
      this.#rim.log.error(
        { messages },
        "the sender's ledger and this one differ, and nothing explains it: docs/operating.md",
      );
  }

  #noteGap(stream: number, first: number, count: number, reason: string): void {
    const range = { stream, first, last: first + count - 1, count, reason };
    if (reason === "before-start") {
      this.#rim.log.warn(range, "messages were sent before this agent first listened: they are not here");
      return;
    }
    this.#rim.log.error(range, "gap: messages were lost on the link");
  }

  #noteRecovered(stream: number, first: number, end: number): void {
    const alike = this.#limiter.allow("recovered", this.#rim.steady());
    if (alike !== undefined)
      this.#rim.log.info({ stream, first, last: end - 1, alike }, "what a gap lacked has come");
  }

  #noteJournal(journalId: bigint, retired: bigint | undefined): void {
    const names = {
      journal: showId(journalId),
      retired: retired === undefined ? undefined : showId(retired),
    };
    if (retired === undefined) this.#rim.log.info(names, "first contact with the send agent");
    else this.#rim.log.warn(names, "the send agent has a new journal: the old one is retired for good");
  }

  #noteRefused(reason: string, path: number, count: number): void {
    const name = this.#paths.noteRefused(path, reason, count);
    const hint = REFUSAL_HINTS[reason];
    if (hint === undefined) return;
    const alike = this.#limiter.allow(reason, this.#rim.steady());
    if (alike === undefined) return;
    this.#rim.log.warn({ reason, path: name, alike }, `datagram refused: ${hint}`);
  }
}

/** As the send agent writes it, so that the two can be compared at sight. */
function showId(id: bigint): string {
  return id.toString(16).padStart(16, "0");
}

/** Refusals that an operator should hear of; the others are the daily life of a link and are only counted. */
const REFUSAL_HINTS: Record<string, string> = {
  version: "it has another wire format version: upgrade the older of the two agents",
  link: "it is for another link.id: compare link.id in both files",
  key: "it is sealed with a key that is not ours: compare the key id that `check` prints on both sides",
  tag: "its authentication tag does not match: corrupted on the way, or forged",
  "journal-retired": "it comes from a journal that another has replaced: do two send agents use this link?",
};
