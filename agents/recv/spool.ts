// The spool: what came over the link, in order, until every target is done with it; the link's state and the targets'
// cursors change in the same file, so that after any crash they still agree.
// Bounded in bytes: past the limit the oldest contents go, and each target that had not read them books its loss.
import { decodeContent, type Frame } from "../../shared/framing/content.ts";
import type { Message } from "../../shared/message.ts";
import type { BlockLog } from "../../shared/store/block-log.ts";
import { GapBook, type OpenGap } from "./link/gaps.ts";
import { emptyLinkState, type LinkState } from "./link/session.ts";

/** Decoded contents kept for the targets that are up to date. */
const HOT_BYTES_MAX = 16 * 1024 * 1024;
const READ_ROWS = 32;

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
  readonly arrivedMs: number;
  /** Add to a message's acceptedMs to get this host's clock. */
  readonly clockDifferenceMs: number;
  readonly messages: readonly Message[];
  readonly corrupt: number;
};

/** The messages of the frames from sequence offset `skip` on. */
export function messagesAfter(frames: readonly Frame[], skip: number): Message[] {
  const messages: Message[] = [];
  let at = 0;
  for (const frame of frames) {
    if (frame.type === "message" && at >= skip) messages.push(frame.message);
    at += frame.type === "message" ? 1 : frame.count;
  }
  return messages;
}

export class Spool {
  readonly #log: BlockLog;
  readonly #bytesMax: number;
  readonly #hot = new Map<number, { entry: SpoolEntry; bytes: number }>();
  #hotBytes = 0;
  #lastId: number;

  constructor(log: BlockLog, bytesMax: number) {
    this.#log = log;
    this.#bytesMax = bytesMax;
    this.#lastId = log.lastId;
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
    for (const id of this.#log.values("link.retired.").keys()) state.retired.add(BigInt(`0x${id}`));
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
        const id = this.#log.append({ ...row, timeMs: nowMs, clockDifferenceMs });
        const entry = { id, arrivedMs: nowMs, clockDifferenceMs, messages, corrupt: 0 };
        hot.push({ entry, bytes: row.content.length });
      }
      this.#saveLinkState(state);
      for (const [name, value] of values) this.#log.setValue(name, value);
    });
    for (const item of hot) {
      this.#hot.set(item.entry.id, item);
      this.#hotBytes += item.bytes;
      this.#lastId = item.entry.id;
    }
    this.#coolDown();
  }

  /** Keeps values alone. Throws what the log throws. */
  save(values: ReadonlyMap<string, string>): void {
    this.#log.write(() => {
      for (const [name, value] of values) this.#log.setValue(name, value);
    });
  }

  /** The contents after `id`, at least one when there is one. */
  read(afterId: number): SpoolEntry[] {
    const hot = this.#hot.get(afterId + 1);
    if (hot !== undefined) return [hot.entry];
    if (afterId >= this.#lastId) return [];
    return this.#log.read(afterId, READ_ROWS).map((row) => {
      const frames = row.intact ? decodeContent(row.content, row.count) : undefined;
      const messages = frames ? messagesAfter(frames, row.skip) : [];
      const { id, timeMs: arrivedMs, clockDifferenceMs } = row;
      return { id, arrivedMs, clockDifferenceMs, messages, corrupt: frames ? 0 : row.count - row.skip };
    });
  }

  /** Deletes what no target needs: the contents from `firstId` to `lastId`, both included, of each range. */
  release(ranges: readonly (readonly [firstId: number, lastId: number])[]): void {
    this.#log.write(() => {
      for (const [firstId, lastId] of ranges) this.#log.deleteBetween(firstId, lastId);
    });
  }

  /** True while it holds more than its limit. */
  get isOver(): boolean {
    return this.#log.bytes > this.#bytesMax;
  }

  close(): void {
    this.#log.close();
  }

  #saveLinkState(state: LinkState): void {
    if (state.journalId === undefined) return;
    this.#log.setValue("link.journal_id", state.journalId.toString(16));
    this.#log.setValue("link.epoch", state.epoch.toString(16));
    for (const [stream, next] of state.expected) this.#log.setValue(`link.expected.${stream}`, String(next));
    for (const id of state.retired) this.#log.setValue(`link.retired.${id.toString(16)}`, "");
    for (const [name, gap] of state.gaps.takeChanges()) {
      if (gap === undefined) this.#log.deleteValue(`gap.${name}`);
      else this.#log.setValue(`gap.${name}`, JSON.stringify(gap));
    }
  }

  #coolDown(): void {
    for (const [id, item] of this.#hot) {
      if (this.#hotBytes <= HOT_BYTES_MAX) return;
      this.#hot.delete(id);
      this.#hotBytes -= item.bytes;
    }
  }
}

/** The open gaps that a log holds. */
export function readGaps(log: BlockLog): OpenGap[] {
  return [...log.values("gap.").values()].map((text) => {
    const { before, after, ...gap } = JSON.parse(text) as OpenGap;
    return { ...gap, before, after };
  });
}
