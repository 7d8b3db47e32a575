// Fake time: what is to happen, and when. Time jumps from one event to the next, so years of waiting cost nothing.
// Events of the same moment happen in the order in which they were asked for.
type Event = { readonly atMs: number; readonly order: number; readonly work: () => void; cancelled: boolean };
export type Timer = { cancelled: boolean };

export class Schedule {
  nowMs = 0;
  #heap: Event[] = [];
  #order = 0;

  after(delayMs: number, work: () => void): Timer {
    const event = { atMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, work, cancelled: false };
    this.#push(event);
    return event;
  }

  /** Calls `work` again and again; it ends when `work` returns false. */
  every(periodMs: number, work: () => boolean): void {
    this.after(periodMs, () => {
      if (work()) this.every(periodMs, work);
    });
  }

  /** Lets the next event happen if it is due by `untilMs`; false when there is none, and it is `untilMs` now. */
  step(untilMs: number): boolean {
    for (;;) {
      const event = this.#heap[0];
      if (event === undefined || event.atMs > untilMs) {
        this.nowMs = Math.max(this.nowMs, untilMs);
        return false;
      }
      this.#pop();
      if (event.cancelled) continue;
      this.nowMs = event.atMs;
      event.work();
      return true;
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
