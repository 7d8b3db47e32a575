// Cells of a page of a b-tree, and the records in them, read without trust: a page that is something else has no cells,
// a record that does not fit is undefined. File format: sqlite.org/fileformat2.html, sections 1.6 and 2.1.
import type { PageFiles } from "./pages.ts";
import { PAGE_BYTES } from "./schema.ts";

const LEAF_OF_TABLE = 0x0d;
const LEAF_OF_INDEX = 0x0a;
const INNER_OF_INDEX = 0x02;
const FILE_HEADER_BYTES = 100;
/** How much of a record may lie in the page itself. */
const TABLE_LOCAL_MAX = PAGE_BYTES - 35;
const INDEX_LOCAL_MAX = Math.floor(((PAGE_BYTES - 12) * 64) / 255) - 23;
const LOCAL_MIN = Math.floor(((PAGE_BYTES - 12) * 32) / 255) - 23;
const OVERFLOW_BYTES = PAGE_BYTES - 4;

export type Cell = {
  readonly kind: "table" | "index";
  /** 0 in an index. */
  readonly rowid: number;
  readonly payloadBytes: number;
  /** What of it lies in the page. */
  readonly local: Buffer;
  /** The page where the rest begins; 0 when there is none. */
  readonly overflow: number;
};

export type Field = number | Buffer | undefined;
/** A field's place: of what type it is, and where it begins. */
export type Slot = { readonly type: number; readonly at: number };

export function* readCells(page: Buffer, number: number): Iterable<Cell> {
  const start = number === 1 ? FILE_HEADER_BYTES : 0;
  const type = page.readUInt8(start);
  if (type !== LEAF_OF_TABLE && type !== LEAF_OF_INDEX && type !== INNER_OF_INDEX) return;
  const pointers = start + (type === INNER_OF_INDEX ? 12 : 8);
  const count = page.readUInt16BE(start + 3);
  for (let at = pointers; at < pointers + count * 2 && at + 2 <= PAGE_BYTES; at += 2) {
    const cell = readCell(page, page.readUInt16BE(at) + (type === INNER_OF_INDEX ? 4 : 0), type);
    if (cell !== undefined) yield cell;
  }
}

function readCell(page: Buffer, from: number, type: number): Cell | undefined {
  const size = readVarint(page, from);
  if (size === undefined || size.value === 0) return undefined;
  const isTable = type === LEAF_OF_TABLE;
  const rowid = isTable ? readVarint(page, size.end) : { value: 0, end: size.end };
  if (rowid === undefined) return undefined;
  const payloadBytes = size.value;
  const localMax = isTable ? TABLE_LOCAL_MAX : INDEX_LOCAL_MAX;
  const spilled = LOCAL_MIN + ((payloadBytes - LOCAL_MIN) % OVERFLOW_BYTES);
  const localBytes = payloadBytes <= localMax ? payloadBytes : spilled <= localMax ? spilled : LOCAL_MIN;
  const end = rowid.end + localBytes;
  const hasOverflow = localBytes < payloadBytes;
  if (end + (hasOverflow ? 4 : 0) > PAGE_BYTES) return undefined;
  return {
    kind: isTable ? "table" : "index",
    rowid: rowid.value,
    payloadBytes,
    local: page.subarray(rowid.end, end),
    overflow: hasOverflow ? page.readUInt32BE(end) : 0,
  };
}

/** The whole payload of a cell; undefined when its chain of pages breaks off. */
export function readPayload(files: PageFiles, cell: Cell, older: boolean): Buffer | undefined {
  if (cell.payloadBytes > files.size) return undefined;
  const payload = Buffer.alloc(cell.payloadBytes);
  let filled = cell.local.copy(payload);
  for (let next = cell.overflow; filled < payload.length; ) {
    if (next === 0) return undefined;
    const page = files.read(next, older);
    filled += page.copy(payload, filled, 4);
    next = page.readUInt32BE(0);
  }
  return payload;
}

/** The places of the fields of a record [section 2.1]; undefined when their number is not `count`. */
export function readSlots(payload: Buffer, count: number): Slot[] | undefined {
  const header = readVarint(payload, 0);
  if (header === undefined || header.value > payload.length) return undefined;
  const slots: Slot[] = [];
  let at = header.value;
  for (let from = header.end; from < header.value; ) {
    const type = readVarint(payload, from);
    if (type === undefined || slots.length === count) return undefined;
    slots.push({ type: type.value, at });
    at += fieldBytes(type.value);
    from = type.end;
  }
  return slots.length === count ? slots : undefined;
}

/** A field: a whole number, or the bytes of a text or blob; undefined when it is neither, or not all there. */
export function readField(payload: Buffer, slot: Slot | undefined): Field {
  if (slot === undefined) return undefined;
  const { type, at } = slot;
  if (type === 8 || type === 9) return type - 8;
  if (type === 0 || type === 7) return undefined;
  const length = fieldBytes(type);
  if (at + length > payload.length) return undefined;
  if (type >= 12) return payload.subarray(at, at + length);
  return type === 6 ? Number(payload.readBigInt64BE(at)) : payload.readIntBE(at, length);
}

function fieldBytes(type: number): number {
  if (type >= 12) return Math.floor((type - 12) / 2);
  return [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0][type] ?? 0;
}

function readVarint(bytes: Buffer, from: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let index = 0; index < 9; index++) {
    const byte = bytes[from + index];
    if (byte === undefined) return undefined;
    if (index === 8) return { value: value * 256 + byte, end: from + 9 };
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return { value, end: from + index + 1 };
  }
  return undefined;
}
