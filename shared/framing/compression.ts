// zstd [RFC 8878] around a whole content, where it pays. Decompression is bounded before it begins: a small datagram
// can never become a huge buffer.
import { zstdDecompressSync } from "node:zlib";
import { measureFrame } from "./zstd-frame.ts";

/** Smaller contents gain nothing worth the time. */
const COMPRESS_BYTES_MIN = 200;
/**
 * Up to here the runtime unpacks in one go, into as much memory as the frame says, and refuses one that holds more. From 16 MiB on it
 * lets the content grow and looks at what the frame says at the end.
 */
const AT_ONCE_BYTES_MAX = 8 * 1024 * 1024;
const LEVEL = { level: 1 };

/** What a content must lose to be worth it: a sixteenth where the link is what holds it up, a quarter where it is the processors. */
const SHARE_SCARCE = 1 / 16;
const SHARE_FREE = 1 / 4;

/** The compressed content when it is at least that share smaller, a sixteenth unless told. */
export function compressContent(content: Uint8Array, share = SHARE_SCARCE): Uint8Array | undefined {
  if (content.length < COMPRESS_BYTES_MIN) return undefined;
  const compressed = Bun.zstdCompressSync(content, LEVEL);
  return compressed.length <= content.length * (1 - share) ? compressed : undefined;
}

/** The content, or undefined when it is not one whole zstd frame or would be larger than `bytesMax`. */
export function decompressContent(compressed: Uint8Array, bytesMax: number): Uint8Array | undefined {
  const frame = measureFrame(compressed);
  if (frame === undefined || (frame.contentBytes ?? 0) > bytesMax) return undefined;
  try {
    if (frame.contentBytes !== undefined && frame.contentBytes <= AT_ONCE_BYTES_MAX)
      return Bun.zstdDecompressSync(compressed);
    return zstdDecompressSync(compressed, { maxOutputLength: bytesMax });
  } catch {
    return undefined;
  }
}

/** Tries to compress only as often as it pays: after failures it lets ever more contents pass, up to 64. */
export class Compressor {
  #pass = 0;
  #failures = 0;
  #wasScarce = false;

  /** `isScarce` while the link is slower than what it gets. */
  compress(content: Uint8Array, isScarce: boolean): Uint8Array | undefined {
    // What did not pay while the link had time may pay now.
    if (isScarce && !this.#wasScarce) this.#pass = this.#failures = 0;
    this.#wasScarce = isScarce;
    if (this.#pass > 0) {
      this.#pass--;
      return undefined;
    }
    const compressed = compressContent(content, isScarce ? SHARE_SCARCE : SHARE_FREE);
    if (compressed !== undefined) this.#failures = 0;
    else if (content.length >= COMPRESS_BYTES_MIN) {
      this.#failures = Math.min(this.#failures + 1, 6);
      this.#pass = 2 ** this.#failures;
    }
    return compressed;
  }
}
