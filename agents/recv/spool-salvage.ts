// What becomes of a spool's values after its file was damaged: nothing may be skipped because a cursor is gone, and
// nothing delivered twice because a gap looks open again. Works on the salvaged file before that takes the old one's place.
import type { BlockLog, Repair } from "../../shared/store/block-log.ts";

/** Set: rows were lost, and each target books what it lacks when it has come to the end of the spool. */
export const DAMAGED = "damaged";
/** Set: a target without a cursor is not a new one: it begins at the oldest row. */
export const CURSORS_LOST = "cursors_lost";
/** Up to which dead letter the counters of the targets know of them. */
export const LETTERS_MARK = "dead_letters/mark";

export function adoptSpool(log: BlockLog, { rowsMissing, valuesComplete }: Repair): void {
  if (valuesComplete && rowsMissing === 0) return;
  log.write(() => {
    log.setValue(DAMAGED, "1");
    if (valuesComplete) return;
    log.setValue(CURSORS_LOST, "1");
    // An old mark would have letters forgotten that the counters know of: better to have one twice.
    log.deleteValue(LETTERS_MARK);
    // Older versions of values may have come back: a gap that was filled since must not be filled again.
    for (const name of log.values("gap.").keys()) log.deleteValue(`gap.${name}`);
  });
}
