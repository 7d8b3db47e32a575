// The log: JSON lines by pino, to standard error or a file, written before the call returns, so that the last line
// before a crash is there. Never a payload, never a secret.
import pino, { type Logger } from "pino";

export type { Logger };

export function createLog(options: { agent: string; level: string; file: string | undefined }): Logger {
  // A worker thread as transport does not work inside a compiled executable: the destination is in this process.
  const destination = pino.destination({ dest: options.file ?? 2, sync: true, mkdir: false });
  return pino(
    {
      level: options.level,
      base: { agent: options.agent },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}

/** For what is tried on the side, whose outcome is told otherwise. */
export function createSilentLog(): Logger {
  return pino({ level: "silent" });
}

/** Kinds of one group that may have a line each, in the time of the limiter. */
const KINDS_MAX = 10;

type Kind = { atMs: number; held: number };
type Group = { startMs: number; lines: number; held: number; due: number; readonly kinds: Map<string, Kind> };

/**
 * Lets one line of a kind through per `everyMs`, and says how many were held back since. Kinds that others make up (topics,
 * addresses) belong to a group, of which only `kindsMax` get a line: nobody fills the log by making up more.
 */
export class LogLimiter {
  readonly #everyMs: number;
  readonly #kindsMax: number;
  readonly #groups = new Map<string, Group>();

  constructor(everyMs: number, kindsMax = KINDS_MAX) {
    this.#everyMs = everyMs;
    this.#kindsMax = kindsMax;
  }

  /** The number of lines held back when this one may be written, undefined when it may not. */
  allow(kind: string, nowMs: number, groupName = kind): number | undefined {
    const group = this.#enter(groupName, nowMs);
    const known = group.kinds.get(kind);
    if (known !== undefined && nowMs - known.atMs < this.#everyMs) {
      known.held++;
      return undefined;
    }
    if (group.lines >= this.#kindsMax) {
      group.held++;
      return undefined;
    }
    group.lines++;
    group.kinds.delete(kind);
    group.kinds.set(kind, { atMs: nowMs, held: 0 });
    this.#forget(group);
    return known?.held ?? 0;
  }

  /** What groups held back because of their number, once their time is over; to be called now and then, for a last line. */
  *heldBack(nowMs: number): Iterable<readonly [group: string, held: number]> {
    for (const [name, group] of this.#groups) {
      if (nowMs - group.startMs >= this.#everyMs) settle(group);
      if (group.due > 0) yield [name, group.due];
      group.due = 0;
    }
  }

  #enter(name: string, nowMs: number): Group {
    const known = this.#groups.get(name);
    const group = known ?? { startMs: nowMs, lines: 0, held: 0, due: 0, kinds: new Map<string, Kind>() };
    if (known === undefined) this.#groups.set(name, group);
    else if (nowMs - group.startMs >= this.#everyMs) {
      settle(group);
      group.startMs = nowMs;
      group.lines = 0;
    }
    return group;
  }

  /** Of kinds that do not come again only their number is kept. */
  #forget(group: Group): void {
    const [oldest] = group.kinds;
    if (group.kinds.size <= 2 * this.#kindsMax || oldest === undefined) return;
    group.held += oldest[1].held;
    group.kinds.delete(oldest[0]);
  }
}

/** Its time is over. */
function settle(group: Group): void {
  group.due += group.held;
  group.held = 0;
}
