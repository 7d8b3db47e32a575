// The open gaps of the journal that is followed: what was lost, and may still come by a repeat or a replay. Bounded: past
// GAPS_MAX the oldest is closed, and what comes for it later is refused like anything else that is over.

/** A range of sequences that was waited for in vain. */
export type OpenGap = {
  readonly stream: number;
  readonly first: number;
  /** One past the last. */
  readonly end: number;
  /** When it was declared, this host's clock. */
  readonly atMs: number;
  readonly reason: string;
  /** Topic of the last message before it and of the first behind it, where known. */
  readonly before: string | undefined;
  readonly after: string | undefined;
};

export type Filled = { readonly first: number; readonly end: number; readonly reason: string };

const GAPS_MAX = 10_000;
const TOPIC_CHARACTERS_MAX = 200;

export class GapBook {
  /** Sorted by first sequence in each stream. */
  readonly #streams = new Map<number, OpenGap[]>();
  readonly #changed = new Map<string, OpenGap | undefined>();
  #count = 0;
  #closed = 0;

  constructor(gaps: Iterable<OpenGap> = []) {
    for (const gap of gaps) this.#insert(gap);
  }

  get count(): number {
    return this.#count;
  }

  /** Sequences in open gaps. */
  get sequences(): number {
    let sum = 0;
    for (const gap of this.list()) sum += gap.end - gap.first;
    return sum;
  }

  /** Gaps that were closed because there were too many. */
  get closed(): number {
    return this.#closed;
  }

  *list(): Iterable<OpenGap> {
    for (const gaps of this.#streams.values()) yield* gaps;
  }

  add(gap: OpenGap): void {
    const before = gap.before?.slice(0, TOPIC_CHARACTERS_MAX);
    this.#change(undefined, { ...gap, before });
    if (this.#count <= GAPS_MAX) return;
    let oldest: OpenGap | undefined;
    for (const other of this.list()) if (oldest === undefined || other.atMs < oldest.atMs) oldest = other;
    this.#change(oldest, undefined);
    this.#closed++;
  }

  /** Names the first message that was delivered behind the newest gap of the stream. */
  noteAfter(stream: number, topic: string): void {
    const newest = this.#streams.get(stream)?.at(-1);
    if (newest === undefined || newest.after !== undefined) return;
    this.#change(newest, { ...newest, after: topic.slice(0, TOPIC_CHARACTERS_MAX) });
  }

  /** True when some sequence from `first` up to `end` (excluded) is in an open gap. */
  wants(stream: number, first: number, end: number): boolean {
    const gaps = this.#streams.get(stream);
    if (gaps === undefined) return false;
    const gap = gaps[this.#find(gaps, first)];
    return gap !== undefined && gap.first < end;
  }

  /** Takes the sequences out of the gaps they are in, and says which those are. */
  fill(stream: number, first: number, end: number): Filled[] {
    const filled: Filled[] = [];
    for (;;) {
      const gaps = this.#streams.get(stream) ?? [];
      const gap = gaps[this.#find(gaps, first)];
      if (gap === undefined || gap.first >= end) return filled;
      const range = { first: Math.max(first, gap.first), end: Math.min(end, gap.end), reason: gap.reason };
      filled.push(range);
      this.#change(gap, undefined);
      if (gap.first < range.first) this.#change(undefined, { ...gap, end: range.first });
      if (range.end < gap.end) this.#change(undefined, { ...gap, first: range.end });
    }
  }

  /** Forgets all: the journal is over. */
  clear(): void {
    for (const gap of [...this.list()]) this.#change(gap, undefined);
  }

  /** What has changed since the last noteKept(): name to gap, undefined for one that is gone. To be kept with the state. */
  changes(): ReadonlyMap<string, OpenGap | undefined> {
    return this.#changed;
  }

  /** What changes() gave is on the disk now. */
  noteKept(): void {
    this.#changed.clear();
  }

  #change(from: OpenGap | undefined, to: OpenGap | undefined): void {
    if (from !== undefined) {
      const gaps = this.#streams.get(from.stream) ?? [];
      gaps.splice(gaps.indexOf(from), 1);
      this.#count--;
      this.#changed.set(nameGap(from), undefined);
    }
    if (to === undefined) return;
    this.#insert(to);
    this.#changed.set(nameGap(to), to);
  }

  #insert(gap: OpenGap): void {
    const gaps = this.#streams.get(gap.stream) ?? [];
    this.#streams.set(gap.stream, gaps);
    gaps.splice(this.#find(gaps, gap.first), 0, gap);
    this.#count++;
  }

  /** Index of the first gap that ends after `sequence`. */
  #find(gaps: readonly OpenGap[], sequence: number): number {
    let low = 0;
    let high = gaps.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((gaps[middle]?.end ?? 0) <= sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function nameGap({ stream, first }: OpenGap): string {
  return `${stream}.${first}`;
}
