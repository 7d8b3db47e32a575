// The plant side: the send agent's core, with its rim (timers, pumps, stopping) as agents/send/run.ts has it, and the
// publishers. Publishers of QoS 1 and 2 wait while too much is unacknowledged.
import { SendCore } from "../../agents/send/core.ts";
import { Pacer } from "../../agents/send/link/pacer.ts";
import { PathQueue } from "../../agents/send/link/path-queue.ts";
import { decodeGapCode, tagJournal } from "../../shared/gap/code.ts";
import { Host } from "./host.ts";
import { Publisher } from "./publisher.ts";
import type { Timer } from "./schedule.ts";
import { CLASS_TOPICS, FILTER, keysOf, LATEST_TOPICS, LINK_ID, type World } from "./world.ts";

const OVERHEAD_BYTES = 66;
const UNACKNOWLEDGED_MAX = 100;

export type SimPath = {
  readonly name: string;
  readonly bestEffort: boolean;
  readonly queue: PathQueue;
  timer: Timer | undefined;
};

export class SendHost extends Host {
  core: SendCore | undefined;
  paths: SimPath[] = [];
  readonly #publisher: Publisher;
  #linger: Timer | undefined;
  #flushedMs = 0;
  #blocked = false;
  #unacknowledged = 0;
  /** Messages of QoS 1 and 2 that were acknowledged because they were filtered or lost by name. */
  #booked = 0;

  constructor(world: World) {
    super("send", world, world.plan.send.durability);
    this.#publisher = new Publisher(world, this.random.fork());
    this.disk.later = (work) => void this.after(this.random.magnitude(0.1, 300), work);
    this.disk.onCommit = (rows) => {
      const journal = BigInt(`0x${this.disk.state.values.get("journal_id") ?? "0"}`);
      world.model.journaled(journal, rows, this.disk.version);
    };
  }

