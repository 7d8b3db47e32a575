import { describe, expect, test } from "bun:test";
import { FecCodec, MAX_SYMBOL_BYTES } from "../../../../shared/fec/codec.ts";
import { openPortableKernel } from "../../../../shared/fec/portable.ts";
import { openSimdKernel } from "../../../../shared/fec/simd.ts";
import vectors from "../../../vectors/fec.json";
import { naiveEncode, naiveRestore } from "./naive.ts";
import { Random } from "./random.ts";

type Symbols = (Uint8Array | undefined)[];

interface Block {
  k: number;
  r: number;
  symbolBytes: number;
  /** All k+r symbols. */
  symbols: Uint8Array[];
}

const simd = openSimdKernel();
const kernels = [...(simd === undefined ? [] : [simd]), openPortableKernel()];

function split(bytes: Uint8Array, symbolBytes: number): Uint8Array[] {
  return Array.from({ length: bytes.length / symbolBytes }, (_, i) =>
    bytes.subarray(i * symbolBytes, (i + 1) * symbolBytes),
  );
}

function createBlock(codec: FecCodec, random: Random, k: number, r: number, symbolBytes: number): Block {
  const source = random.bytes(k * symbolBytes);
  const repair = random.bytes(r * symbolBytes);
  codec.encodeRepair(k, r, symbolBytes, source, repair);
  return { k, r, symbolBytes, symbols: [...split(source, symbolBytes), ...split(repair, symbolBytes)] };
}

function restoreWithout(
  codec: FecCodec,
  block: Block,
  lost: number[],
): { outcome: string; symbols: Symbols } {
  const symbols: Symbols = [...block.symbols];
  for (const position of lost) symbols[position] = undefined;
  return { outcome: codec.restore(block.k, block.r, block.symbolBytes, symbols), symbols };
}

function isSameSource(block: Block, symbols: Symbols): boolean {
  return block.symbols
    .slice(0, block.k)
    .every((symbol, i) => Buffer.compare(symbol, symbols[i] ?? new Uint8Array()) === 0);
}

