// All that a target has still to get, as lanes in the order of the spool: the backlog's first, the live one last.
// Kept as text beside the counters, so that after any crash the target goes on where it was, in each of them.
import type { Spool, SpoolEntry } from "../spool.ts";
import { type Flight, Lane } from "./lane.ts";
import type { TargetOutcome } from "./outcome.ts";

/** Past this many, what was held while the target was away stays in front of the live traffic. */
const LANES_MAX = 500;

export class Lanes {
  readonly #spool: Spool;
  readonly #onPassed: (flight: Flight) => void;
  #lanes: Lane[];

  /**
   * `text` is what an earlier run has kept; undefined: nothing of what the spool has now is to be sent, unless the
   * cursor may be lost.
   */
  constructor(spool: Spool, text: string | undefined, onPassed: (flight: Flight) => void) {
    this.#spool = spool;
    this.#onPassed = onPassed;
    const start = formatLane(spool.hasLostCursors ? 0 : spool.lastId, 0);
    this.#lanes = parseLanes(spool, text ?? start, onPassed);
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

  get inFlight(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.inFlight, 0);
  }

  /** What is held now becomes backlog, so that what comes from now on has a lane of its own. */
  setAside(): void {
    const { live } = this;
    const { lastId } = this.#spool;
    if (live.freshId > lastId) return;
    const before = this.#lanes.at(-2);
    if (before !== undefined && live.isUntouchedSince(before.endId)) {
      // A broker that comes and goes while nothing is read of what is new: still one backlog.
      before.end(lastId);
      this.#lanes[this.#lanes.length - 1] = this.#makeLive();
    } else if (this.#lanes.length < LANES_MAX) this.#split(lastId);
  }

  /** Forgets lanes that are done. */
  tidy(): void {
    if (this.#lanes.length > 1) this.#lanes = this.#lanes.filter((lane) => !lane.isDone);
  }

  /** Gives up what is left up to this content; how many of its messages were not settled. */
  drop(entry: SpoolEntry, outcome: TargetOutcome): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.drop(entry, outcome), 0);
  }

  /** Gives up the newest content that has not been handled; undefined when there is none, else what that was. */
  giveUpNewest(): { readonly messages: number; readonly bytes: number } | undefined {
    const { lastId } = this.#spool;
    const lane = this.#lanes.findLast(
      (lane) =>
        lane.freshId <= Math.min(lane.endId, lastId) &&
        (lane !== this.live || this.#lanes.length < LANES_MAX),
    );
    if (lane === undefined) return undefined;
    const id = Math.min(lane.endId, lastId);
    const [entry] = this.#spool.read(id - 1);
    if (this.#spool.hasReadFault) return undefined;
    if (lane === this.live) this.#split(id - 1);
    else lane.end(id - 1);
    this.tidy();
    return entry?.id === id
      ? { messages: entry.messages.length + entry.corrupt, bytes: entry.bytes }
      : { messages: 0, bytes: 0 };
  }

  /** The text that the constructor takes. */
  format(): string {
    return this.#lanes.map(({ cursor: { id, index }, endId }) => formatLane(id, index, endId)).join(",");
  }

  #split(endId: number): void {
    this.live.end(endId);
    this.#lanes.push(this.#makeLive());
  }

  #makeLive(): Lane {
    return new Lane(this.#spool, { id: this.#spool.lastId, index: 0 }, this.#onPassed);
  }
}

/** `id:index-end`, without the end for the live lane, which is the last. */
function formatLane(id: number, index: number, endId = Number.POSITIVE_INFINITY): string {
  return endId === Number.POSITIVE_INFINITY ? `${id}:${index}` : `${id}:${index}-${endId}`;
}

function parseLanes(spool: Spool, text: string, onPassed: (flight: Flight) => void): Lane[] {
  return text.split(",").map((part) => {
    const [cursor = "", endId] = part.split("-");
    const [id, index] = cursor.split(":");
    return new Lane(
      spool,
      { id: Number(id), index: Number(index) },
      onPassed,
      endId === undefined ? undefined : Number(endId),
    );
  });
}
