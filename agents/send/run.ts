// The send agent at work: wires sources, intake, journal and link together, and takes them down in order.
//
//   sources ─► intake ─► journal ─► link sender ─► path queues ─► UDP sockets (written to, never read)
//                 └─ settles, so that the source may acknowledge

import { Counters } from "../../shared/counters.ts";
import { BlockEncoder } from "../../shared/framing/encoder.ts";
import { encodeHeartbeat } from "../../shared/framing/heartbeat.ts";
import { type Logger, LogLimiter } from "../../shared/log.ts";
import type { SendConfig } from "./config.ts";
import { makeHeartbeat } from "./heartbeat.ts";
import type { Source } from "./ingress/source.ts";
import { startSubscribe } from "./ingress/subscribe.ts";
import { Intake } from "./intake.ts";
import { Journal } from "./journal.ts";
import { sendLedger } from "./ledger.ts";
import { openPaths, type Path } from "./link/paths.ts";
import { LinkSender } from "./link/sender.ts";
import type { SendFigures } from "./status.ts";

/** Changed cursors and counters that no new message has carried into the journal are kept this often. */
const SAVE_MS = 1000;
const RETRY_JOURNAL_MS = 250;
const REFUSAL_LOG_MS = 10_000;

export type Rim = {
  readonly log: Logger;
  clock(): number;
  random64(): bigint;
  random(): number;
};

export class SendAgent {
  readonly figures: () => SendFigures;
  readonly #config: SendConfig;
  readonly #rim: Rim;
  readonly #counters = new Counters();
  readonly #journal: Journal;
  readonly #intake: Intake;
  readonly #encoder: BlockEncoder;
  readonly #limiter = new LogLimiter(REFUSAL_LOG_MS);
  readonly #startedMs: number;
  #paths: Path[] = [];
  #sender: LinkSender | undefined;
  #sources: Source[] = [];
  #timers: ReturnType<typeof setInterval>[] = [];
  #linger: ReturnType<typeof setTimeout> | undefined;
  #stopping = false;
  #problem: string | undefined;

  /** Throws an Error with a sentence for a person when the journal or a path cannot be opened. */
  static async start(config: SendConfig, rim: Rim): Promise<SendAgent> {
    const agent = new SendAgent(config, rim);
    await agent.#start();
    return agent;
  }

