// A wall clock that steps do not reach: read once at the start, carried on by the clock that only runs forward. Ages of
// messages are differences of its times, and a clock that is set right, or wrong, while messages are under way must
// make none of them old before its time. What has to agree with the rest of the world (certificates, signatures) reads
// the wall clock itself.

/** Smaller deviations are the slewing of a time service, or jitter. */
const STEP_MS = 1000;

/** Milliseconds since 1970. `onStep` is told, once each, by how much the wall clock has gone away from it. */
export function createAnchoredClock(
  wall: () => number,
  steady: () => number,
  onStep: (deviationMs: number) => void,
): () => number {
  const anchorMs = wall() - steady();
  let toldMs = 0;
  return () => {
    const nowMs = Math.round(anchorMs + steady());
    const deviationMs = wall() - nowMs;
    if (Math.abs(deviationMs - toldMs) > STEP_MS) {
      toldMs = deviationMs;
      onStep(deviationMs);
    }
    return nowMs;
  };
}

/**
 * The same clock, read once in each turn of the event loop: all messages of one chunk of a socket come at one time, and reading
 * two clocks for each would cost as much as parsing it.
 */
export function holdForTurn(clock: () => number): () => number {
  let heldMs: number | undefined;
  const release = () => {
    heldMs = undefined;
  };
  return () => {
    if (heldMs !== undefined) return heldMs;
    queueMicrotask(release);
    heldMs = clock();
    return heldMs;
  };
}

/** For the log. */
export function describeStep(deviationMs: number): string {
  if (deviationMs === 0) return "the clock of this host is back where it was";
  const hours = (Math.abs(deviationMs) / 3_600_000).toFixed(2);
  const way = deviationMs > 0 ? "forward" : "back";
  return `the clock of this host was set ${way}, by ${hours} h since the start; messages keep their ages, and times go by the old clock until the agent is started again`;
}
