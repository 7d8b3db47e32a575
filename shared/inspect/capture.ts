// The packets of a capture file: pcap [draft-ietf-opsawg-pcap] in both byte orders, microseconds and nanoseconds, and
// pcapng. A file that is cut short or damaged gives the packets before that place and then says where it is.
// Refuses packets larger than any capture program writes.
import type { ByteFile } from "./byte-file.ts";
import { PACKET_BYTES_MAX, type Packets } from "./captured-packet.ts";
import { readPcapng } from "./pcapng.ts";

const PCAPNG_MAGIC = 0x0a0d0d0a;
/** As the first 4 bytes read big-endian: byte order, and fractions of a millisecond. */
const MAGICS = new Map([
  [0xa1b2c3d4, { isLittle: false, fractionsPerMs: 1000 }],
  [0xd4c3b2a1, { isLittle: true, fractionsPerMs: 1000 }],
  [0xa1b23c4d, { isLittle: false, fractionsPerMs: 1_000_000 }],
  [0x4d3cb2a1, { isLittle: true, fractionsPerMs: 1_000_000 }],
]);

export function isCapture(magic: number): boolean {
  return magic === PCAPNG_MAGIC || MAGICS.has(magic);
}

/** `magic` is what was read as the file's first 4 bytes, big-endian. */
export function readCapture(file: ByteFile, magic: number): Packets {
  return magic === PCAPNG_MAGIC ? readPcapng(file) : readPcap(file, magic);
}

function* readPcap(file: ByteFile, magic: number): Packets {
  const { isLittle = false, fractionsPerMs = 1000 } = MAGICS.get(magic) ?? {};
  const u32 = (bytes: Buffer, at: number) => (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const head = file.read(20);
  if (head === undefined) return "is cut short in its header";
  // The upper bits of the link type tell of check sums behind the packets.
  const linkType = u32(head, 16) & 0xffff;
  for (let number = 1; !file.ended; number++) {
    const at = file.position;
    const record = file.read(16);
    if (record === undefined) return `is cut short in packet ${number}, at byte ${at}`;
    const size = u32(record, 8);
    if (size > PACKET_BYTES_MAX)
      return `is damaged at byte ${at}: packet ${number} says it has ${size} bytes`;
    const bytes = file.read(size);
    if (bytes === undefined) return `is cut short in packet ${number}, at byte ${at}`;
    yield { timeMs: u32(record, 0) * 1000 + u32(record, 4) / fractionsPerMs, linkType, bytes };
  }
  return undefined;
}
