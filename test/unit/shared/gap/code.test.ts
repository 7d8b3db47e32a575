import { describe, expect, test } from "bun:test";
import { decodeGapCode, encodeGapCode, type GapRange, tagJournal } from "../../../../shared/gap/code.ts";

const RANGES: GapRange[] = [
  { journalTag: 0, stream: 0, first: 0, count: 1 },
  { journalTag: 0xa083, stream: 0, first: 10, count: 1702 },
  { journalTag: 0xffff, stream: 15, first: 2 ** 40, count: 2 ** 31 },
  { journalTag: 1, stream: 255, first: Number.MAX_SAFE_INTEGER - 1, count: 1 },
];

describe("encodeGapCode() and decodeGapCode()", () => {
  test("a range comes back from its code, however a person types it", () => {
    for (const range of RANGES) {
      const code = encodeGapCode(range);
      expect(code).toMatch(/^[0-9A-Z]{4}(-[0-9A-Z]{1,4})+$/);
      expect(decodeGapCode(code)).toEqual(range);
      expect(decodeGapCode(code.toLowerCase().replaceAll("-", " "))).toEqual(range);
      expect(decodeGapCode(code.replaceAll("0", "O").replaceAll("1", "l"))).toEqual(range);
    }
  });

  test("one wrong character, two exchanged, one missing or one too many is refused", () => {
    const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let wrong = 0;
    let taken = 0;
    for (const range of RANGES) {
      const code = encodeGapCode(range).replaceAll("-", "");
      for (let at = 0; at < code.length; at++) {
        const typed = [...alphabet].map((letter) => code.slice(0, at) + letter + code.slice(at + 1));
        typed.push(
          code.slice(0, at) + code.slice(at + 1),
          code.slice(0, at) + code.charAt(at + 1) + code.charAt(at) + code.slice(at + 2),
        );
        for (const text of typed.filter((text) => text !== code)) {
          wrong++;
          if (typeof decodeGapCode(text) !== "string") taken++;
        }
      }
    }
    // Sixteen bits of checksum: one mistake in 65,536 may pass, and would then name sequences that are not lost.
    expect(taken / wrong).toBeLessThan(0.001);
  });

  test("refuses what is no code with a sentence", () => {
    for (const text of ["", "-", "ABCD", "hello!", "U234-5678", "0".repeat(40), "💥"]) {
      expect(typeof decodeGapCode(text)).toBe("string");
    }
  });

  test("tagJournal() is the first two bytes of the journal id", () => {
    expect(tagJournal(0xa083_5d4c_c446_e616n)).toBe(0xa083);
  });
});
