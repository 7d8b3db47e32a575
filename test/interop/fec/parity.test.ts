// Two independent libraries make the same repair symbols as shared/fec, byte for byte, so a stranger can write a
// receiver with either. Where a library is not installed its tests are skipped and say why; with
// TIDEGATE_TESTS_MUST_RUN=1 they fail.

import { afterAll, describe, expect, test } from "bun:test";
import { FecCodec } from "../../../shared/fec/codec.ts";
import { Workspace } from "../../support/workspace.ts";
import { Random } from "../../unit/shared/fec/random.ts";
import vectors from "../../vectors/fec.json";
import { buildIsal, buildKlauspost, encodeWith, type Obstacle, type Program } from "./library.ts";

const SHAPES = [
  [1, 1, 1],
  [1, 4, 100],
  [2, 1, 17],
  [10, 4, 64],
  [20, 10, 1344],
  [40, 4, 1344],
  [40, 4, 8800],
  [100, 30, 333],
  [128, 128, 200],
  [200, 56, 1343],
  [255, 1, 1344],
  [3, 2, 65_000],
] as const;

const workspace = new Workspace("fec");
afterAll(() => workspace.remove());

testAgainst("isa-l gf_gen_cauchy1_matrix", buildIsal(workspace));
testAgainst("klauspost/reedsolomon WithCauchyMatrix", buildKlauspost(workspace));

function testAgainst(library: string, program: Program | Obstacle): void {
  if ("reason" in program) {
    skipOrFail(`encodeRepair() agrees with ${library}`, program.reason);
    return;
  }
  describe(library, () => {
    test.each(SHAPES)("encodeRepair() makes the same %d+%d symbols of %d bytes", (k, r, symbolBytes) => {
      const source = new Random(k + r + symbolBytes).bytes(k * symbolBytes);
      const repair = new Uint8Array(r * symbolBytes);
      new FecCodec().encodeRepair(k, r, symbolBytes, source, repair);
      expect(Buffer.compare(repair, encodeWith(program, k, r, symbolBytes, source))).toBe(0);
    });

    test("encodeRepair()'s golden vectors are what it makes", () => {
      for (const { k, r, symbolBytes, source, repair } of vectors) {
        const made = encodeWith(program, k, r, symbolBytes, Buffer.from(source, "hex"));
        expect(made.toString("hex")).toBe(repair);
      }
    });
  });
}

function skipOrFail(title: string, reason: string): void {
  if (process.env.TIDEGATE_TESTS_MUST_RUN === "1") {
    test(title, () => {
      throw new Error(`cannot run this test: ${reason}`);
    });
    return;
  }
  console.error(`skipped: ${title}: ${reason}`);
  test.skip(title, () => {});
}
