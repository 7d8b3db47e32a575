// Addresses that are shut out for a while after they failed to log in too often. IPv6 addresses count by their /64, because whoever
// has one has all of it. Bounded: beyond the limit the oldest entry goes.
const ENTRIES_MAX = 65_536;

export type BanOptions = {
  /** 0: nobody is banned. */
  readonly failuresMax: number;
  readonly windowMs: number;
  readonly banMs: number;
};

type Entry = { failures: number; sinceMs: number; bannedUntilMs: number };

export class Bans {
  readonly #options: BanOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: BanOptions) {
    this.#options = options;
  }

  isBanned(address: string, nowMs: number): boolean {
    const entry = this.#entries.get(groupOf(address));
    return entry !== undefined && entry.bannedUntilMs > nowMs;
  }

  /** How many addresses are shut out. */
  count(nowMs: number): number {
    let count = 0;
    for (const { bannedUntilMs } of this.#entries.values()) if (bannedUntilMs > nowMs) count++;
    return count;
  }

  /** True when this failure is the one that bans. */
  fail(address: string, nowMs: number): boolean {
    const { failuresMax, windowMs, banMs } = this.#options;
    if (failuresMax === 0) return false;
    const group = groupOf(address);
    let entry = this.#entries.get(group);
    if (entry === undefined || nowMs - entry.sinceMs > windowMs) {
      entry = { failures: 0, sinceMs: nowMs, bannedUntilMs: entry?.bannedUntilMs ?? 0 };
      this.#entries.delete(group);
      if (this.#entries.size >= ENTRIES_MAX) {
        for (const oldest of this.#entries.keys()) {
          this.#entries.delete(oldest);
          break;
        }
      }
      this.#entries.set(group, entry);
    }
    if (++entry.failures < failuresMax || entry.bannedUntilMs > nowMs) return false;
    entry.failures = 0;
    entry.bannedUntilMs = nowMs + banMs;
    return true;
  }
}

/** The address, or the first half of an IPv6 one; an IPv4 address in IPv6 clothes is an IPv4 address. */
export function groupOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("%")[0]?.split("::") ?? [];
  const words = (text: string) => (text === "" ? [] : text.split(":"));
  const front = words(head);
  const back = tail === undefined ? [] : words(tail);
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  const all = [...front, ...Array<string>(zeros).fill("0"), ...back];
  return all
    .slice(0, 4)
    .map((word) => Number.parseInt(word, 16).toString(16))
    .join(":");
}
