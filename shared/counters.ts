// Named counters: whole numbers that only grow. A name is words joined by "/", e.g. "lost/oversize",
// because the names that people configure may hold dots.

export class Counters {
  readonly #values = new Map<string, number>();
  readonly #changed = new Set<string>();

  add(name: string, count = 1): void {
    this.#values.set(name, (this.#values.get(name) ?? 0) + count);
    this.#changed.add(name);
  }

  get(name: string): number {
    return this.#values.get(name) ?? 0;
  }

  /** Restores what an earlier run had counted. */
  set(name: string, value: number): void {
    this.#values.set(name, value);
  }

  /** Those that have changed since the last noteKept(): what a log still has to keep. */
  changes(): ReadonlyMap<string, number> {
    return new Map([...this.#changed].map((name) => [name, this.get(name)]));
  }

  /** What changes() gave is kept now. */
  noteKept(): void {
    this.#changed.clear();
  }

  entries(): ReadonlyMap<string, number> {
    return this.#values;
  }

  /** Those whose name begins with `prefix` and a slash, without it: {"oversize": 3} for prefix "lost". */
  group(prefix: string): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [name, value] of this.#values) {
      if (name.startsWith(`${prefix}/`)) out[name.slice(prefix.length + 1)] = value;
    }
    return out;
  }

  /** Sum of a group. */
  total(prefix: string): number {
    let sum = 0;
    for (const [name, value] of this.#values) if (name.startsWith(`${prefix}/`)) sum += value;
    return sum;
  }
}
