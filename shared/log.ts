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

/** Lets one line of a kind through per `everyMs`, and says how many were held back since. */
export class LogLimiter {
  readonly #everyMs: number;
  readonly #last = new Map<string, { atMs: number; held: number }>();

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** The number of lines held back when this one may be written, undefined when it may not. */
  allow(kind: string, nowMs: number): number | undefined {
    const last = this.#last.get(kind);
    if (last !== undefined && nowMs - last.atMs < this.#everyMs) {
      last.held++;
      return undefined;
    }
    // Topics are part of some kinds, and of those there may be any number: the memory of them is bounded.
    if (this.#last.size > 1000) this.#last.clear();
    this.#last.set(kind, { atMs: nowMs, held: 0 });
    return last?.held ?? 0;
  }
}
