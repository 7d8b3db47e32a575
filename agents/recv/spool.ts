// The spool: what came over the link, in order, until every target is done with it; the link's state and the targets'
// cursors change in the same file, so that after any crash they still agree.
// Bounded in bytes: past the limit contents go, and each target that had not read them books its loss.
import { ContentWriter, decodeAfter } from "../../shared/framing/content.ts";
import type { Message } from "../../shared/message.ts";
import type { BlockLog, ReadRow } from "../../shared/store/block-log.ts";
import { GapBook, type OpenGap } from "./link/gaps.ts";
import { emptyLinkState, type LinkState } from "./link/session.ts";
import { CURSORS_LOST, DAMAGED } from "./spool-salvage.ts";
import type { Range } from "./targets/needs.ts";

/** Memory of the decoded contents that are kept for the targets that are up to date. */
const HOT_BYTES_MAX = 16 * 1024 * 1024;
const READ_ROWS = 32;
/** Altered rows that are told one by one; each target counts them all. */
const SPOILT_MAX = 100;
/** Memory for the messages of the rows that are read at a time, beyond the first row. */
const READ_BYTES_MAX = 16 * 1024 * 1024;
/** What a decoded message takes beyond its bytes: a content of many empty ones is large in memory. */
const MESSAGE_OVERHEAD_BYTES = 200;

/** Added to the stream of a content that came behind later ones of its stream: it fills a gap. */
export const LATE_STREAMS = 16;

/** Memory that a decoded content takes. */
export function weighContent(contentBytes: number, messages: number): number {
  return contentBytes + messages * MESSAGE_OVERHEAD_BYTES;
}

export type NewContent = {
  readonly stream: number;
  readonly first: number;
  readonly count: number;
  readonly skip: number;
  readonly content: Uint8Array;
  /** Its messages, from `skip` on. */
  readonly messages: readonly Message[];
};

/** The messages of one content. `messages` is empty when the disk gave it back altered: `corrupt` sequences are lost. */
export type SpoolEntry = {
  readonly id: number;
  /** What it takes of the spool's space. */
  readonly bytes: number;
  readonly arrivedMs: number;
  /** Add to a message's acceptedMs to get this host's clock. */
  readonly clockDifferenceMs: number;
  readonly messages: readonly Message[];
  readonly corrupt: number;
  /** It fills a gap: what its stream sent later came before it. All others are in the order of their stream. */
  readonly isLate: boolean;
};

export class Spool {
  readonly #log: BlockLog;
  readonly #bytesMax: number;
  readonly #hot = new Map<number, { entry: SpoolEntry; bytes: number }>();
  /** Gaps that have changed and are not on the disk yet. */
  #hotBytes = 0;
  /** The journals that are on the disk: the one followed and those retired. */
  #keptJournalId: bigint | undefined;
  #keptRetired: ReadonlySet<bigint> = new Set();
  #lastId: number;
  #fault: unknown;

  /** Ids of rows whose content was found altered, and told. */
  readonly #spoilt = new Set<number>();
  readonly #onSpoilt: (row: ReadRow) => void;

  /** `onSpoilt` hears of each row that the disk gives back altered, once, up to a bound. */
  constructor(log: BlockLog, bytesMax: number, onSpoilt: (row: ReadRow) => void = () => {}) {
    this.#log = log;
    this.#bytesMax = bytesMax;
    this.#onSpoilt = onSpoilt;
    this.#lastId = log.lastId;
  }

  /** True when rows were lost with a page of the file: what the targets lack shows at the end of the spool. */
  get isDamaged(): boolean {
    return (
      this.#log.value(DAMAGED) === "1" ||
      this.#log.repairs?.some(({ rowsMissing }) => rowsMissing > 0) === true
    );
  }

  /** True when a target without a cursor may have had one. */
  get hasLostCursors(): boolean {
    return this.#log.value(CURSORS_LOST) === "1";
  }

  get bytes(): number {
    return this.#log.bytes;
  }

  /** Id of the newest content ever. */
  get lastId(): number {
    return this.#lastId;
  }

