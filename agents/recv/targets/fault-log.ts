// What connections of a target do, as log lines: the same trouble of the same connection once a minute, not at each attempt; of
// many connections so many lines, and how many more there were.
import { type Logger, LogLimiter } from "../../../shared/log.ts";
import type { ConnectionFault } from "../../../shared/mqtt/explain.ts";

/** The same trouble is logged again after this time. */
const REPEAT_LOG_MS = 60_000;
/** Lines a minute about connections that were made, and as many about those that were lost. */
const LINES_MAX = 60;
/** A target with a connection for each device may have had many. */
const LABELS_MAX = 1000;

/** `steady` is a clock that only runs forward. */
export type FaultRim = { readonly log: Logger; steady(): number };

export class FaultLog {
  readonly #rim: FaultRim;
  readonly #limiter = new LogLimiter(REPEAT_LOG_MS, LINES_MAX);
  #lines = 0;
  readonly #told = new Map<string, { readonly sentence: string; readonly atMs: number }>();

  constructor(rim: FaultRim) {
    this.#rim = rim;
  }

  note(label: string, names: object, fault: ConnectionFault, retryMs: number): void {
    const now = this.#rim.steady();
    const last = this.#told.get(label);
    if (last?.sentence === fault.sentence && now - last.atMs < REPEAT_LOG_MS) return;
    this.#told.delete(label);
    this.#told.set(label, { sentence: fault.sentence, atMs: now });
    const [oldest] = this.#told.keys();
    if (this.#told.size > LABELS_MAX && oldest !== undefined) this.#told.delete(oldest);
    if (this.#isFull("lost")) return;
    this.#rim.log.warn({ ...names, fault: fault.id, code: fault.code, retryMs }, fault.sentence);
  }

  /** The next trouble is news again. */
  forget(label: string): void {
    this.#told.delete(label);
  }

  noteOnline(label: string, names: object): void {
    this.forget(label);
    if (!this.#isFull("made")) this.#rim.log.info(names, `${label} is connected`);
  }

  /** To be called often. */
  tick(names: { readonly target: string }): void {
    for (const [what, alike] of this.#limiter.heldBack(this.#rim.steady()))
      this.#rim.log.info(
        { ...names, alike },
        `target ${names.target}: ${alike} more connections were ${what}`,
      );
  }

  /** Devices and edge nodes are named by topics, so that there may be any number of them. */
  #isFull(what: "lost" | "made"): boolean {
    return this.#limiter.allow(String(this.#lines++), this.#rim.steady(), what) === undefined;
  }
}
