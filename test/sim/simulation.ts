// One seed from beginning to end: first safety (troubles come, nothing may ever be wrong), then liveness (troubles
// end, everything must arrive or be booked, within a bounded time). The same seed always gives the same run.
import { Model } from "./model.ts";
import { FakeNetwork, healthyPath } from "./network.ts";
import { makePlan, type Plan } from "./plan.ts";
import { Random } from "./random.ts";
import { RecvHost } from "./recv-host.ts";
import { Schedule } from "./schedule.ts";
import { SendHost } from "./send-host.ts";
import { checkReceiver, checkSender } from "./step-checks.ts";
import { Trace } from "./trace.ts";
import { replayGaps, Troubles } from "./troubles.ts";
import { judgeEnd } from "./verdict.ts";
import type { World } from "./world.ts";

export type Outcome = {
  readonly seed: number;
  /** The promise that was broken; undefined when none was. */
  readonly violation: string | undefined;
  readonly linkMs: number;
  readonly messages: number;
  readonly delivered: number;
  readonly datagrams: number;
  readonly starts: number;
  readonly trace: readonly string[];
  readonly plan: Plan;
};

/** Within this time after the end of all trouble everything must have arrived or be booked. */
const LIVENESS_MS = 30 * 60_000;
/** Below this rate there is more time in proportion. */
const SLOW_MBIT_PER_SECOND = 0.2;
/** A loss is remembered by the link's state for half a minute. */
const HEALTH_MS = 45_000;
const REPLAY_ROUNDS = 20;

export function simulate(seed: number, safetyMs: number, traceLines = 0): Outcome {
  return new Simulation(seed, safetyMs, traceLines).run();
}

class Simulation {
  readonly #world: World;
  readonly #send: SendHost;
  readonly #recv: RecvHost;