  private constructor(config: SendConfig, rim: Rim) {
    this.#config = config;
    this.#rim = rim;
    this.#startedMs = rim.clock();
    const { directory, durability, bytesMax } = config.journal;
    const random64 = () => rim.random64();
    this.#journal = Journal.open({ directory, durability, bytesMax, nowMs: this.#startedMs, random64 });
    for (const [name, value] of this.#journal.counters()) this.#counters.set(name, value);
    const { journalId, epoch, unclean } = this.#journal;
    this.#encoder = new BlockEncoder({
      linkId: config.link.id,
      linkKey: config.link.key.reveal(),
      journalId,
      epoch,
      datagramBytes: config.link.datagramBytes,
      repairPercent: 10,
      repairSymbolsMin: 1,
    });
    const options = {
      blockBytes: config.link.blockBytes,
      messageBytesMax: config.limits.messageBytesMax,
      filters: config.filters,
    };
    this.#intake = new Intake(options, this.#journal, this.#counters, {
      kept: (rows) => {
        this.#sender?.add(rows);
        this.#pump();
      },
      waiting: () => this.#scheduleFlush(config.link.lingerMs),
      lost: (source, reason, topic, payloadBytes) => this.#logLoss(source, reason, topic, payloadBytes),
      blocked: (why) => this.#noteBlocked(why),
    });
    const names = { journal: hex(journalId), epoch: hex(epoch), unsent: this.#journal.unsentMessages };
    rim.log.info({ ...names, unclean }, unclean ? "journal opened after an unclean stop" : "journal opened");
    this.figures = () => this.#collectFigures();
  }

  async #start(): Promise<void> {
    const { config, log } = { config: this.#config, log: this.#rim.log };
    this.#paths = await openPaths(config.link, log);
    const queues = this.#paths.map((path) => path.queue);
    this.#sender = new LinkSender(this.#journal, this.#encoder, queues, (messages) => {
      this.#counters.add("link/lost/corrupt", messages);
      log.error({ messages }, "the journal gave messages back altered: they are skipped");
    });
    for (const path of this.#paths) path.onWritten = () => this.#pump();
    this.#beat();
    this.#timers.push(setInterval(() => this.#beat(), config.link.heartbeatMs));
    this.#timers.push(setInterval(() => this.#save(), SAVE_MS));
    this.#pump();
    this.#sources = config.sources.map((source) =>
      startSubscribe(source, config.limits.messageBytesMax, this.#intake, this.#rim),
    );
  }

  /**
   * Takes no more in, sends what is held, says goodbye. True when all that was taken in has left within `graceMs`;
   * what has not stays in the journal for the next run.
   */
  async stop(graceMs: number): Promise<boolean> {
    if (this.#stopping) return true;
    this.#stopping = true;
    const deadline = this.#rim.clock() + graceMs;
    for (const source of this.#sources) source.pause();
    clearTimeout(this.#linger);
    let flushed = this.#intake.flush();
    while (!(flushed && this.#sender?.idle) && this.#rim.clock() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      flushed ||= this.#intake.flush();
      this.#pump();
    }
    const idle = flushed && this.#sender?.idle === true;
    await Promise.race([
      Promise.all(this.#sources.map((source) => source.close())),
      new Promise((resolve) => setTimeout(resolve, Math.max(500, deadline - this.#rim.clock()))),
    ]);
    for (const timer of this.#timers) clearInterval(timer);
    this.#beat();
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const path of this.#paths) path.close();
    this.#journal.close(this.#counters.entries());
    return idle;
  }

  #scheduleFlush(delayMs: number): void {
    if (this.#linger !== undefined || this.#stopping) return;
    this.#linger = setTimeout(() => {
      this.#linger = undefined;
      if (!this.#intake.flush()) this.#scheduleFlush(RETRY_JOURNAL_MS);
    }, delayMs);
  }

  #pump(): void {
    this.#sender?.fill();
    for (const path of this.#paths) path.pump();
  }

  #beat(): void {
    if (this.#sender === undefined) return;
    const { counters, ledger, sources, paths } = this.figures();
    const heartbeat = makeHeartbeat({
      nowMs: this.#rim.clock(),
      startedMs: this.#startedMs,
      intervalMs: this.#config.link.heartbeatMs,
      stopping: this.#stopping,
      journal: this.#journal,
      sender: this.#sender,
      ledger,
      sources,
      paths,
      counters,
    });
    const datagrams = this.#encoder.encodeHeartbeat(encodeHeartbeat(heartbeat));
    for (const path of this.#paths) {
      path.queue.addHeartbeat(datagrams);
      path.pump();
    }
  }

  #save(): void {
    try {
      this.#journal.save(this.#counters.entries());
    } catch (error) {
      this.#noteBlocked(error instanceof Error ? error.message : String(error));
    }
  }

  #noteBlocked(why: string | undefined): void {
    this.#problem = why;
    if (why === undefined) this.#rim.log.info("the journal takes messages again");
    else
      this.#rim.log.error({ why }, `cannot write the journal: ${why}; nothing is acknowledged until it can`);
  }

  #logLoss(source: string, reason: string, topic: string, payloadBytes: number): void {
    const held = this.#limiter.allow(`${source} ${reason}`, this.#rim.clock());
    if (held === undefined) return;
    const counts = { source, reason, topic: topic.slice(0, 256), payloadBytes, alike: held };
    this.#rim.log.warn(counts, `message refused: ${reason}`);
  }

  #collectFigures(): SendFigures {
    const unsent = this.#journal.unsentMessages + this.#intake.waitingMessages;
    return {
      linkId: this.#config.link.id,
      startedMs: this.#startedMs,
      stopping: this.#stopping,
      problem: this.#problem,
      journalId: hex(this.#journal.journalId),
      epoch: hex(this.#journal.epoch),
      journalBytes: this.#journal.bytes,
      journalBytesMax: this.#config.journal.bytesMax,
      streams: this.#journal.streams.map((stream) => {
        const next = this.#journal.next(stream);
        return { stream, next, sent: Math.min(next, this.#sender?.sentSequence(stream) ?? 0) };
      }),
      counters: this.#counters,
      ledger: sendLedger(this.#counters, unsent),
      sources: this.#sources,
      paths: this.#paths.map(({ name, endpoint, problem, queue }) => {
        return { name, endpoint, problem, queuedBytes: queue.bytes, counters: queue.counters };
      }),
    };
  }
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}
