// A second decoder, written in another language from docs/protocol.md alone, makes the same of the golden vectors and of
// random links as the receiver does: what the page does not say, or says otherwise than the code, shows here.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Random } from "../../unit/shared/fec/random.ts";
import { LINK_ID } from "../../unit/shared/framing/samples.ts";
import golden from "../../vectors/wire.json";
import { receiveVector, type WireVector } from "../../vectors/wire.ts";
import { inventJob } from "./mutation.ts";
import { decodeAll, findDecoder, runDecoder } from "./second-decoder.ts";

const VECTORS = join(import.meta.dir, "../../vectors/wire.json");
const JOBS = 1500;

const decoder = findDecoder();
if ("reason" in decoder) {
  if (process.env.TIDEGATE_TESTS_MUST_RUN === "1") {
    test("the second decoder can run", () => {
      throw new Error(`cannot run these tests: ${decoder.reason}`);
    });
  } else {
    console.error(`skipped: the second decoder: ${decoder.reason}`);
    test.skip("the second decoder", () => {});
  }
} else {
  describe("decode.py", () => {
    test("makes of every golden vector what wire.json says", () => {
      expect(runDecoder(decoder, ["vectors", VECTORS])).toContain(
        `${golden.vectors.length} vectors, 0 differ`,
      );
    });

    test("reports a golden vector that says something else", () => {
      const [vector] = golden.vectors as WireVector[];
      const job = { linkId: "plant-8", linkKeys: [golden.linkKey], datagrams: vector?.datagrams ?? [] };
      expect(decodeAll(decoder, [job])).toEqual([[{ refused: "link" }, { refused: "link" }]]);
    });

    const seed = Number(process.env.TIDEGATE_SEED ?? Math.floor(Math.random() * 2 ** 31));
    test(`makes of ${JOBS} random links what the receiver does; seed ${seed}`, () => {
      const random = new Random(seed);
      const jobs = Array.from({ length: JOBS }, () => inventJob(random));
      const theirs = decodeAll(decoder, jobs);
      expect(theirs).toHaveLength(JOBS);
      for (const [index, job] of jobs.entries()) {
        const ours = JSON.parse(JSON.stringify(receiveVector(LINK_ID, "", job)));
        if (Bun.deepEquals(ours, theirs[index])) continue;
        expect({ job, outcome: theirs[index] }).toEqual({ job, outcome: ours });
      }
    });
  });
}
