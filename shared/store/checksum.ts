// Checksums of what a log holds, so that a flipped bit is noticed wherever it is: one number for a row, which says of
// the content and of the rest separately whether it is what was written; one for a value.
import { crc32 } from "node:zlib";
import type { LogRow, Place } from "./block-log.ts";
import { IN_DATABASE } from "./segments.ts";

/** All that the database says of a row, but for the checksum and the content. */
export type RowFacts = Omit<LogRow, "content"> & Place;

// 20 bits for the facts and 32 for the content fit into a whole number that JavaScript keeps exactly.
const CONTENT_RANGE = 0x1_0000_0000;
const FACTS_MASK = 0xfffff;

export function sumRow(row: LogRow, place: Place = IN_DATABASE): number {
  return sumFacts({ ...row, ...place }) * CONTENT_RANGE + crc32(row.content);
}

/** True when id, stream, sequences and times are those that the checksum was made for. */
export function areFactsIntact(row: RowFacts, checksum: number): boolean {
  return Math.floor(checksum / CONTENT_RANGE) === sumFacts(row);
}

export function isContentIntact(content: Uint8Array, checksum: number): boolean {
  return crc32(content) === checksum % CONTENT_RANGE;
}

export function sumValue(name: string, value: string, change: number): number {
  return crc32(`${name}\0${value}\0${change}`);
}

function sumFacts(row: RowFacts): number {
  const { id, stream, first, count, skip, timeMs, clockDifferenceMs, segment, at, bytes } = row;
  const own = `${id} ${stream} ${first} ${count} ${skip} ${timeMs} ${clockDifferenceMs}`;
  return crc32(segment === 0 ? own : `${own} ${segment} ${at} ${bytes}`) & FACTS_MASK;
}
