// Whether bytes are one whole zstd frame [RFC 8878, section 3.1.1], from its magic number to its last block or checksum. A decoder of
// zstd takes frames that are cut, several of them, and skippable ones; the wire has exactly one. What is in the blocks is
// the decoder's to judge.

const MAGIC = 0xfd2fb528;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

export type ZstdFrame = {
  /** Of what it holds, as its header says; undefined when that does not. */
  readonly contentBytes: number | undefined;
};

/** The frame that the bytes are; undefined when they are not one whole frame and nothing else. */
export function measureFrame(bytes: Uint8Array): ZstdFrame | undefined {
  if (bytes.length < 5) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  // Without a window there is a size, of one byte at least.
  const sizeBytes = isSingleSegment && sizeFlag === 0 ? 1 : (CONTENT_SIZE_BYTES[sizeFlag] as number);
  const sizeAt = 5 + (isSingleSegment ? 0 : 1) + (DICTIONARY_ID_BYTES[descriptor & 3] as number);
  let at = sizeAt + sizeBytes;
  if (at > bytes.length) return undefined;
  const contentBytes = readSize(view, sizeAt, sizeBytes);
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) return undefined;
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    last = (header & 1) === 1;
    const type = (header >> 1) & 3;
    if (type === BLOCK_RESERVED) return undefined;
    at += 3 + (type === BLOCK_RLE ? 1 : header >> 3);
  }
  const hasChecksum = (descriptor & 4) !== 0;
  return at + (hasChecksum ? 4 : 0) === bytes.length ? { contentBytes } : undefined;
}

function readSize(view: DataView, at: number, bytes: number): number | undefined {
  if (bytes === 1) return view.getUint8(at);
  // Sizes of two bytes begin where those of one end.
  if (bytes === 2) return view.getUint16(at, true) + 256;
  if (bytes === 4) return view.getUint32(at, true);
  return bytes === 8 ? Number(view.getBigUint64(at, true)) : undefined;
}
