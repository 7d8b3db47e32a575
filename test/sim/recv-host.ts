// The business side: the receive agent's core, spool, targets and dead letters, with its rim (ticks, flushes, saves, stopping) as
// agents/recv/run.ts has it.
import { RecvCore } from "../../agents/recv/core.ts";
import { DeadLetterDesk, type Wanted } from "../../agents/recv/dead-letter-desk.ts";
import { DeadLetters } from "../../agents/recv/dead-letters.ts";
import { Spool } from "../../agents/recv/spool.ts";
import { LETTERS_MARK } from "../../agents/recv/spool-salvage.ts";
import { TargetDesk } from "../../agents/recv/target-desk.ts";
import { decodeHeader } from "../../shared/framing/header.ts";
import type { ReadRow } from "../../shared/store/block-log.ts";
import { findImbalance, isNeeded } from "./disk-books.ts";
import { FakeTarget } from "./fake-target.ts";
import { Host } from "./host.ts";
import type { Published } from "./model.ts";
import { TargetBook } from "./target-book.ts";
import { keysOf, LINK_ID, type World } from "./world.ts";

export class RecvHost extends Host {
  core: RecvCore | undefined;
  spool: Spool | undefined;
  desk: TargetDesk | undefined;
  letters: DeadLetters | undefined;
  letterDesk: DeadLetterDesk | undefined;
  targets: FakeTarget[] = [];
  readonly books: readonly TargetBook[];
  /** What the counters of the link said when each journal was first followed. */
  readonly bases = new Map<bigint, number>();
  readonly #recovered = new Map<string, { first: number; end: number }[]>();
  readonly #letterDisk = this.addDisk();
  #flushing = false;

  constructor(world: World) {
    super("recv", world, world.plan.recv.durability);
    const isRecovered = ({ place }: Published) =>
      place !== undefined &&
      (this.#recovered.get(`${place.journal}/${place.stream}`) ?? []).some(
        ({ first, end }) => place.sequence >= first && place.sequence < end,
      );
    this.books = world.plan.targets.map(
      ({ plan }, index) =>
        new TargetBook(`target-${index + 1}`, world.model, plan.backlog === "oldest-first", isRecovered),
    );
    this.disk.onCommit = (rows, names) => this.#noteCommit(rows, names);
    world.network.deliver = (datagram, path) => {
      if (this.isUp && this.#isConceivable(datagram))
        this.guard(() => this.core?.receive(datagram, path, this.now));
    };
  }

  protected override boot(): void {
    const { plan, trace } = this.world;
    this.#flushing = false;
    const spool = new Spool(this.disk.open(), plan.recv.spoolBytesMax);
    const options = {
      ...plan.recv,
      linkId: LINK_ID,
      linkKeys: keysOf(plan.sealed, this.keyStage),
      contentBytesMax: plan.send.messageBytesMax + 60_000,
    };
    const core = new RecvCore(options, spool, {
      dirty: () => this.#scheduleFlush(),
      gap: (stream, { first, count }, reason) =>
        trace.note(() => `recv: ${reason} ${stream}/${first}+${count}`),
      recovered: (stream, first, end) => this.#noteRecovered(stream, first, end),
      heartbeat: () => this.#compareLedgers(),
      journalChanged: (journalId) => {
        trace.note(() => `recv: follows journal ${journalId.toString(16)}`);
        this.bases.set(journalId, countSequences(core));
      },
      epochChanged: () => trace.note(() => "recv: the sender was started again"),
      refused: () => {},
    });
    this.spool = spool;
    this.core = core;
    this.targets = plan.targets.map(({ window, latencyMs, refusing, plan }, index) => {
      const later = (work: () => void) => this.after(this.random.fraction() * latencyMs, work);
      const refuses = () => !this.world.calm && this.random.chance(refusing);
      return new FakeTarget({ window, plan, refuses, book: this.books[index] as TargetBook, later });
    });
    const letters = new DeadLetters(this.#letterDisk.open(), plan.recv.lettersBytesMax);
    const mark = spool.value(LETTERS_MARK);
    const store = `store-${this.random.below(1e9)}`;
    this.letters = letters;
    this.letterDesk = new DeadLetterDesk(letters, mark, store, () => this.wallMs);
    const rim = { clock: () => this.wallMs, later: (work: () => void) => this.after(0, work) };
    const desk = new TargetDesk(spool, this.targets, () => core.kept, rim, this.letterDesk);
    this.desk = desk;
    for (const target of this.targets) this.after(this.random.magnitude(1, 2000), () => target.recover());
    this.every(25, () => {
      core.tick(this.now);
      desk.tick(this.now.steadyMs);
      core.health.tick(this.now.steadyMs);
    });
    this.every(200, () => this.#save());
    this.#scheduleStalls();
    desk.wake();
  }

  protected override shutDown(): void {
    this.#flush();
    this.#save();
    this.letterDesk?.close();
    this.core?.close();
  }

  protected override forget(version: number): void {
    this.core = undefined;
    this.spool = undefined;
    this.desk = undefined;
    this.letters = undefined;
    this.letterDesk = undefined;
    this.targets = [];
    this.world.model.recvDiskLost(version);
    for (const book of this.books) book.restart(version);
  }

  /**
   * A journal that is over and that this receiver has never heard of would look like a new sender: the protocol cannot
   * tell it from one (docs/simulator.md). Such datagrams are kept from it.
   */
  #isConceivable(datagram: Buffer): boolean {
    const header = decodeHeader(datagram);
    const state = this.core?.state;
    if (typeof header === "string" || state === undefined) return true;
    const { journalId } = header;
    return (
      journalId === this.world.liveJournal() || journalId === state.journalId || state.retired.has(journalId)
    );
  }

  rotateKey(stage: number): void {
    this.keyStage = stage;
    this.core?.setKeys(keysOf(this.world.plan.sealed, stage));
  }

  /** The operator asks for dead letters to be sent again; false when there are none that this would send. */
  requeue(wanted: Wanted): boolean {
    const { letters, letterDesk } = this;
    if (!this.isUp || letters === undefined || letterDesk === undefined) return false;
    for (const { target, message } of letters.list())
      this.books.find(({ name }) => name === target)?.requeue(message);
    const { requeued } = letterDesk.requeue(wanted);
    if (requeued > 0) this.world.trace.note(() => `recv: ${requeued} dead letters are sent again`);
    return requeued > 0;
  }

  /** The sender's ledger and ours never differ, not even for a moment. */
  #compareLedgers(): void {
    const difference = this.core?.ledger.comparison?.difference ?? 0;
    if (difference !== 0)
      this.world.model.violate(`recv: the sender's ledger differs from ours by ${difference}`);
  }

  #scheduleStalls(): void {
    for (const [index, { stallEveryMs }] of this.world.plan.targets.entries()) {
      if (stallEveryMs > 0) this.#scheduleStall(index, stallEveryMs);
    }
  }

