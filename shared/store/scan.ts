// Finds rows and values in the pages of a damaged log, used and unused ones alike, and believes only what its checksum
// vouches for. A row that was deleted may turn up again, as it was; of a value the newest version counts.
import type { LogRow, Place } from "./block-log.ts";
import { type Cell, readCells, readField, readPayload, readSlots, type Slot } from "./cells.ts";
import { areFactsIntact, isContentIntact, sumValue } from "./checksum.ts";
import type { PageFiles } from "./pages.ts";
import type { ContentSource } from "./segment-reader.ts";
import { IN_DATABASE } from "./segments.ts";

export type FoundRow = {
  readonly row: LogRow;
  readonly place: Place;
  readonly checksum: number;
  readonly isWhole: boolean;
};
export type FoundValue = { readonly name: string; readonly value: string; readonly change: number };

const ROW_FIELDS = 12;
/** Of rows that were written in format 2, without a place. */
const ROW_FIELDS_BEFORE = 9;
/** Of the index that has all of a row but its content. */
const INDEX_FIELDS = 11;
const VALUE_FIELDS = 4;
const NOTHING = new Uint8Array(0);

/** A row that comes whole is given once; without its content, as often as a page has it. */
export function scanPages(
  files: PageFiles,
  contents: ContentSource,
  onRow: (found: FoundRow) => void,
  onValue: (found: FoundValue) => void,
): void {
  // A page that changed often is many times in the write-ahead log, with the same rows.
  const whole = new Set<number>();
  for (const { number, bytes } of files.all()) {
    for (const cell of readCells(bytes, number)) {
      const value = cell.kind === "index" ? readValue(files, cell) : undefined;
      if (value !== undefined) onValue(value);
      else if (cell.kind === "table" && whole.has(cell.rowid)) continue;
      else {
        const found = cell.kind === "table" ? readRow(files, contents, cell) : readEntry(contents, cell);
        if (found === undefined || whole.has(found.row.id)) continue;
        if (found.isWhole) whole.add(found.row.id);
        onRow(found);
      }
    }
  }
}

function readRow(files: PageFiles, contents: ContentSource, cell: Cell): FoundRow | undefined {
  const slots = readSlots(cell.local, ROW_FIELDS) ?? readSlots(cell.local, ROW_FIELDS_BEFORE);
  if (slots === undefined) return undefined;
  const numbers = slots.slice(1, 8).map((slot) => readField(cell.local, slot));
  if (!numbers.every((field) => typeof field === "number")) return undefined;
  const [stream = 0, first = 0, count = 0, skip = 0, timeMs = 0, clockDifferenceMs = 0, checksum = 0] =
    numbers;
  const place = readPlace(cell, slots.slice(9));
  const own = { id: cell.rowid, stream, first, count, skip, timeMs, clockDifferenceMs };
  if (place === undefined || !areFactsIntact({ ...own, ...place }, checksum)) return undefined;
  if (place.segment > 0) {
    const content = contents.read(place);
    const isWhole = content !== undefined && isContentIntact(content, checksum);
    return { row: { ...own, content: NOTHING }, place, checksum, isWhole };
  }
  for (const older of [false, true]) {
    const payload = readPayload(files, cell, older);
    const content = payload === undefined ? undefined : readField(payload, slots[8]);
    if (Buffer.isBuffer(content) && isContentIntact(content, checksum))
      return { row: { ...own, content }, place, checksum, isWhole: true };
  }
  return { row: { ...own, content: NOTHING }, place, checksum, isWhole: false };
}

/**
 * An entry of the index, which has a content only when that lies in a segment. One whose segment is gone was deleted, and
 * is on a page that is not used any more.
 */
function readEntry(contents: ContentSource, cell: Cell): FoundRow | undefined {
  const slots = readSlots(cell.local, INDEX_FIELDS);
  const numbers = slots?.map((slot) => readField(cell.local, slot));
  if (numbers === undefined || !numbers.every((field) => typeof field === "number")) return undefined;
  const [stream = 0, first = 0, count = 0, skip = 0, timeMs = 0, clockDifferenceMs = 0, checksum = 0] =
    numbers;
  const [segment = 0, at = 0, bytes = 0, id = 0] = numbers.slice(7);
  const own = { id, stream, first, count, skip, timeMs, clockDifferenceMs };
  const place = { segment, at, bytes };
  if (!areFactsIntact({ ...own, ...place }, checksum)) return undefined;
  const content = segment > 0 ? contents.read(place) : undefined;
  if (segment > 0 && content === undefined) return undefined;
  const isWhole = content !== undefined && isContentIntact(content, checksum);
  return { row: { ...own, content: NOTHING }, place, checksum, isWhole };
}

function readPlace(cell: Cell, slots: readonly Slot[]): Place | undefined {
  if (slots.length === 0) return IN_DATABASE;
  const [segment, at, bytes] = slots.map((slot) => readField(cell.local, slot));
  if (typeof segment !== "number" || typeof at !== "number" || typeof bytes !== "number") return undefined;
  return { segment, at, bytes };
}

function readValue(files: PageFiles, cell: Cell): FoundValue | undefined {
  for (const older of [false, true]) {
    const payload = readPayload(files, cell, older);
    const slots = payload === undefined ? undefined : readSlots(payload, VALUE_FIELDS);
    if (payload === undefined || slots === undefined) continue;
    const [name, value, change, checksum] = slots.map((slot) => readField(payload, slot));
    if (!Buffer.isBuffer(name) || !Buffer.isBuffer(value) || typeof change !== "number") continue;
    const found = { name: name.toString(), value: value.toString(), change };
    if (sumValue(found.name, found.value, change) === checksum) return found;
  }
  return undefined;
}