  loadLinkState(): LinkState {
    const state: LinkState = { ...emptyLinkState(), gaps: new GapBook(readGaps(this.#log)) };
    const journalId = this.#log.value("link.journal_id");
    if (journalId === undefined) return state;
    state.journalId = BigInt(`0x${journalId}`);
    state.epoch = BigInt(`0x${this.#log.value("link.epoch") ?? "0"}`);
    for (const [stream, next] of this.#log.values("link.expected."))
      state.expected.set(Number(stream), Number(next));
    for (const [stream, first] of this.#log.values("link.since."))
      state.since.set(Number(stream), Number(first));
    const base = this.#log.value("link.ledger_base");
    if (base !== undefined) state.ledgerBase = Number(base);
    // Older versions kept nothing of it.
    state.isSinceKnown = this.#log.value("link.since_known") !== "0";
    for (const id of this.#log.values("link.retired.").keys()) state.retired.add(BigInt(`0x${id}`));
    this.#keptRetired = new Set(state.retired);
    return state;
  }

  /** Names and values under `prefix`, as numbers. */
  loadCounters(prefix: string): Map<string, number> {
    return new Map([...this.#log.values(prefix)].map(([name, value]) => [name, Number(value)]));
  }

  value(name: string): string | undefined {
    return this.#log.value(name);
  }

  /**
   * Keeps contents, the link's state and values, all or nothing. Throws what the log throws (disk full, I/O error).
   */
  append(
    contents: readonly NewContent[],
    state: LinkState,
    values: ReadonlyMap<string, string>,
    nowMs: number,
    clockDifferenceMs: number,
  ): void {
    const hot: { entry: SpoolEntry; bytes: number }[] = [];
    this.#log.write(() => {
      for (const { messages, ...row } of contents) {
        if (messages.length === 0) continue;
        const kept = withoutSkips(row, messages);
        const id = this.#log.append({ ...kept, timeMs: nowMs, clockDifferenceMs });
        const bytes = kept.content.length;
        const isLate = row.stream >= LATE_STREAMS;
        const entry = { id, bytes, arrivedMs: nowMs, clockDifferenceMs, messages, corrupt: 0, isLate };
        hot.push({ entry, bytes: weighContent(bytes, messages.length) });
      }
      this.#saveLinkState(state);
      for (const [name, value] of values) this.#log.setValue(name, value);
    });
    state.gaps.noteKept();
    if (state.journalId !== this.#keptJournalId) {
      this.#keptJournalId = state.journalId;
      this.#keptRetired = new Set(state.retired);
    }
    for (const item of hot) {
      this.#hot.set(item.entry.id, item);
      this.#hotBytes += item.bytes;
      this.#lastId = item.entry.id;
    }
    this.#coolDown();
  }

  /** The contents after `id`, at least one when there is one. */
  read(afterId: number): SpoolEntry[] {
    const hot = this.#hot.get(afterId + 1);
    if (hot !== undefined) return [hot.entry];
    if (afterId >= this.#lastId) return [];
    return this.#readLog(afterId);
  }

  #readLog(afterId: number): SpoolEntry[] {
    const entries: SpoolEntry[] = [];
    let bytes = 0;
    for (const row of this.#readRows(afterId)) {
      if (entries.length > 0 && bytes > READ_BYTES_MAX) break;
      const decoded = row.intact ? decodeAfter(row.content, row.count, row.skip) : undefined;
      if (decoded === undefined) this.#noteSpoilt(row);
      const messages = decoded?.messages ?? [];
      const { id, timeMs: arrivedMs, clockDifferenceMs } = row;
      const corrupt = decoded ? 0 : row.count - row.skip;
      const contentBytes = row.content.length;
      const isLate = row.stream >= LATE_STREAMS;
      entries.push({ id, bytes: contentBytes, arrivedMs, clockDifferenceMs, messages, corrupt, isLate });
      bytes += weighContent(contentBytes, messages.length);
    }
    return entries;
  }

  /**
   * Deletes what no target needs (the contents from `firstId` to `lastId`, both included, of each range, in ascending
   * order), and keeps values, all or nothing; `isDurable`: so that no power cut takes it back. Throws what the log throws.
   */
  release(
    ranges: readonly Range[],
    values: ReadonlyMap<string, string> = new Map(),
    isDurable = false,
  ): void {
    const work = () => {
      for (const [firstId, lastId] of ranges) this.#log.deleteBetween(firstId, lastId);
      for (const [name, value] of values) this.#log.setValue(name, value);
    };
    if (isDurable) this.#log.writeDurably(work);
    else this.#log.write(work);
    let at = 0;
    for (const [id, { bytes }] of this.#hot) {
      while (at < ranges.length && (ranges[at]?.[1] ?? 0) < id) at++;
      const range = ranges[at];
      if (range === undefined) break;
      if (id < range[0]) continue;
      this.#hot.delete(id);
      this.#hotBytes -= bytes;
    }
  }

  /** Bytes that it holds beyond its limit. */
  get excessBytes(): number {
    return Math.max(0, this.#log.bytes - this.#bytesMax);
  }

  /** True when the disk did not give back what is there when it was last asked. */
  get hasReadFault(): boolean {
    return this.#fault !== undefined;
  }

  /** Throws what a read() met, once. */
  throwReadFault(): void {
    const fault = this.#fault;
    this.#fault = undefined;
    if (fault !== undefined) throw fault;
  }

  /** The oldest contents that arrived before `beforeMs`, to be booked as lost and then released. */
  olderThan(beforeMs: number): SpoolEntry[] {
    const last = this.#log.oldest(READ_ROWS, Number.MAX_SAFE_INTEGER, beforeMs);
    return last === undefined ? [] : this.read(0).filter(({ id }) => id <= last);
  }

  /** Gives space that a drained backlog has left back to the disk. */
  rest(): void {
    this.#log.rest?.();
  }

  #noteSpoilt(row: ReadRow): void {
    if (this.#spoilt.has(row.id) || this.#spoilt.size >= SPOILT_MAX) return;
    this.#spoilt.add(row.id);
    this.#onSpoilt(row);
  }

  /** A disk that does not give back what is there holds the targets up; it is no reason to end the agent. */
  #readRows(afterId: number): ReadRow[] {
    try {
      const rows = this.#log.read(afterId, READ_ROWS);
      this.#fault = undefined;
      return rows;
    } catch (error) {
      this.#fault = error;
      return [];
    }
  }

  close(): void {
    this.#log.close();
  }

  #saveRetired(retired: ReadonlySet<bigint>): void {
    for (const id of retired.difference(this.#keptRetired))
      this.#log.setValue(`link.retired.${id.toString(16)}`, "");
    for (const id of this.#keptRetired.difference(retired))
      this.#log.deleteValue(`link.retired.${id.toString(16)}`);
  }

  #saveLinkState(state: LinkState): void {
    if (state.journalId === undefined) return;
    const journalId = state.journalId.toString(16);
    if (this.#log.value("link.journal_id") !== journalId) {
      // Another journal counts its streams from 0 again: what was expected of the old one must not be taken for it.
      for (const prefix of ["link.expected.", "link.since."])
        for (const stream of this.#log.values(prefix).keys()) this.#log.deleteValue(prefix + stream);
      this.#log.deleteValue("link.ledger_base");
      this.#log.setValue("link.journal_id", journalId);
    }
    this.#log.setValue("link.epoch", state.epoch.toString(16));
    for (const [stream, next] of state.expected) this.#log.setValue(`link.expected.${stream}`, String(next));
    this.#saveSince(state);
    const base = state.ledgerBase?.toString();
    if (base !== undefined && base !== this.#log.value("link.ledger_base"))
      this.#log.setValue("link.ledger_base", base);
    // Only when a journal has replaced another: the list may be long, and this runs with every turn.
    if (state.journalId !== this.#keptJournalId) this.#saveRetired(state.retired);
    for (const [name, gap] of state.gaps.changes()) {
      if (gap === undefined) this.#log.deleteValue(`gap.${name}`);
      else this.#log.setValue(`gap.${name}`, JSON.stringify(gap));
    }
  }

  /** It changes once in the life of a journal. */
  #saveSince({ since, isSinceKnown }: LinkState): void {
    const known = isSinceKnown ? "1" : "0";
    if (known === "1" && this.#log.value("link.since_known") === "1") return;
    this.#log.setValue("link.since_known", known);
    for (const [stream, first] of since) this.#log.setValue(`link.since.${stream}`, String(first));
  }

  #coolDown(): void {
    for (const [id, item] of this.#hot) {
      if (this.#hotBytes <= HOT_BYTES_MAX) return;
      this.#hot.delete(id);
      this.#hotBytes -= item.bytes;
    }
  }
}

/** With its messages alone, so that a row whose content is lost still tells how many there were. */
function withoutSkips(row: Omit<NewContent, "messages">, messages: readonly Message[]): typeof row {
  if (messages.length === row.count - row.skip) return row;
  const writer = new ContentWriter();
  for (const message of messages) writer.addMessage(message);
  return { ...row, count: messages.length, skip: 0, content: writer.take() };
}

/** The open gaps that a log holds. */
export function readGaps(log: BlockLog): OpenGap[] {
  return [...log.values("gap.").values()].map((text) => {
    const { before, after, ...gap } = JSON.parse(text) as OpenGap;
    return { ...gap, before, after };
  });
}
