// The targets' books as the receiver's disk has them after any transaction, against the rows that are on it: whatever a
// start from this disk would hold must be there, and nothing may be in no book. Reads the cursors with code of its own.
import type { DiskState } from "./disk-state.ts";

type Lane = { readonly id: number; readonly index: number; readonly endId: number };

/** True when a target with these cursors has still to get message `index` of row `row`. */
export function isNeeded(cursors: string, row: number, index: number): boolean {
  return readLanes(cursors).some(
    (lane) =>
      row <= lane.endId && (row > lane.id || (row === lane.id && lane.index > 0 && index >= lane.index)),
  );
}

/** Why the books of a target do not balance; undefined when they do, or when there are none yet. */
export function findImbalance({ values, rows }: DiskState, target: string): string | undefined {
  const prefix = `target.${target}/`;
  const cursors = values.get(`${prefix}cursor`);
  if (cursors === undefined) return undefined;
  let booked = 0;
  for (const [name, value] of values) {
    if (name.startsWith(`${prefix}counter/`)) booked += Number(value);
  }
  const accepted =
    Number(values.get("counter.link/accepted") ?? 0) - Number(values.get(`${prefix}base`) ?? 0);
  const again = (JSON.parse(values.get(`${prefix}letters`) ?? '{"again":[]}') as { again: unknown[] }).again;
  const lanes = readLanes(cursors);
  let held = 0;
  let at = 0;
  for (const { id, count, skip } of rows) {
    while (at < lanes.length && id > (lanes[at]?.endId ?? 0)) at++;
    const lane = lanes[at];
    if (lane === undefined) break;
    if (id > lane.id) held += count - skip;
    else if (id === lane.id && lane.index > 0) held += count - skip - lane.index;
  }
  if (accepted === booked + held + again.length) return undefined;
  return `accepted ${accepted}, booked ${booked}, ${held} in rows, ${again.length} letters again (cursors ${cursors})`;
}

function readLanes(cursors: string): Lane[] {
  return cursors.split(",").map((text) => {
    const [, id, index, endId] = /^(\d+):(\d+)(?:-(\d+))?$/.exec(text) ?? [];
    return {
      id: Number(id),
      index: Number(index),
      endId: endId === undefined ? Number.POSITIVE_INFINITY : Number(endId),
    };
  });
}
