import { describe, expect, test } from "bun:test";
import { constants, zstdCompressSync } from "node:zlib";
import { Compressor, compressContent, decompressContent } from "../../../../shared/framing/compression.ts";
import { measureFrame } from "../../../../shared/framing/zstd-frame.ts";
import { Random } from "../fec/random.ts";

const { ZSTD_c_checksumFlag, ZSTD_c_contentSizeFlag, ZSTD_c_compressionLevel } = constants;

/** Some that compress well, some that do not, and in between. */
function makeContent(random: Random, bytes: number, alphabet: number): Uint8Array {
  return random.bytes(bytes).map((byte) => byte % alphabet);
}

const SIZES = [0, 1, 5, 255, 256, 300, 65_791, 65_792, 131_072, 400_000];
const SETTINGS = [
  {},
  { [ZSTD_c_checksumFlag]: 1 },
  { [ZSTD_c_contentSizeFlag]: 0 },
  { [ZSTD_c_compressionLevel]: 19, [ZSTD_c_checksumFlag]: 1 },
];

describe("decompressContent()", () => {
  test("takes every whole frame, of any size, header and kind of block", () => {
    const random = new Random(1);
    for (const bytes of SIZES) {
      for (const alphabet of [1, 2, 16, 256]) {
        for (const params of SETTINGS) {
          const content = makeContent(random, bytes, alphabet);
          const frame = zstdCompressSync(content, { params });
          const says = params[ZSTD_c_contentSizeFlag] !== 0;
          expect(measureFrame(frame)).toEqual({ contentBytes: says ? bytes : undefined });
          expect(Buffer.from(decompressContent(frame, 1_000_000) ?? "none").equals(content)).toBe(true);
        }
      }
    }
  });

  test("refuses a frame that is cut at any byte or has anything behind it", () => {
    const random = new Random(2);
    for (const params of SETTINGS) {
      const frame = zstdCompressSync(makeContent(random, 700, 20), { params });
      for (let end = 0; end < frame.length; end++)
        expect(decompressContent(frame.subarray(0, end), 10_000)).toBeUndefined();
      for (const more of [Buffer.alloc(1), frame, Buffer.from("502a4d1800000000", "hex")])
        expect(decompressContent(Buffer.concat([frame, more]), 10_000)).toBeUndefined();
    }
  });

  test("refuses a frame that holds more or less than it says, without room for what it says", () => {
    const frame = Buffer.from(zstdCompressSync(makeContent(new Random(5), 3000, 4)));
    const at = frame.readUInt16LE(5) === 3000 - 256 ? 5 : 6;
    expect(frame.readUInt16LE(at)).toBe(3000 - 256);
    for (const said of [1, 2000, 2999, 3001, 60_000]) {
      const lie = Buffer.from(frame);
      lie.writeUInt16LE(said, at);
      expect(decompressContent(lie, 100_000)).toBeUndefined();
    }
    expect(decompressContent(frame, 2999)).toBeUndefined();
    expect(decompressContent(frame, 3000)).toHaveLength(3000);
  });

  test("never throws on bytes of any kind", () => {
    const random = new Random(3);
    for (let round = 0; round < 20_000; round++) {
      const bytes = random.bytes(random.below(60));
      bytes.set([0x28, 0xb5, 0x2f, 0xfd].slice(0, bytes.length));
      expect(decompressContent(bytes, 1000)?.length ?? 0).toBeLessThanOrEqual(1000);
    }
  });

  test("gives back what compressContent() made", () => {
    const content = makeContent(new Random(4), 50_000, 7);
    const compressed = compressContent(content);
    expect(Buffer.from(decompressContent(compressed ?? content, 50_000) ?? "none").equals(content)).toBe(
      true,
    );
    expect(decompressContent(compressed ?? content, 49_999)).toBeUndefined();
  });
});

describe("Compressor.compress()", () => {
  const random = new Random(9);
  /** Random bytes and so many zeros: about that share is saved. */
  const makeSaving = (share: number) =>
    Buffer.concat([random.bytes(Math.round(40_000 * (1 - share))), Buffer.alloc(Math.round(40_000 * share))]);

  test("takes a sixteenth where the link is scarce, and no less than a quarter where it is not", () => {
    const tenth = makeSaving(0.1);
    const third = makeSaving(0.33);
    expect(new Compressor().compress(tenth, true)?.length).toBeLessThan(37_000);
    expect(new Compressor().compress(tenth, false)).toBeUndefined();
    expect(new Compressor().compress(third, false)?.length).toBeLessThan(28_000);
    expect(new Compressor().compress(makeSaving(0.03), true)).toBeUndefined();
  });

  test("lets ever more contents pass after failures, and tries anew as soon as the link becomes scarce", () => {
    const compressor = new Compressor();
    const [tenth, half] = [makeSaving(0.1), makeSaving(0.5)];
    const tries = (count: number, content: Uint8Array, isScarce: boolean) =>
      Array.from({ length: count }, () => compressor.compress(content, isScarce) !== undefined);
    expect(compressor.compress(tenth, false)).toBeUndefined();
    expect(tries(3, half, false)).toEqual([false, false, true]);
    for (let round = 0; round < 300; round++) compressor.compress(tenth, false);
    expect(tries(20, half, false)).not.toContain(true);
    expect(tries(3, tenth, true)).toEqual([true, true, true]);
    expect(tries(2, half, false)).toEqual([true, true]);
  });
});
