// Finds rows and values in the pages of a damaged log, used and unused ones alike, and believes only what its checksum
// vouches for. A row that was deleted may turn up again, as it was; of a value the newest version counts.
import type { LogRow } from "./block-log.ts";
import { type Cell, readCells, readField, readPayload, readSlots } from "./cells.ts";
import { areFactsIntact, isContentIntact, type RowFacts, sumValue } from "./checksum.ts";
import type { PageFiles } from "./pages.ts";

export type FoundRow = { readonly row: LogRow; readonly checksum: number; readonly isWhole: boolean };
export type FoundValue = { readonly name: string; readonly value: string; readonly change: number };

const ROW_FIELDS = 9;
const VALUE_FIELDS = 4;
const NOTHING = new Uint8Array(0);

/** A row that comes whole is given once; without its content, as often as a page has it. */
export function scanPages(
  files: PageFiles,
  onRow: (found: FoundRow) => void,
  onValue: (found: FoundValue) => void,
): void {
  // A page that changed often is many times in the write-ahead log, with the same rows.
  const whole = new Set<number>();
  for (const { number, bytes } of files.all()) {
    for (const cell of readCells(bytes, number)) {
      if (cell.kind === "table") {
        const found = whole.has(cell.rowid) ? undefined : readRow(files, cell);
        if (found === undefined) continue;
        if (found.isWhole) whole.add(cell.rowid);
        onRow(found);
      } else {
        const found = readValue(files, cell);
        if (found !== undefined) onValue(found);
      }
    }
  }
}

function readRow(files: PageFiles, cell: Cell): FoundRow | undefined {
  const slots = readSlots(cell.local, ROW_FIELDS);
  if (slots === undefined) return undefined;
  const numbers = slots.slice(1, 8).map((slot) => readField(cell.local, slot));
  if (!numbers.every((field) => typeof field === "number")) return undefined;
  const [stream = 0, first = 0, count = 0, skip = 0, timeMs = 0, clockDifferenceMs = 0, checksum = 0] =
    numbers;
  const facts: RowFacts = { id: cell.rowid, stream, first, count, skip, timeMs, clockDifferenceMs };
  if (!areFactsIntact(facts, checksum)) return undefined;
  for (const older of [false, true]) {
    const payload = readPayload(files, cell, older);
    const content = payload === undefined ? undefined : readField(payload, slots[8]);
    if (Buffer.isBuffer(content) && isContentIntact(content, checksum))
      return { row: { ...facts, content }, checksum, isWhole: true };
  }
  return { row: { ...facts, content: NOTHING }, checksum, isWhole: false };
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
