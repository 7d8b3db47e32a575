// All that a target has still to get, as lanes in the order of the spool: the backlog's first, the live one last.
// Kept as text beside the counters, so that after any crash the target goes on where it was, in each of them.
import type { Spool, SpoolEntry } from "../spool.ts";
import { Lane } from "./lane.ts";
import type { Settlement } from "./outcome.ts";

/** Past this many, what was held while the target was away stays in front of the live traffic. */
const LANES_MAX = 500;

export class Lanes {
  readonly #spool: Spool;
  readonly #book: (settlement: Settlement) => void;
  #lanes: Lane[];

  /** `text` is what an earlier run has kept. */
  constructor(spool: Spool, book: (settlement: Settlement) => void, text: string) {
    this.#spool = spool;
    this.#book = book;
    this.#lanes = this.#parse(text);
  }

  get all(): readonly Lane[] {
    return this.#lanes;
  }

  get live(): Lane {
    return this.#lanes.at(-1) as Lane;
  }

  /** The lane that holds the oldest message that has not been handled; undefined when there is none. */
  get oldest(): Lane | undefined {
    return this.#lanes.find((lane) => lane.peek() !== undefined);
  }

  /** All that the spool has had is settled; a disk that gives nothing back at the moment does not make it so. */
  get isSettled(): boolean {
    const { lastId } = this.#spool;
    return this.#lanes.every(({ settledId, endId }) => settledId >= Math.min(endId, lastId));
  }

  get inFlight(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.inFlight, 0);
  }

  /** What is held now becomes backlog, so that what comes from now on has a lane of its own. */
  setAside(): void {
    const { live } = this;
    const { lastId } = this.#spool;
    if (live.freshId > lastId || this.#lanes.length >= LANES_MAX) return;
    this.#split(lastId);
  }

  /** Forgets lanes that are done. */
  tidy(): void {
    if (this.#lanes.length > 1) this.#lanes = this.#lanes.filter((lane) => !lane.isDone);
  }

  /** Gives up what is left up to this content; how many of its messages were not settled. */
  drop(entry: SpoolEntry): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.drop(entry), 0);
  }

  /** Gives up the newest content that has not been handled; undefined when there is none, else its messages. */
  giveUpNewest(): number | undefined {
    const { lastId } = this.#spool;
    const lane = this.#lanes.findLast(
      (lane) =>
        lane.freshId <= Math.min(lane.endId, lastId) &&
        (lane !== this.live || this.#lanes.length < LANES_MAX),
    );
    if (lane === undefined) return undefined;
    const id = Math.min(lane.endId, lastId);
    const [entry] = this.#spool.read(id - 1);
    if (lane === this.live) this.#split(id - 1);
    else lane.end(id - 1);
    this.tidy();
    return entry?.id === id ? entry.messages.length + entry.corrupt : 0;
  }

  /** The text that the constructor takes. */
  format(): string {
    return this.#lanes.map(({ cursor: { id, index }, endId }) => formatLane(id, index, endId)).join(",");
  }

  #split(endId: number): void {
    this.live.end(endId);
    this.#lanes.push(new Lane(this.#spool, this.#book, { id: this.#spool.lastId, index: 0 }));
  }

  #parse(text: string): Lane[] {
    return text.split(",").map((part) => {
      const [cursor = "", endId] = part.split("-");
      const [id, index] = cursor.split(":");
      const start = { id: Number(id), index: Number(index) };
      return new Lane(this.#spool, this.#book, start, endId === undefined ? undefined : Number(endId));
    });
  }
}

/** For a target that is to get what comes after this content. */
export function formatStart(id: number): string {
  return formatLane(id, 0);
}

/** `id:index-end`, without the end for the live lane, which is the last. */
function formatLane(id: number, index: number, endId = Number.POSITIVE_INFINITY): string {
  return endId === Number.POSITIVE_INFINITY ? `${id}:${index}` : `${id}:${index}-${endId}`;
}