  protected override boot(): void {
    const { plan } = this.world;
    const { send } = plan;
    this.paths = plan.paths.map((_, index) => this.#makePath(index));
    this.#blocked = false;
    this.#linger = undefined;
    this.#flushedMs = Number.NEGATIVE_INFINITY;
    this.#unacknowledged = 0;
    const priorities = CLASS_TOPICS.slice(1, 1 + send.classes).map((topic, index) => ({
      stream: index + 1,
      topics: [topic],
    }));
    this.core = new SendCore(
      {
        ...send,
        linkId: LINK_ID,
        linkKeys: keysOf(plan.sealed, this.keyStage),
        filters: send.filter ? [FILTER] : [],
        priorities,
        latestOnly: send.latestOnly ? LATEST_TOPICS : [],
      },
      this.disk.open(),
      this.paths,
      this.now,
      () => this.random.bits64(),
      {
        waiting: (full) => this.#scheduleFlush(full, send.lingerMs),
        lost: () => {},
        ready: () => this.#pump(),
        blocked: (why) => {
          this.#blocked = why !== undefined;
          this.world.trace.note(() => `send: journal ${why ?? "takes again"}`);
        },
        skipped: (reason, count) => this.world.trace.note(() => `send: gave up ${count} (${reason})`),
      },
    );
    const { filtered, lost } = this.core.ledger;
    const booked = (filtered[FILTER.name] ?? 0) + (lost.oversize ?? 0);
    if (booked < this.#booked)
      this.world.model.violate(`send: ${this.#booked} were filtered or oversize, ${booked} are booked`);
    this.#beat();
    this.every(send.heartbeatMs, () => this.#beat());
    this.every(1000, () => this.#save());
    this.every(50, () => this.#pump());
    this.#pump();
  }

  protected override shutDown(): void {
    this.#flush(true);
    this.core?.beat(this.now, [], true);
    for (const path of this.paths) this.#pumpPath(path);
    this.core?.close();
  }

  protected override forget(version: number, isDamaged: boolean): void {
    this.core = undefined;
    this.world.model.waiting.clear();
    if (isDamaged) this.#booked = 0;
    this.world.model.sendDiskLost(version);
  }

  publish(): void {
    const core = this.core;
    if (!this.isUp || core === undefined || this.#unacknowledged >= UNACKNOWLEDGED_MAX) return;
    const published = this.#publisher.make(this.wallMs);
    const { qos } = published.message;
    if (qos > 0) this.#unacknowledged++;
    this.world.model.publish(published);
    this.guard(() =>
      core.accept("plant", published.message, () => {
        if (qos > 0) this.#unacknowledged--;
        if (!this.isUp) return;
        if (qos > 0 && published.fate !== "kept") this.#booked++;
        const { durableVersion, version } = this.disk;
        this.world.model.acknowledge(
          published,
          this.world.plan.send.durability === "os" ? version : durableVersion,
        );
      }),
    );
  }

  rotateKey(stage: number): void {
    this.keyStage = stage;
    this.core?.setKeys(keysOf(this.world.plan.sealed, stage));
  }

  /** What the operator types. */
  replay(code: string): void {
    const range = decodeGapCode(code);
    if (typeof range === "string") {
      this.world.model.violate(`the gap code ${code} ${range}`);
      return;
    }
    const { core } = this;
    if (core === undefined || range.journalTag !== tagJournal(core.journal.journalId)) return;
    const { stream, first, count } = range;
    this.guard(() => core.replay({ stream, first, end: first + count }));
  }

  #makePath(index: number): SimPath {
    const { paths, send } = this.world.plan;
    const { mbitPerSecond, bestEffort } = paths[index] as (typeof paths)[number];
    const largest = send.datagramBytes + OVERHEAD_BYTES;
    const queue = new PathQueue({
      pacer: new Pacer(mbitPerSecond, largest, this.now.steadyMs),
      overheadBytes: OVERHEAD_BYTES,
      roomBytes: Math.max(2 * send.datagramBytes, mbitPerSecond * 125 * 10),
      interleaveBlocks: send.interleaveBlocks,
      write: (datagrams) => {
        if (!this.isUp) return { written: 0 };
        const written = this.world.network.send(index, datagrams);
        return written < datagrams.length ? { written, error: "refused" } : { written };
      },
      onError: () => {},
    });
    return { name: `path-${index + 1}`, bestEffort, queue, timer: undefined };
  }

  #scheduleFlush(full: boolean, lingerMs: number): void {
    if (full && !this.#blocked) {
      if (this.#linger) this.#linger.cancelled = true;
      this.#linger = undefined;
      if (!this.#flush()) this.#linger = this.after(250, () => this.#endLinger());
    } else if (this.#linger === undefined) {
      const leftMs = Math.max(0, this.#flushedMs + lingerMs - this.now.steadyMs);
      this.#linger = this.after(leftMs, () => this.#endLinger());
    }
  }

  #endLinger(): void {
    this.#linger = undefined;
    if (!this.#flush()) this.#linger = this.after(250, () => this.#endLinger());
  }

  #flush(now = false): boolean {
    this.#flushedMs = this.now.steadyMs;
    const kept = this.core?.flush(this.wallMs, now) ?? false;
    this.#pump();
    return kept;
  }

  #pump(): void {
    this.core?.fill(this.now);
    for (const path of this.paths) this.#pumpPath(path);
  }

  #beat(): void {
    this.core?.beat(this.now, [], false);
    for (const path of this.paths) this.#pumpPath(path);
  }

  #save(): void {
    try {
      this.core?.save(this.now.wallMs);
    } catch (error) {
      this.world.trace.note(() => `send: cannot save: ${String(error)}`);
    }
  }

  #pumpPath(path: SimPath): void {
    if (path.timer !== undefined) return;
    let wait: number | undefined;
    for (let turns = 16; turns > 0; turns--) {
      const before = path.queue.counters.datagrams;
      wait = path.queue.pump(this.now.steadyMs);
      if (path.queue.counters.datagrams !== before) this.core?.fill(this.now);
      if (wait !== undefined || path.queue.empty) break;
      wait = 0;
    }
    if (wait === undefined) return;
    path.timer = this.after(Math.max(wait, 1), () => {
      path.timer = undefined;
      this.#pumpPath(path);
    });
  }
}