  constructor(seed: number, safetyMs: number, traceLines: number) {
    const random = new Random(seed);
    const plan = makePlan(seed, random, safetyMs);
    const schedule = new Schedule();
    const paths = plan.paths.map(({ faults }) => ({ ...faults }));
    this.#world = {
      plan,
      schedule,
      network: new FakeNetwork(paths, schedule, random.fork()),
      model: new Model(),
      trace: new Trace(schedule, traceLines),
      calm: false,
      liveJournal: () => undefined,
      fork: () => random.fork(),
    };
    this.#send = new SendHost(this.#world);
    this.#recv = new RecvHost(this.#world);
    this.#world.liveJournal = () => this.#send.core?.journal.journalId;
  }

  run(): Outcome {
    const { plan, schedule, model, network, trace } = this.#world;
    const random = this.#world.fork();
    schedule.after(random.below(3000), () => this.#send.start());
    schedule.after(random.below(3000), () => this.#recv.start());
    this.#publish(random, plan.load.meanMs);
    new Troubles(this.#world, this.#send, this.#recv).begin();
    this.#advance(plan.safetyMs, () => false);
    if (model.violation === undefined) this.#recover();
    return {
      seed: plan.seed,
      violation: model.violation,
      linkMs: schedule.nowMs,
      messages: model.messages.length,
      delivered: this.#recv.books.reduce((sum, book) => sum + book.count, 0),
      datagrams: network.carried,
      starts: this.#send.starts + this.#recv.starts,
      trace: trace.tail(),
      plan,
    };
  }

  #publish(random: Random, meanMs: number): void {
    this.#world.schedule.after(random.wait(meanMs), () => {
      if (this.#world.calm) return;
      this.#send.publish();
      this.#publish(random, meanMs);
    });
  }

  /** Lets time pass until `isDone`, at most `limitMs`; true when it was done. */
  #advance(limitMs: number, isDone: () => boolean): boolean {
    const { schedule, model } = this.#world;
    const untilMs = schedule.nowMs + limitMs;
    while (model.violation === undefined) {
      if (isDone()) return true;
      for (const { disks } of [this.#send, this.#recv]) for (const disk of disks) disk.writes = 0;
      if (!schedule.step(untilMs)) return isDone();
      if (this.#send.touched) checkSender(this.#send);
      if (this.#recv.touched) checkReceiver(this.#recv);
      this.#send.touched = this.#recv.touched = false;
    }
    return false;
  }

  #recover(): void {
    const world = this.#world;
    const { network, model, trace } = world;
    trace.note(() => "all trouble is over");
    world.calm = true;
    for (const [index, path] of network.paths.entries())
      Object.assign(path, healthyPath(), { refusing: index === world.plan.deadPath });
    for (const host of [this.#send, this.#recv]) {
      for (const { faults } of host.disks) Object.assign(faults, { full: false, failing: 0, dying: 0 });
      host.rotateKey(1);
    }
    for (const target of this.#recv.targets) target.recover();
    if (!this.#settle()) {
      model.violate(`not settled in time: ${this.#describe()}`);
      return;
    }
    for (let round = 0; round < REPLAY_ROUNDS; round++) {
      if (replayGaps(this.#send, this.#recv, 500) === 0) break;
      if (!this.#settle()) {
        model.violate(`not settled after a replay: ${this.#describe()}`);
        return;
      }
    }
    // The targets take everything by now: what they had refused, too.
    while (model.violation === undefined && this.#recv.requeue({})) {
      if (!this.#settle()) model.violate(`not settled after requeueing: ${this.#describe()}`);
    }
    this.#advance(HEALTH_MS, () => false);
    if (model.violation === undefined) judgeEnd(this.#send, this.#recv);
  }

  /** Waits until nothing is on its way any more. */
  #settle(): boolean {
    let quietMs = Number.POSITIVE_INFINITY;
    const { schedule, plan } = this.#world;
    // Everything may be sent twice, under two keys, with as much repair again: on the slowest paths that takes its time.
    const slowest = Math.min(...plan.paths.map(({ mbitPerSecond }) => mbitPerSecond));
    return this.#advance(LIVENESS_MS * Math.max(1, SLOW_MBIT_PER_SECOND / slowest), () => {
      if (!this.#isSettled()) quietMs = Number.POSITIVE_INFINITY;
      else if (quietMs === Number.POSITIVE_INFINITY) quietMs = schedule.nowMs;
      return schedule.nowMs - quietMs > plan.recv.patienceMs + 500;
    });
  }

  #isSettled(): boolean {
    const { core: sender } = this.#send;
    const { core: receiver, desk } = this.#recv;
    if (sender === undefined || receiver === undefined || desk === undefined) return false;
    if (!sender.idle || sender.replaying > 0 || !desk.idle) return false;
    const { deadPath } = this.#world.plan;
    if (!this.#send.paths.every(({ queue }, index) => queue.bytes === 0 || index === deadPath)) return false;
    const { state } = receiver;
    if (state.journalId !== sender.journal.journalId || state.epoch !== sender.journal.epoch) return false;
    return sender.journal.streams.every(
      (stream) => (state.expected.get(stream) ?? 0) === sender.journal.next(stream),
    );
  }

  #describe(): string {
    const { core: sender } = this.#send;
    const { core: receiver, desk } = this.#recv;
    const streams = sender?.journal.streams.map((stream) => {
      const { journal } = sender;
      return `${stream}: next ${journal.next(stream)} sent ${journal.sent(stream)} expected ${receiver?.state.expected.get(stream)}`;
    });
    return JSON.stringify({
      sendUp: this.#send.isUp,
      recvUp: this.#recv.isUp,
      sendIdle: sender?.idle,
      held: sender?.ledger.held,
      replaying: sender?.replaying,
      desksIdle: desk?.idle,
      cursors: this.#recv.books.map(({ name }) => this.#recv.disk.state.values.get(`target.${name}/cursor`)),
      streams,
      journals: [sender?.journal.journalId.toString(16), receiver?.state.journalId?.toString(16)],
      queues: this.#send.paths.map(({ queue }) => queue.bytes),
    });
  }
}
