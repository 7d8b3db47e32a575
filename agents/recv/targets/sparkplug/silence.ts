// Whether the link has been away for so long that nobody can say who is alive over there. Pure; the time is an argument.
// As long as what came before is still being told, after an outage of the broker, edge nodes live on: it is their voice.

export class Silence {
  readonly #afterMs: number;
  #awaySinceMs: number | undefined;

  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /** `linkState` as the health of the link has it; `lastTakenMs` is when the last message was taken from the spool. */
  tick(linkState: string, lastTakenMs: number, steadyMs: number): boolean {
    const isAway = linkState === "down" || linkState === "waiting";
    if (!isAway) this.#awaySinceMs = undefined;
    else this.#awaySinceMs ??= steadyMs;
    if (this.#awaySinceMs === undefined) return false;
    return steadyMs - Math.max(this.#awaySinceMs, lastTakenMs) >= this.#afterMs;
  }
}
