// The recv agent at work: wires paths, receiver, spool and targets together, and takes them down in order.
//
//   UDP sockets (read, never written to) ─► receiver ─► intake ─► spool ─► one runner per target ─► broker
import { Counters } from "../../shared/counters.ts";
import type { Heartbeat } from "../../shared/framing/heartbeat.ts";
import { type Logger, LogLimiter } from "../../shared/log.ts";
import type { RecvConfig } from "./config.ts";
import { SpoolIntake } from "./intake.ts";
import { linkLedger } from "./ledger.ts";
import { CLOCK_WARNING_MS, LinkHealth } from "./link/health.ts";
import { Receiver } from "./link/receiver.ts";
import { openUdpReceiver, type UdpReceiver } from "./link/udp-path.ts";
import { Spool } from "./spool.ts";
import type { RecvFigures } from "./status.ts";
import { TargetDesk } from "./target-desk.ts";
import { startMqttTarget } from "./targets/mqtt.ts";

const TICK_MS = 20;
const SAVE_MS = 200;
const REFUSAL_LOG_MS = 10_000;
/** What a content may hold beyond the payload of its largest message: topic, properties, frame. */
const CONTENT_OVERHEAD_BYTES = 256 * 1024;

export type Rim = { readonly log: Logger; clock(): number; random(): number };

type BoundPath = { readonly name: string; readonly socket: UdpReceiver; readonly counters: Counters };

export class RecvAgent {
  readonly #config: RecvConfig;
  readonly #rim: Rim;
  readonly #startedMs: number;
  readonly #counters = new Counters();
  readonly #spool: Spool;
  readonly #receiver: Receiver;
  readonly #intake: SpoolIntake;
  readonly #health: LinkHealth;
  readonly #desk: TargetDesk;
  readonly #limiter = new LogLimiter(REFUSAL_LOG_MS);
  #paths: BoundPath[] = [];
  #timers: ReturnType<typeof setInterval>[] = [];
  #flushing = false;
  #stopping = false;
  #problem: string | undefined;
  #clockWarned = false;

  /** Throws an Error with a sentence for a person when the spool or a path cannot be opened. */
  static async start(config: RecvConfig, rim: Rim): Promise<RecvAgent> {
    const agent = new RecvAgent(config, rim);
    await agent.#openPaths();
    agent.#run();
    return agent;
  }

