import { describe, expect, test } from "bun:test";
import { decodeBlock, encodeBlock, pieceBytesMax, splitContent } from "../../../../shared/framing/block.ts";

describe("splitContent() and encodeBlock()", () => {
  test("every content comes back from its blocks, whatever its size", () => {
    for (const size of [1, 25, 1000, 1343, 1344, 5000, 50_000, 260_000]) {
      const content = Buffer.alloc(size, "abcdefg");
      const blocks = splitContent(5, 3, content, pieceBytesMax(1348, 100));
      const pieces = blocks.map((block) => {
        const { bytes, sourceSymbols } = encodeBlock(block, 1348);
        expect(bytes.length % sourceSymbols).toBe(0);
        expect(bytes.length / sourceSymbols).toBeLessThanOrEqual(1348);
        const decoded = decodeBlock(bytes);
        expect(decoded).toEqual({ ...block, piece: Buffer.from(block.piece) });
        return decoded?.piece ?? Buffer.alloc(0);
      });
      expect(Buffer.concat(pieces).equals(content)).toBe(true);
    }
  });
});

describe("decodeBlock()", () => {
  const { bytes } = encodeBlock(
    {
      first: 9,
      count: 2,
      part: 0,
      parts: 1,
      compressed: false,
      contentBytes: 30,
      piece: Buffer.alloc(30, 1),
    },
    40,
  );

  test("refuses a block cut at any byte of its content", () => {
    for (let end = 0; end < 55; end++) expect(decodeBlock(bytes.subarray(0, end))).toBeUndefined();
  });

  test("refuses what no encoder makes", () => {
    const change = (at: number, value: number) => {
      const changed = Buffer.from(bytes);
      changed[at] = value;
      return decodeBlock(changed);
    };
    expect(decodeBlock(bytes)).toBeDefined();
    expect(change(0, 0x80)).toBeUndefined(); // unknown flag
    expect(change(4, 0)).toBeUndefined(); // no content
    expect(change(4, 31)).toBeUndefined(); // one part, other size than the content
    expect(change(5, 0xff)).toBeUndefined(); // sequence over 2^53
    expect(change(16, 0)).toBeUndefined(); // no sequences
    expect(change(18, 1)).toBeUndefined(); // part 1 of 1
    expect(change(20, 0)).toBeUndefined(); // 0 parts
    expect(change(20, 2)).toBeUndefined(); // 2 parts, but the first holds all
    expect(change(bytes.length - 1, 1)).toBeUndefined(); // padding
  });
});
