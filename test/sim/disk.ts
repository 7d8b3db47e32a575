// A fake disk with one log on it. It keeps what a real one would: with durability "fsync" each transaction survives a
// power cut; with "os" a power cut loses any number of the newest ones, back to the last that was made durable. It can
// be full, fail, let its process die before or after any transaction, and give rows back altered.
import type { BlockLog, Durability, NewRow, Preparation, ReadRow } from "../../shared/store/block-log.ts";
import { type Change, DiskState } from "./disk-state.ts";
import type { Random } from "./random.ts";

/** What a real disk would say; everything else that is thrown is a fault of the program. */
export class DiskError extends Error {}

/** Transactions after which a real log would have written its checkpoint. */
const CHECKPOINT_WRITES = 300;
/** In one event of the simulation; more is a loop without end. */
const WRITES_MAX = 20_000;

export type DiskFaults = { full: boolean; failing: number; dying: number };

export class FakeDisk {
  readonly faults: DiskFaults = { full: false, failing: 0, dying: 0 };
  /** Transactions so far, and how many of them no power cut can take back any more. */
  version = 0;
  durableVersion = 0;
  /** Counts the writes of one event; set to 0 before each. */
  writes = 0;
  /** Called with the new rows of each transaction that was committed, and the names of the values it changed. */
  onCommit: (rows: readonly ReadRow[], names: readonly string[]) => void = () => {};
  /** Calls back later, in the same run; undefined where nothing is prepared ahead of its transaction. */
  later: ((work: () => void) => void) | undefined;
  /** By the number that the places of a preparation have: whether it survives a power cut. */
  readonly prepared = new Map<number, () => boolean>();
  #preparations = 0;
  /** The process dies at this point: nothing that it does any more has an effect. */
  onDeath: () => void = () => {};
  readonly #durability: Durability;
  readonly #random: Random;
  #state = new DiskState();
  #base = new DiskState();
  #redo: (readonly Change[])[] = [];
  #open: FakeLog | undefined;

  constructor(durability: Durability, random: Random) {
    this.#durability = durability;
    this.#random = random;
  }

  get state(): DiskState {
    return this.#state;
  }

  open(): BlockLog {
    this.#open = new FakeLog(this);
    return this.#open;
  }

