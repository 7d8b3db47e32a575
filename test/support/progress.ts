// Waits for as long as something goes forward. How long that takes depends on what else the machine does; that nothing
// at all happens while those who should act have been asked again and again does not.

/** Times that `measure` must find nothing new before it counts as a standstill. */
const STANDSTILL_PROBES = 400;
const PAUSE_MS = 50;

/**
 * Resolves when `probe` is true. Throws at a standstill: `measure` asks those who should act (so each answer shows that
 * they have had their turn) and gives what only changes when there is progress.
 */
export async function waitWhileProgress(
  what: string,
  probe: () => boolean | Promise<boolean>,
  measure: () => Promise<string>,
  explain: () => string = () => "",
): Promise<void> {
  let last = "";
  for (let still = 0; still < STANDSTILL_PROBES; still++) {
    if (await probe()) return;
    const now = await measure();
    if (now !== last) still = 0;
    last = now;
    await Bun.sleep(PAUSE_MS);
  }
  throw new Error(`nothing moves any more before ${what}: ${last}\n${explain()}`);
}