describe.each(kernels.map((kernel) => [kernel.name, new FecCodec(kernel)] as const))(
  "%s kernel",
  (_, codec) => {
    test("encodeRepair() makes the golden vectors, which isa-l wrote", () => {
      for (const { k, r, symbolBytes, source, repair } of vectors) {
        const made = new Uint8Array(r * symbolBytes);
        codec.encodeRepair(k, r, symbolBytes, Buffer.from(source, "hex"), made);
        expect(Buffer.from(made).toString("hex")).toBe(repair);
      }
    });

    test("encodeRepair() agrees with its naive twin, for every k and r up to 12 and sizes around a lane", () => {
      const random = new Random(1);
      for (const symbolBytes of [1, 15, 16, 17, 31, 32, 33, 65]) {
        for (let k = 1; k <= 12; k++) {
          for (let r = 0; r <= 12; r++) {
            const { symbols } = createBlock(codec, random, k, r, symbolBytes);
            expect(Buffer.concat(symbols.slice(k))).toEqual(
              Buffer.concat(naiveEncode(k, r, symbols.slice(0, k))),
            );
          }
        }
      }
    });

    test.each([
      [1, 255, 7],
      [255, 1, 1344],
      [255, 1, 900],
      [128, 128, 1025],
      [200, 56, 333],
      [40, 4, 1344],
      [20, 10, 1343],
      [40, 4, 8800],
      [3, 2, MAX_SYMBOL_BYTES],
      [1, 1, MAX_SYMBOL_BYTES],
      [7, 5, 64_999],
    ])(
      "encodeRepair() and restore() agree with their naive twins: %d+%d symbols of %d bytes",
      (k, r, symbolBytes) => {
        const random = new Random(k * 256 + r);
        const block = createBlock(codec, random, k, r, symbolBytes);
        const naive = naiveEncode(k, r, block.symbols.slice(0, k));
        expect(Buffer.compare(Buffer.concat(block.symbols.slice(k)), Buffer.concat(naive))).toBe(0);
        const { outcome, symbols } = restoreWithout(codec, block, random.pick(r, k + r));
        expect(outcome).toBe("ok");
        expect(isSameSource(block, symbols)).toBe(true);
      },
    );

    test("restore() answers every erasure pattern of every k and r up to 10 together", () => {
      const random = new Random(2);
      const wrong: string[] = [];
      for (let k = 1; k <= 10; k++) {
        for (let r = 0; k + r <= 10; r++) {
          const block = createBlock(codec, random, k, r, 19);
          for (let pattern = 0; pattern < 1 << (k + r); pattern++) {
            const lost = [...Array(k + r).keys()].filter((position) => (pattern >> position) & 1);
            const { outcome, symbols } = restoreWithout(codec, block, lost);
            const isRight =
              lost.length > r ? outcome === "too-few" : outcome === "ok" && isSameSource(block, symbols);
            if (!isRight) wrong.push(`${k}+${r} without ${lost}: ${outcome}`);
          }
        }
      }
      expect(wrong).toEqual([]);
    });

    test("restore() agrees with its naive twin on random blocks", () => {
      const random = new Random(3);
      for (let round = 0; round < 60; round++) {
        const k = 1 + random.below(40);
        const r = random.below(24);
        const block = createBlock(codec, random, k, r, 1 + random.below(400));
        const lost = random.pick(random.below(r + 1), k + r);
        const { outcome, symbols } = restoreWithout(codec, block, lost);
        expect(outcome).toBe("ok");
        const kept: Symbols = block.symbols.map((symbol, i) => (lost.includes(i) ? undefined : symbol));
        expect(Buffer.concat(symbols.slice(0, k) as Uint8Array[])).toEqual(
          Buffer.concat(naiveRestore(k, kept)),
        );
      }
    });

    test("restore() mends 10,000 blocks in a row with one codec", () => {
      const random = new Random(4);
      const blocks = Array.from({ length: 20 }, () =>
        createBlock(codec, random, 1 + random.below(30), 1 + random.below(12), 1 + random.below(200)),
      );
      let wrong = 0;
      for (let round = 0; round < 10_000; round++) {
        const block = blocks[random.below(blocks.length)] as Block;
        const { outcome, symbols } = restoreWithout(codec, block, random.pick(block.r, block.k + block.r));
        if (outcome !== "ok" || !isSameSource(block, symbols)) wrong++;
      }
      expect(wrong).toBe(0);
    });

    test("restore() keeps the symbols that came, and makes no repair symbols", () => {
      const block = createBlock(codec, new Random(5), 4, 3, 50);
      const { outcome, symbols } = restoreWithout(codec, block, [1, 4]);
      expect(outcome).toBe("ok");
      for (const position of [0, 2, 3, 5, 6])
        expect(symbols[position]).toBe(block.symbols[position] as Uint8Array);
      expect(symbols[1]).toEqual(block.symbols[1]);
      expect(symbols[4]).toBeUndefined();
    });

    test("restore() changes nothing when too few came", () => {
      const block = createBlock(codec, new Random(6), 4, 2, 50);
      const { outcome, symbols } = restoreWithout(codec, block, [0, 3, 4]);
      expect(outcome).toBe("too-few");
      expect(symbols.map((symbol) => symbol === undefined)).toEqual([true, false, false, true, true, false]);
    });

    test.each([
      [0, 1, 8, 1],
      [-1, 2, 8, 1],
      [1.5, 0.5, 8, 2],
      [Number.NaN, 1, 8, 1],
      [256, 0, 8, 256],
      [255, 2, 8, 257],
      [1, 256, 8, 257],
      [2, -1, 8, 1],
      [2, 1, 0, 3],
      [2, 1, MAX_SYMBOL_BYTES + 1, 3],
      [2, 1, 8.5, 3],
      [2, 1, 8, 2],
      [2, 1, 8, 4],
      [2, 1, 9, 3],
    ])(
      "restore() answers bad-shape to %d+%d symbols of %d bytes in %d places",
      (k, r, symbolBytes, places) => {
        const symbols: Symbols = Array.from({ length: places }, () => new Uint8Array(8));
        symbols[0] = undefined;
        expect(codec.restore(k, r, symbolBytes, symbols)).toBe("bad-shape");
        expect(symbols[0]).toBeUndefined();
      },
    );

    test("restore() answers bad-shape to a symbol of another size, wherever it is", () => {
      for (let position = 0; position < 5; position++) {
        const symbols: Symbols = Array.from({ length: 5 }, () => new Uint8Array(8));
        symbols[(position + 1) % 3] = undefined;
        symbols[position] = new Uint8Array(7);
        expect(codec.restore(3, 2, 8, symbols)).toBe("bad-shape");
      }
    });

    test("encodeRepair() throws on numbers that do not fit each other", () => {
      const bytes = (length: number) => new Uint8Array(length);
      expect(() => codec.encodeRepair(0, 1, 8, bytes(0), bytes(8))).toThrow(
        "cannot encode block: is 0+1 symbols",
      );
      expect(() => codec.encodeRepair(200, 57, 1, bytes(200), bytes(57))).toThrow("cannot encode block");
      expect(() => codec.encodeRepair(2, 1, 8, bytes(15), bytes(8))).toThrow(
        "cannot encode source: is 15 bytes, must be 16",
      );
      expect(() => codec.encodeRepair(2, 1, 8, bytes(16), bytes(9))).toThrow(
        "cannot encode repair: is 9 bytes, must be 8",
      );
    });
  },
);