  private constructor(config: RecvConfig, rim: Rim) {
    this.#config = config;
    this.#rim = rim;
    this.#startedMs = rim.clock();
    const { directory, durability, bytesMax } = config.spool;
    this.#spool = Spool.open(directory, durability, bytesMax);
    for (const [name, value] of this.#spool.loadCounters("counter.")) this.#counters.set(name, value);
    this.#health = new LinkHealth(config.link);
    const { id: linkId, patienceMs, assemblyBytesMax, holdBytesMax } = config.link;
    const contentBytesMax = config.limits.messageBytesMax + CONTENT_OVERHEAD_BYTES;
    const linkKeys = [config.link.key.reveal()];
    const options = { linkId, linkKeys, patienceMs, assemblyBytesMax, holdBytesMax, contentBytesMax };
    this.#receiver = new Receiver(options, this.#spool.loadLinkState(), {
      deliver: (stream, delivery) => {
        this.#intake.deliver(stream, delivery);
        this.#scheduleFlush();
      },
      gap: (stream, gap, reason) => {
        this.#intake.gap(gap, reason);
        this.#noteGap(stream, gap.first, gap.count, reason);
        this.#scheduleFlush();
      },
      heartbeat: (heartbeat) => this.#noteHeartbeat(heartbeat),
      journalChanged: (journalId, retired) => this.#noteJournal(journalId, retired),
      epochChanged: (epoch) => {
        this.#counters.add("link/sender_restarts");
        rim.log.info({ epoch: epoch.toString(16) }, "the send agent was started again");
      },
      restored: (symbols) => this.#counters.add("link/restored_symbols", symbols),
      refused: (reason, path, count) => this.#noteRefused(reason, path, count),
    });
    this.#intake = new SpoolIntake(this.#spool, this.#counters, () => this.#receiver.state);
    const targets = config.profiles.map((profile) => startMqttTarget(profile, rim));
    const accepted = () => this.#counters.get("link/accepted");
    this.#desk = new TargetDesk(this.#spool, targets, accepted, () => rim.clock());
  }

  async #openPaths(): Promise<void> {
    const { log } = this.#rim;
    for (const [index, path] of this.#config.link.paths.entries()) {
      const counters = new Counters();
      const socket = await openUdpReceiver(
        path.address,
        path.receiveBufferBytes,
        (datagram) => {
          counters.add("datagrams");
          counters.add("bytes", datagram.length);
          this.#receiver.receive(datagram, index, this.#rim.clock());
        },
        (error) =>
          log.error(
            { path: path.name, error: error.message },
            `path ${path.name} cannot read: ${error.message}`,
          ),
      );
      this.#paths.push({ name: path.name, socket, counters });
      const figures = {
        path: path.name,
        address: socket.address,
        receiveBufferBytes: socket.receiveBufferBytes,
      };
      log.info(figures, "path bound, read-only");
      // The kernel reports twice what it grants: half is for its own bookkeeping [socket(7), SO_RCVBUF].
      if (socket.receiveBufferBytes < path.receiveBufferBytes * 2) {
        const wanted = path.receiveBufferBytes;
        log.warn(
          { ...figures, wanted },
          `the kernel granted a smaller receive buffer than asked for, bursts may be lost: sysctl -w net.core.rmem_max=${wanted}`,
        );
      }
    }
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
    const deadline = this.#rim.clock() + graceMs;
    await Promise.all(this.#paths.map((path) => path.socket.close()));
    this.#flush();
    const reachable = () => this.#desk.targets.some((target) => target.state === "connected");
    while (!this.#desk.idle && reachable() && this.#rim.clock() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const idle = this.#desk.idle;
    for (const timer of this.#timers) clearInterval(timer);
    const left = Math.max(200, deadline - this.#rim.clock());
    await Promise.all(this.#desk.targets.map((target) => target.close(left)));
    this.#save();
    this.#spool.close();
    return idle;
  }

  figures(): RecvFigures {
    const last = this.#health.last;
    const expected = this.#receiver.state.expected;
    let awaited = 0;
    for (const stream of last?.heartbeat.streams ?? []) {
      awaited += Math.max(0, stream.sent - (expected.get(stream.stream) ?? 0));
    }
    const { journalId, epoch } = this.#receiver.state;
    return {
      linkId: this.#config.link.id,
      startedMs: this.#startedMs,
      stopping: this.#stopping,
      problem: this.#problem,
      journalId: journalId?.toString(16).padStart(16, "0"),
      epoch: epoch.toString(16).padStart(16, "0"),
      health: this.#health,
      streams: [...expected].map(([stream, next]) => ({ stream, next })),
      waitingBytes: this.#receiver.waitingBytes,
      spoolBytes: this.#spool.bytes,
      spoolBytesMax: this.#config.spool.bytesMax,
      counters: this.#counters,
      ledger: linkLedger(this.#counters, awaited),
      paths: this.#paths.map(({ name, socket, counters }) => {
        const { address, receiveBufferBytes } = socket;
        return { name, address, receiveBufferBytes, counters };
      }),
      targets: this.#desk.targets.map((target) => ({ target, ledger: this.#desk.ledger(target.name) })),
    };
  }

  #tick(): void {
    const nowMs = this.#rim.clock();
    this.#receiver.tick(nowMs);
    const change = this.#health.tick(nowMs);
    if (change === undefined) return;
    const write = change.state === "up" ? this.#rim.log.info : this.#rim.log.warn;
    write.call(this.#rim.log, { link: change.state, why: change.why }, `link ${change.state}: ${change.why}`);
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
      this.#intake.flush(this.#rim.clock(), this.#health.clockDifferenceMs ?? 0);
      this.#desk.wake();
    });
  }

  #save(): void {
    this.#guard(() => {
      this.#intake.flush(this.#rim.clock(), this.#health.clockDifferenceMs ?? 0);
      this.#desk.save();
      for (const [target, messages] of this.#desk.bound()) {
        this.#rim.log.error(
          { target, messages },
          `target ${target} was too far behind: the spool is full, its oldest messages are lost`,
        );
      }
    });
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

  #noteHeartbeat(heartbeat: Heartbeat): void {
    this.#health.noteHeartbeat(heartbeat, this.#rim.clock());
    const difference = this.#health.clockDifferenceMs ?? 0;
    const apart = Math.abs(difference) > CLOCK_WARNING_MS;
    if (apart && !this.#clockWarned) {
      this.#rim.log.warn(
        { clockDifferenceMs: difference },
        "the clocks of the two hosts differ; message expiry allows for it",
      );
    }
    this.#clockWarned = apart;
  }

  #noteGap(stream: number, first: number, count: number, reason: string): void {
    const range = { stream, first, last: first + count - 1, count, reason };
    if (reason === "before-start") {
      this.#rim.log.warn(range, "messages were sent before this agent first listened: they are not here");
      return;
    }
    this.#health.noteLoss(this.#rim.clock());
    this.#rim.log.error(range, "gap: messages were lost on the link");
  }

  #noteJournal(journalId: bigint, retired: bigint | undefined): void {
    const names = { journal: journalId.toString(16), retired: retired?.toString(16) };
    if (retired === undefined) this.#rim.log.info(names, "first contact with the send agent");
    else this.#rim.log.warn(names, "the send agent has a new journal: the old one is retired for good");
  }

  #noteRefused(reason: string, path: number, count: number): void {
    if (reason === "surplus") {
      this.#counters.add("link/surplus", count);
      return;
    }
    this.#counters.add(`link/refused/${reason}`, count);
    this.#paths[path]?.counters.add(`refused/${reason}`, count);
    const hint = REFUSAL_HINTS[reason];
    if (hint === undefined) return;
    const alike = this.#limiter.allow(reason, this.#rim.clock());
    if (alike === undefined) return;
    this.#rim.log.warn({ reason, path: this.#paths[path]?.name, alike }, `datagram refused: ${hint}`);
  }
}

/** Refusals that an operator should hear of; the others are the daily life of a link and are only counted. */
const REFUSAL_HINTS: Record<string, string> = {
  version: "it has another wire format version: upgrade the older of the two agents",
  link: "it is for another link.id: compare link.id in both files",
  key: "it is sealed with a key that is not ours: compare the key id that `check` prints on both sides",
  tag: "its authentication tag does not match: corrupted on the way, or forged",
  "journal-retired": "it comes from a journal that another has replaced: do two send agents use this link?",
};
