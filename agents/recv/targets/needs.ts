// Which contents of the spool nobody needs any more, from what each target needs. Pure.

export type Range = readonly [firstId: number, lastId: number];

/** The ranges between those that are needed, which may overlap and come in any order; what follows the last is not one. */
export function findUnneeded(needed: readonly Range[]): Range[] {
  const unneeded: Range[] = [];
  let next = 1;
  for (const [firstId, lastId] of needed.toSorted(([a], [b]) => a - b)) {
    if (firstId > next) unneeded.push([next, firstId - 1]);
    next = Math.max(next, lastId + 1);
  }
  return unneeded;
}