  /** The process is gone. */
  disconnect(): void {
    if (this.#open !== undefined) this.#open.dead = true;
    this.#open = undefined;
  }

  cutPower(): void {
    this.disconnect();
    if (this.#durability !== "os") return;
    const kept = this.#random.between(this.durableVersion, this.version) - this.durableVersion;
    const state = new DiskState(this.#base);
    for (const changes of this.#redo.slice(0, kept)) for (const change of changes) state.apply(change);
    this.#state = state;
    this.version = this.durableVersion + kept;
    this.#makeDurable();
  }

  /** Another disk, with nothing on it. */
  wipe(): void {
    this.disconnect();
    this.#state = new DiskState();
    this.version++;
    this.#makeDurable();
  }

  spoilRow(): void {
    this.#state.spoil(this.#random.below(this.#state.rows.length));
    if (this.#redo.length === 0) this.#base = new DiskState(this.#state);
  }

  /** One transaction. */
  run(log: FakeLog, work: () => void, durably: boolean): void {
    this.#mayFail(log);
    const changes: Change[] = [];
    log.changes = changes;
    try {
      work();
      this.#mayFail(log);
    } catch (error) {
      for (const change of changes.reverse()) this.#state.undo(change);
      throw error;
    } finally {
      log.changes = undefined;
    }
    this.version++;
    this.#redo.push(changes);
    if (durably || this.#durability !== "os" || this.#redo.length >= CHECKPOINT_WRITES) this.#makeDurable();
    const rows = changes.flatMap((change) =>
      change.type === "append" ? [{ ...change.row, intact: true }] : [],
    );
    const names = changes.flatMap((change) => (change.type === "value" ? [change.name] : []));
    this.onCommit(rows, names);
    if (this.faults.dying > 0 && this.#random.chance(this.faults.dying)) this.#die(log);
  }

  prepare(
    log: FakeLog,
    contents: readonly Uint8Array[],
    onDone: (error?: unknown) => void,
  ): Preparation | undefined {
    if (this.later === undefined || this.#durability !== "fsync" || this.#random.chance(0.3))
      return undefined;
    this.#mayFail(log);
    let isDone = false;
    const end = () => {
      if (isDone) return;
      isDone = true;
      try {
        this.#mayFail(log);
      } catch (error) {
        onDone(error);
        return;
      }
      onDone();
    };
    this.later(end);
    const finish = () => {
      if (isDone) return;
      isDone = true;
      this.#mayFail(log);
    };
    const number = ++this.#preparations;
    const isSynced = () => isDone;
    this.prepared.set(number, isSynced);
    return {
      places: contents.map(({ length }, at) => ({ segment: number, at, bytes: length })),
      finish,
      get isDone() {
        return isDone;
      },
    };
  }

  #mayFail(log: FakeLog): void {
    if (log.dead) throw new DiskError("the process is dead");
    if (++this.writes > WRITES_MAX) throw new RangeError("the program writes without end");
    const { full, failing, dying } = this.faults;
    if (full) throw new DiskError("database or disk is full");
    if (failing > 0 && this.#random.chance(failing)) throw new DiskError("disk I/O error");
    if (dying > 0 && this.#random.chance(dying)) this.#die(log);
  }

  #die(log: FakeLog): never {
    log.dead = true;
    this.onDeath();
    throw new DiskError("the process has died");
  }

  #makeDurable(): void {
    this.durableVersion = this.version;
    if (this.#durability === "os") this.#base = new DiskState(this.#state);
    this.#redo = [];
  }
}

class FakeLog implements BlockLog {
  dead = false;
  changes: Change[] | undefined;
  readonly #disk: FakeDisk;

  constructor(disk: FakeDisk) {
    this.#disk = disk;
  }

  get #state(): DiskState {
    if (this.dead) throw new DiskError("the process is dead");
    return this.#disk.state;
  }

  get bytes(): number {
    return this.#disk.state.bytes;
  }

  get lastId(): number {
    return this.#disk.state.lastId;
  }

  write(work: () => void): void {
    this.#disk.run(this, work, false);
  }

  writeDurably(work: () => void): void {
    this.#disk.run(this, work, true);
  }

  /** Nothing is written before its row is: only the time that it takes is simulated, and that it may fail. */
  prepare(contents: readonly Uint8Array[], onDone: (error?: unknown) => void): Preparation | undefined {
    return this.#disk.prepare(this, contents, onDone);
  }

  append({ place, ...row }: NewRow): number {
    if (place !== undefined && this.#disk.prepared.get(place.segment)?.() !== true)
      throw new RangeError("the program keeps a row whose content may not be on the disk");
    const id = this.#state.lastId + 1;
    this.#change({ type: "append", row: { ...row, id, content: Buffer.from(row.content) } });
    return id;
  }

  read(afterId: number, limit: number): ReadRow[] {
    const { rows } = this.#state;
    const from = lowerBound(rows, (row) => row.id > afterId);
    return rows.slice(from, from + limit);
  }

  readStream(stream: number, sequence: number, limit: number): ReadRow[] {
    const rows = this.#state.stream(stream);
    const from = lowerBound(rows, (row) => row.first >= sequence);
    return rows.slice(from, from + limit);
  }

  findRow(stream: number, sequence: number): number | undefined {
    return this.readStream(stream, sequence, 1)[0]?.id;
  }

  firstSequence(stream: number, sequence = 0): number | undefined {
    const rows = this.#state.stream(stream);
    return rows[lowerBound(rows, (row) => row.first + row.count > sequence)]?.first;
  }

  sequencesBetween(
    stream: number,
    sinceMs: number,
    untilMs: number,
  ): { first: number; end: number } | undefined {
    const rows = this.#state.stream(stream).filter(({ timeMs }) => timeMs >= sinceMs && timeMs <= untilMs);
    const [first, last] = [rows[0], rows.at(-1)];
    return first && last ? { first: first.first, end: last.first + last.count } : undefined;
  }

  countMessages(stream: number, sequence: number): number {
    let sum = 0;
    for (const row of this.#state.stream(stream)) if (row.first >= sequence) sum += row.count - row.skip;
    return sum;
  }

  countSequences(stream: number, sequence: number): number {
    let sum = 0;
    for (const row of this.#state.stream(stream)) if (row.first >= sequence) sum += row.count;
    return sum;
  }

  oldest(limit: number, beforeId: number): number | undefined {
    const before = this.#state.rows.filter((row) => row.id < beforeId);
    return before[Math.min(limit, before.length) - 1]?.id;
  }

  deleteTo(id: number): void {
    this.deleteBetween(0, id);
  }

  deleteBetween(firstId: number, lastId: number): void {
    this.#change({ type: "delete", firstId, lastId, at: 0, removed: [] });
  }

  value(name: string): string | undefined {
    return this.#state.values.get(name);
  }

  values(prefix: string): Map<string, string> {
    const found = new Map<string, string>();
    for (const [name, value] of this.#state.values) {
      if (name.startsWith(prefix)) found.set(name.slice(prefix.length), value);
    }
    return found;
  }

  setValue(name: string, value: string): void {
    if (this.#state.values.get(name) !== value)
      this.#change({ type: "value", name, value, before: undefined });
  }

  deleteValue(name: string): void {
    this.#change({ type: "value", name, value: undefined, before: undefined });
  }

  close(): void {
    this.dead = true;
  }

  #change(change: Change): void {
    if (this.changes === undefined) throw new RangeError("the program writes outside of a transaction");
    this.#state.apply(change);
    this.changes.push(change);
  }
}

function lowerBound<T>(list: readonly T[], isAtOrAfter: (item: T) => boolean): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isAtOrAfter(list[middle] as T)) high = middle;
    else low = middle + 1;
  }
  return low;
}