  #scheduleStall(index: number, everyMs: number): void {
    this.after(this.random.wait(everyMs), () => {
      const target = this.targets[index];
      if (target === undefined || this.world.calm) return;
      target.stalled = true;
      this.after(this.random.magnitude(100, 30_000), () => {
        target.recover();
        this.#scheduleStall(index, everyMs);
      });
    });
  }

  #noteCommit(rows: readonly ReadRow[], names: readonly string[]): void {
    const { version, state } = this.disk;
    this.world.model.spooled(rows, version);
    for (const book of this.books) {
      const cursors = state.values.get(`target.${book.name}/cursor`);
      if (names.some((name) => name.startsWith(`target.${book.name}/`)))
        book.saved(version, (row, index) => isNeeded(cursors ?? "", row, index));
      const problem = findImbalance(state, book.name);
      if (problem !== undefined) this.world.model.violate(`recv: the disk says of ${book.name}: ${problem}`);
    }
  }

  #noteRecovered(stream: number, first: number, end: number): void {
    this.world.trace.note(() => `recv: recovered ${stream}/${first}+${end - first}`);
    const name = `${this.core?.state.journalId}/${stream}`;
    const ranges = this.#recovered.get(name);
    if (ranges === undefined) this.#recovered.set(name, [{ first, end }]);
    else ranges.push({ first, end });
  }

  #scheduleFlush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.after(0, () => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    this.#attempt(() => {
      this.core?.flush(this.wallMs);
      this.desk?.wake();
    });
  }

  #save(): void {
    this.#attempt(() => {
      const { spoolAgeMs } = this.world.plan.recv;
      this.desk?.save();
      this.#noteDropped(this.desk?.bound(), "the spool's bound");
      if (spoolAgeMs > 0) this.#noteDropped(this.desk?.expire(this.wallMs - spoolAgeMs), "their age");
      this.core?.flush(this.wallMs);
      this.desk?.wake();
    });
    this.desk?.wake();
  }

  #noteDropped(losses: ReadonlyMap<string, number> | undefined, why: string): void {
    for (const [target, messages] of losses ?? [])
      this.world.trace.note(() => `recv: ${target} lost ${messages} to ${why}`);
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof RangeError || error instanceof TypeError) throw error;
      this.world.trace.note(() => `recv: ${String(error)}`);
    }
  }
}

/** All sequences that the link's counters have booked. */
export function countSequences(core: RecvCore): number {
  const { counters } = core;
  return counters.get("link/accepted") + counters.total("link/skipped") + counters.total("link/lost");
}
