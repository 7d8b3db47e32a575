// Whether bytes are one whole zstd frame [RFC 8878, section 3.1.1], from its magic number to its last block or checksum. A decoder of
// zstd takes frames that are cut, several of them, and skippable ones; the wire has exactly one. What is in the blocks is
// the decoder's to judge.

const MAGIC = 0xfd2fb528;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

export function isOneFrame(bytes: Uint8Array): boolean {
  if (bytes.length < 5) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== MAGIC) return false;
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  let at = 5 + (DICTIONARY_ID_BYTES[descriptor & 3] as number) + (CONTENT_SIZE_BYTES[sizeFlag] as number);
  // Without a window there is a size, of one byte at least: either is one byte.
  if (!isSingleSegment || sizeFlag === 0) at += 1;
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) return false;
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    last = (header & 1) === 1;
    const type = (header >> 1) & 3;
    if (type === BLOCK_RESERVED) return false;
    at += 3 + (type === BLOCK_RLE ? 1 : header >> 3);
  }
  const hasChecksum = (descriptor & 4) !== 0;
  return at + (hasChecksum ? 4 : 0) === bytes.length;
}
