// Waits for something to become true, by asking again and again until a deadline. There is no other wait in
// the tests: a fixed sleep is either too short on a slow machine or too long on a fast one.

const PAUSE_MS = 10;

/**
 * The first value of `probe` that is neither undefined nor false. Throws after the deadline, naming what was
 * awaited and what `explain` adds (a log's tail, say).
 */
export async function waitFor<Value>(
  what: string,
  deadlineMs: number,
  probe: () => Value | undefined | false | Promise<Value | undefined | false>,
  explain: () => string = () => "",
): Promise<Value> {
  const giveUpAtMs = performance.now() + deadlineMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > giveUpAtMs)
      throw new Error(`waited ${deadlineMs} ms in vain for ${what}\n${explain()}`);
    await Bun.sleep(PAUSE_MS);
  }
}
