// Tells which rows a salvaged log lacks, and which sequences they had: ids are given without a hole, so that a hole
// in them is a row that was lost, or one that was deleted from between others on purpose; the rows of its stream on either side tell its sequences. Refuses to list more
// ranges than MISSING_MAX; those beyond are in the count of rows.
import type { Database } from "bun:sqlite";
import type { Repair } from "./block-log.ts";
import { countInHoles } from "./holes.ts";

const MISSING_MAX = 20;
/** A hole that an earlier salvage left on purpose. */
const JUMP_MIN = 1_000_000;

type Seen = { readonly end: number; readonly missingBefore: number };

/** `holes` is the value of that name. */
export function countMissing(
  db: Database,
  holes: string | undefined,
): Pick<Repair, "missing" | "rowsMissing"> {
  const missing: { stream: number; first: number; count: number }[] = [];
  const seen = new Map<number, Seen>();
  let rowsMissing = 0;
  let lastId: number | undefined;
  const rows = db.query<{ id: number; stream: number; first: number; end: number }, []>(
    "SELECT id, stream, first, first + count AS end FROM block ORDER BY id",
  );
  for (const { id, stream, first, end } of rows.iterate()) {
    const hole = lastId === undefined ? 0 : id - lastId - 1;
    if (hole > 0 && hole < JUMP_MIN) rowsMissing += hole - countInHoles(holes, id - hole, id - 1);
    lastId = id;
    const before = seen.get(stream);
    if (
      before !== undefined &&
      before.missingBefore < rowsMissing &&
      first > before.end &&
      missing.length < MISSING_MAX
    ) {
      missing.push({ stream, first: before.end, count: first - before.end });
    }
    seen.set(stream, { end, missingBefore: rowsMissing });
  }
  return { missing, rowsMissing };
}
