// How each path does, while the link as a whole may be fine: what it brought, what of it was new, what the sender says it has put on
// it and is not here, and whether it is silent while others are not. Pure: time is an argument. It looks at datagrams
// before they are authenticated, so that forged ones can make a path look better than it is; they change nothing else.
import { decodeHeader, KIND_HEARTBEAT } from "../../../shared/framing/header.ts";
import type { Heartbeat } from "../../../shared/framing/heartbeat.ts";

export type WatchedPath = { readonly name: string; readonly silentAfterMs: number };

/** Heartbeats whose arrival on each path is remembered, until the slowest path has brought it, too. */
const HEARTBEATS_MAX = 64;

type Seen = {
  /** Datagrams so far. */
  datagrams: number;
  lastMs: number | undefined;
  silent: boolean;
  /** Heartbeat (run and block) to the datagrams that had come by this path before it. */
  readonly before: Map<string, number>;
  /** What the sender had put on the path and was not here, at the first heartbeat of this run. */
  base: number | undefined;
  missing: number | undefined;
};

export class PathWatch {
  readonly #paths: readonly WatchedPath[];
  readonly #seen: readonly Seen[];
  readonly #startedMs: number;
  /** Heartbeat (run and block) to what the sender had put on each path before it, by name. */
  readonly #sent = new Map<string, ReadonlyMap<string, number>>();
  #epoch: bigint | undefined;

  constructor(paths: readonly WatchedPath[], nowMs: number) {
    this.#paths = paths;
    this.#startedMs = nowMs;
    this.#seen = paths.map(() => ({
      datagrams: 0,
      lastMs: undefined,
      silent: false,
      before: new Map(),
      base: undefined,
      missing: undefined,
    }));
  }

  /** A datagram has come by path number `path`. */
  note(path: number, datagram: Buffer, nowMs: number): void {
    const seen = this.#seen[path];
    if (seen === undefined) return;
    if (datagram[1] === KIND_HEARTBEAT) this.#noteHeartbeat(path, seen, datagram);
    seen.datagrams++;
    seen.lastMs = nowMs;
  }

  /** A heartbeat is whole: it was block number `block` of the sender's run `epoch`. */
  heartbeat(epoch: bigint, block: number, { sections }: Heartbeat): void {
    // A new run counts from 0.
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#sent.clear();
      for (const seen of this.#seen) {
        seen.base = undefined;
        seen.missing = undefined;
      }
    }
    const sent = new Map<string, number>();
    for (const { type, name, counters } of sections) {
      if (type === "path") sent.set(name, counters.get("datagrams") ?? 0);
    }
    const key = `${epoch}/${block}`;
    remember(this.#sent, key, sent);
    for (let path = 0; path < this.#seen.length; path++) this.#compare(path, key);
  }

  /** Datagrams that the sender has put on this path since its first heartbeat and that have not come; undefined while unknown. */
  missing(path: number): number | undefined {
    return this.#seen[path]?.missing;
  }

  /** Milliseconds since something came by this path; undefined before the first. */
  silentMs(path: number, nowMs: number): number | undefined {
    const last = this.#seen[path]?.lastMs;
    return last === undefined ? undefined : Math.max(0, nowMs - last);
  }

  isSilent(path: number): boolean {
    return this.#seen[path]?.silent ?? false;
  }

  /** Paths that have fallen silent, or have come back, since the last call. */
  tick(nowMs: number): { readonly path: number; readonly silent: boolean; readonly silentMs: number }[] {
    const changes: { path: number; silent: boolean; silentMs: number }[] = [];
    for (const [path, seen] of this.#seen.entries()) {
      const { silentAfterMs = 0 } = this.#paths[path] ?? {};
      const silentMs = nowMs - (seen.lastMs ?? this.#startedMs);
      const isQuiet = silentMs >= silentAfterMs;
      // A path is only called silent while another brings something: otherwise it is the sender, or the link, that is.
      const others = this.#seen.some(
        (other) => other !== seen && other.lastMs !== undefined && nowMs - other.lastMs < silentAfterMs,
      );
      const silent = isQuiet && (seen.silent || others);
      if (silent === seen.silent) continue;
      seen.silent = silent;
      changes.push({ path, silent, silentMs });
    }
    return changes;
  }

  #noteHeartbeat(path: number, seen: Seen, datagram: Buffer): void {
    const header = decodeHeader(datagram);
    if (typeof header === "string") return;
    const key = `${header.epoch}/${header.block}`;
    if (seen.before.has(key)) return;
    remember(seen.before, key, seen.datagrams);
    this.#compare(path, key);
  }

  /**
   * The sender's counter was read when the heartbeat was made, and heartbeats go in front: what it has counted was on
   * this path before the heartbeat was. So the two counts meet exactly, whatever the delay of the path.
   */
  #compare(path: number, key: string): void {
    const seen = this.#seen[path];
    const name = this.#paths[path]?.name ?? "";
    const sent = this.#sent.get(key)?.get(name);
    const arrived = seen?.before.get(key);
    if (seen === undefined || sent === undefined || arrived === undefined) return;
    const lacking = sent - arrived;
    seen.base ??= lacking;
    seen.missing = Math.max(0, lacking - seen.base);
  }
}

/** Keeps the latest few. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  if (map.size <= HEARTBEATS_MAX) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
