// The packets of a pcapng file [draft-ietf-opsawg-pcapng]: sections in either byte order, interfaces with their link types
// and clocks, enhanced and simple packet blocks. All other blocks are passed over.
// Refuses blocks whose lengths contradict one another, and more interfaces than a host has.
import type { ByteFile } from "./byte-file.ts";
import { PACKET_BYTES_MAX, type Packets } from "./captured-packet.ts";

const SECTION_HEADER = 0x0a0d0d0a;
const BYTE_ORDER = 0x1a2b3c4d;
const INTERFACE = 1;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const OPTION_TIME_RESOLUTION = 9;
const INTERFACES_MAX = 4096;
/** What an interface or packet block has beside the packet: fields, options, padding. */
const BLOCK_REST_BYTES = 65_536;

type Interface = { readonly linkType: number; readonly unitsPerSecond: bigint };
type Order = { isLittle: boolean };

/** The file's first 4 bytes, the type of the first section header, were read. */
export function* readPcapng(file: ByteFile): Packets {
  const order: Order = { isLittle: false };
  let interfaces: Interface[] = [];
  let type = SECTION_HEADER;
  for (let number = 1; ; ) {
    const at = file.position - 4;
    const rest = type === SECTION_HEADER ? readSectionStart(file, order) : readLength(file, order);
    if (typeof rest === "string") return `${rest} at byte ${at}`;
    if (type === SECTION_HEADER) interfaces = [];
    const isRead = type === INTERFACE || type === SIMPLE_PACKET || type === ENHANCED_PACKET;
    if (isRead && rest > PACKET_BYTES_MAX + BLOCK_REST_BYTES)
      return `is damaged at byte ${at}: a block of ${rest} bytes`;
    const body = isRead ? file.read(rest) : undefined;
    if (isRead ? body === undefined : !file.skip(rest)) return `is cut short in the block at byte ${at}`;
    if (file.read(4) === undefined) return `is cut short in the block at byte ${at}`;
    if (body !== undefined && type === INTERFACE) {
      if (interfaces.length === INTERFACES_MAX || body.length < 8) return `is damaged at byte ${at}`;
      interfaces.push(readInterface(body, order));
    } else if (body !== undefined) {
      const packet = readPacket(type, body, interfaces, order);
      if (packet === undefined) return `is damaged at byte ${at}, in packet ${number}`;
      number++;
      yield packet;
    }
    if (file.ended) return undefined;
    const next = file.read(4);
    if (next === undefined) return `is cut short at byte ${file.position}`;
    type = u32(next, 0, order);
  }
}

/** The bytes left of a section header, whose own fields tell the byte order. */
function readSectionStart(file: ByteFile, order: Order): number | string {
  const head = file.read(8);
  if (head === undefined) return "is cut short";
  if (head.readUInt32BE(4) === BYTE_ORDER) order.isLittle = false;
  else if (head.readUInt32LE(4) === BYTE_ORDER) order.isLittle = true;
  else return "is damaged";
  const length = u32(head, 0, order);
  return length < 28 || length % 4 !== 0 ? "is damaged" : length - 16;
}

function readLength(file: ByteFile, order: Order): number | string {
  const head = file.read(4);
  if (head === undefined) return "is cut short";
  const length = u32(head, 0, order);
  return length < 12 || length % 4 !== 0 ? "is damaged" : length - 12;
}

function readInterface(body: Buffer, order: Order): Interface {
  return { linkType: u16(body, 0, order), unitsPerSecond: readResolution(body, order) };
}

/** Time units in a second: a power of ten, or of two when the top bit is set; microseconds unless told. */
function readResolution(body: Buffer, order: Order): bigint {
  for (let at = 8; at + 4 <= body.length; ) {
    const code = u16(body, at, order);
    const size = u16(body, at + 2, order);
    if (code === 0) break;
    const value = code === OPTION_TIME_RESOLUTION && size === 1 ? body[at + 4] : undefined;
    if (value !== undefined) return (value & 0x80 ? 2n : 10n) ** BigInt(value & 0x7f);
    at += 4 + Math.ceil(size / 4) * 4;
  }
  return 1_000_000n;
}

function readPacket(type: number, body: Buffer, interfaces: readonly Interface[], order: Order) {
  if (type === SIMPLE_PACKET) {
    const [first] = interfaces;
    if (first === undefined || body.length < 4) return undefined;
    // Its captured size is not written down: the block's own, less padding, bounds it.
    const bytes = body.subarray(4, 4 + Math.min(u32(body, 0, order), body.length - 4));
    return { timeMs: undefined, linkType: first.linkType, bytes };
  }
  if (body.length < 20) return undefined;
  const from = interfaces[u32(body, 0, order)];
  const size = u32(body, 12, order);
  if (from === undefined || size > body.length - 20) return undefined;
  // Nanoseconds since 1970 do not fit a number.
  const units = (BigInt(u32(body, 4, order)) << 32n) | BigInt(u32(body, 8, order));
  const rest = Number(units % from.unitsPerSecond) / Number(from.unitsPerSecond);
  const timeMs = (Number(units / from.unitsPerSecond) + rest) * 1000;
  return { timeMs, linkType: from.linkType, bytes: body.subarray(20, 20 + size) };
}

function u16(bytes: Buffer, at: number, { isLittle }: Order): number {
  return isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
}

function u32(bytes: Buffer, at: number, { isLittle }: Order): number {
  return isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
}
