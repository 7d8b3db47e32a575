// The recv agent without its rim: receiver, spool intake and the link's health, with the time (both clocks) as an argument. What it
// needs of the world (a spool to keep things in, ears for what happens) is handed in; the simulator hands in others.
import { Counters } from "../../shared/counters.ts";
import type { Heartbeat } from "../../shared/framing/heartbeat.ts";
import type { Moment } from "../../shared/moment.ts";
import { SpoolIntake } from "./intake.ts";
import { type LinkLedger, linkLedger } from "./ledger.ts";
import { type Comparison, compareLedgers } from "./link/comparison.ts";
import { type HealthOptions, LinkHealth } from "./link/health.ts";
import type { Gap } from "./link/order.ts";
import { type GapReason, Receiver, type ReceiverOptions } from "./link/receiver.ts";
import type { LinkState } from "./link/session.ts";
import type { Spool } from "./spool.ts";

export type RecvCoreOutput = {
  /** flush() has something to keep; at once, when it is `much`. */
  dirty(much: boolean): void;
  gap(stream: number, gap: Gap, reason: GapReason): void;
  recovered(stream: number, first: number, end: number): void;
  heartbeat(heartbeat: Heartbeat, block: number): void;
  journalChanged(journalId: bigint, retired: bigint | undefined): void;
  epochChanged(epoch: bigint): void;
  /** `path` is -1 for what was given up after it had arrived. */
  refused(reason: string, path: number, count: number): void;
};

/** What one turn may bring before it is kept without waiting for the turn's end. */
const MUCH_BYTES = 32 * 1024 * 1024;

export class RecvCore {
  readonly counters = new Counters();
  readonly health: LinkHealth;
  readonly #spool: Spool;
  readonly #receiver: Receiver;
  readonly #intake: SpoolIntake;
  #now: Moment = { wallMs: 0, steadyMs: 0 };
  /** Of the last whole heartbeat. */
  #comparison: Comparison | undefined;

  constructor(options: ReceiverOptions & HealthOptions, spool: Spool, output: RecvCoreOutput) {
    this.#spool = spool;
    for (const [name, value] of spool.loadCounters("counter.")) this.counters.set(name, value);
    this.health = new LinkHealth(options);
    this.#receiver = new Receiver(options, spool.loadLinkState(), {
      deliver: (stream, delivery) => {
        this.#intake.deliver(stream, delivery);
        output.dirty(this.#intake.waitingBytes > MUCH_BYTES);
      },
      recover: (stream, joined, range) => {
        this.#intake.recover(stream, joined, range);
        output.recovered(stream, range.first, range.end);
        output.dirty(false);
      },
      gap: (stream, gap, reason) => {
        this.#intake.gap(stream, gap, reason, this.#now.wallMs);
        if (reason === "gap") this.health.noteLoss(this.#now.steadyMs);
        output.gap(stream, gap, reason);
        output.dirty(false);
      },
      heartbeat: (heartbeat, block, late) => {
        if (late) this.health.noteSections(heartbeat);
        else {
          this.health.noteHeartbeat(heartbeat, this.#now);
          this.#compare(heartbeat);
        }
        output.heartbeat(heartbeat, block);
      },
      journalChanged: (journalId, retired) => {
        this.#comparison = undefined;
        this.#intake.touch();
        output.journalChanged(journalId, retired);
        output.dirty(false);
      },
      sinceKnown: () => {
        this.#intake.touch();
        output.dirty(false);
      },
      epochChanged: (epoch) => {
        this.counters.add("link/sender_restarts");
        this.#intake.touch();
        output.epochChanged(epoch);
        output.dirty(false);
      },
      restored: (symbols) => this.counters.add("link/restored_symbols", symbols),
      refused: (reason, path, count) => {
        if (reason === "surplus") this.counters.add("link/surplus", count);
        else this.counters.add(`link/refused/${reason}`, count);
        output.refused(reason, path, count);
      },
    });
    this.#intake = new SpoolIntake(spool, this.counters, () => this.#receiver.state);
  }

  get state(): LinkState {
    return this.#receiver.state;
  }

  get waitingBytes(): number {
    return this.#receiver.waitingBytes;
  }

  /** Messages that the spool has ever taken. */
  get kept(): number {
    return this.counters.get("link/accepted") - this.#intake.waitingMessages;
  }

  get ledger(): LinkLedger {
    let awaited = 0;
    for (const { stream, sent } of this.health.last?.heartbeat.streams ?? []) {
      awaited += Math.max(0, sent - (this.state.expected.get(stream) ?? 0));
    }
    return linkLedger(this.counters, awaited, this.#comparison);
  }

  #compare(heartbeat: Heartbeat): void {
    const { state } = this.#receiver;
    const isFirst = state.ledgerBase === undefined;
    const comparison = compareLedgers(heartbeat, this.counters, state);
    if (comparison === undefined) return;
    this.#comparison = comparison;
    if (isFirst) this.#intake.touch();
  }

  /** Datagrams that have come. */
  get arrivals(): number {
    return this.#receiver.arrivals;
  }

  /** True when nothing of the first so many datagrams waits for what is still to come; flush() keeps the rest. */
  isSettled(arrivals: number): boolean {
    return this.#receiver.isSettled(arrivals);
  }

  setKeys(linkKeys: readonly Uint8Array[]): void {
    this.#receiver.setKeys(linkKeys);
  }

  receive(datagram: Buffer, path: number, now: Moment): void {
    this.#now = now;
    this.#receiver.receive(datagram, path, now.steadyMs);
  }

  /** To be called every few milliseconds: gives up what has waited too long. */
  tick(now: Moment): void {
    this.#now = now;
    this.#receiver.tick(now.steadyMs);
  }

  /** Keeps what has arrived. Throws what the disk says; then it waits on, up to a bound. */
  flush(wallMs: number): void {
    this.#intake.flush(wallMs, this.health.clockDifferenceMs ?? 0);
  }

  close(): void {
    this.#spool.close();
  }
}
