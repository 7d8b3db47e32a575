// Rows that were deleted from between others, as the log's user keeps them in a value, so that a salvage does not take
// them for lost. Reads its own writing only: what it does not understand is no hole.

/** Name of the value. */
export const HOLES = "log.holes";

type Range = readonly [firstId: number, lastId: number];

/** Of the ranges of deleted ids, in ascending order, those that have rows before them. */
export function formatHoles(deleted: readonly Range[]): string {
  return deleted
    .filter(([firstId]) => firstId > 1)
    .map(([firstId, lastId]) => `${firstId}-${lastId}`)
    .join(",");
}

/** How many of the ids from `firstId` to `lastId` were deleted on purpose. */
export function countInHoles(text: string | undefined, firstId: number, lastId: number): number {
  let count = 0;
  for (const [, from, to] of (text ?? "").matchAll(/(\d+)-(\d+)/g))
    count += Math.max(0, Math.min(Number(to), lastId) - Math.max(Number(from), firstId) + 1);
  return count;
}
