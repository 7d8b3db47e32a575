// When each edge node and device is sent across anew: soon after it was born or has died, and from then on at its own moment of
// every period, so that they are spread over it. Pure; as large as the book of edge nodes, which is bounded.

export type SnapshotKey = {
  readonly group: string;
  readonly node: string;
  readonly device: string | undefined;
};

/** An edge node tells of itself and of its devices in one go: they are collected for so long. */
const SETTLE_MS = 100;

type Entry = SnapshotKey & { dueMs: number };

export class SnapshotPlan {
  readonly #periodMs: number;
  readonly #entries = new Map<string, Entry>();

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** It has changed, or is new. */
  hurry(key: SnapshotKey, nowMs: number): void {
    const name = nameOf(key);
    const known = this.#entries.get(name);
    const dueMs = nowMs + SETTLE_MS;
    if (known === undefined) this.#entries.set(name, { ...key, dueMs });
    else known.dueMs = Math.min(known.dueMs, dueMs);
  }

  /** What is due, the longest overdue first. */
  listDue(nowMs: number): SnapshotKey[] {
    const due = [...this.#entries.values()].filter(({ dueMs }) => dueMs <= nowMs);
    return due.sort((a, b) => a.dueMs - b.dueMs);
  }

  /** It was sent; it comes again within a period, at a moment that its name decides. */
  noteSent(key: SnapshotKey, nowMs: number): void {
    const entry = this.#entries.get(nameOf(key));
    if (entry === undefined) return;
    const phaseMs = (hash(nameOf(key)) / 0x1_0000_0000) * this.#periodMs;
    const sinceMs = (nowMs + this.#periodMs - phaseMs) % this.#periodMs;
    entry.dueMs = nowMs + this.#periodMs - sinceMs;
  }

  forget(key: SnapshotKey): void {
    this.#entries.delete(nameOf(key));
  }
}

function nameOf({ group, node, device }: SnapshotKey): string {
  return device === undefined ? `${group}/${node}` : `${group}/${node}/${device}`;
}

/** 32 bits (FNV-1a). */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return value >>> 0;
}
