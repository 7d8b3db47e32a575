import { describe, expect, test } from "bun:test";
import { ByteReader, ByteWriter } from "../../../../shared/framing/bytes.ts";

const NUMBERS = [
  0,
  1,
  127,
  128,
  255,
  256,
  16_383,
  16_384,
  2 ** 31,
  2 ** 32,
  2 ** 40 + 3,
  Number.MAX_SAFE_INTEGER,
];

describe("ByteWriter and ByteReader", () => {
  test("every integer survives in every form that can hold it", () => {
    const writer = new ByteWriter(1);
    for (const n of NUMBERS) {
      writer.varint(n);
      writer.u64(n);
      if (n < 2 ** 52) writer.zigzag(-n);
      if (n < 2 ** 32) writer.u32(n);
    }
    const reader = new ByteReader(writer.take());
    for (const n of NUMBERS) {
      expect(reader.varint()).toBe(n);
      expect(reader.u64()).toBe(n);
      if (n < 2 ** 52) expect(reader.zigzag() + 0).toBe(n === 0 ? 0 : -n);
      if (n < 2 ** 32) expect(reader.u32()).toBe(n);
    }
    expect(reader.finished).toBe(true);
  });

  test("varint() refuses a longer form of a number than it needs", () => {
    for (const bytes of [
      [0x80, 0x00],
      [0xff, 0x80, 0x00],
    ]) {
      const reader = new ByteReader(Uint8Array.from(bytes));
      reader.varint();
      expect(reader.failed).toBe(true);
    }
  });

  test("varint() refuses a number above 2^53 - 1 and one without an end", () => {
    for (const bytes of [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Array(9).fill(0x80)]) {
      const reader = new ByteReader(Uint8Array.from(bytes));
      reader.varint();
      expect(reader.failed).toBe(true);
    }
  });

  test("u64() refuses a number above 2^53 - 1", () => {
    const reader = new ByteReader(Uint8Array.from([0x00, 0x20, 0, 0, 0, 0, 0, 0]));
    reader.u64();
    expect(reader.failed).toBe(true);
  });

  test("text() refuses what is not UTF-8 and keeps a byte order mark", () => {
    for (const bytes of [
      [2, 0xc0, 0x80],
      [3, 0xed, 0xa0, 0x80],
      [1, 0xc3],
      [5, 0x41],
    ]) {
      const reader = new ByteReader(Uint8Array.from(bytes));
      reader.text();
      expect(reader.failed).toBe(true);
    }
    expect(new ByteReader(Uint8Array.from([3, 0xef, 0xbb, 0xbf])).text()).toBe("\ufeff");
  });

  test("a read past the end fails, and so does every read after it", () => {
    const reader = new ByteReader(Uint8Array.from([1, 2]));
    expect(reader.u32()).toBe(0);
    expect(reader.u8()).toBe(0);
    expect(reader.failed).toBe(true);
  });
});
