// Writes test/vectors/fec.json with isa-l: `bun test/interop/fec/write-vectors.ts`. The wire depends on these bytes,
// so a difference in that file is a change of the wire.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Workspace } from "../../support/workspace.ts";
import { Random } from "../../unit/shared/fec/random.ts";
import { buildIsal, encodeWith } from "./library.ts";

const SHAPES = [
  [1, 1, 1],
  [1, 3, 5],
  [2, 1, 8],
  [4, 2, 17],
  [10, 4, 32],
  [20, 10, 33],
  [40, 4, 16],
  [128, 128, 1],
  [255, 1, 2],
] as const;

using workspace = new Workspace("fec");
const isal = buildIsal(workspace);
if ("reason" in isal) throw new Error(`cannot write vectors: ${isal.reason}`);
const random = new Random(7);
const vectors = SHAPES.map(([k, r, symbolBytes]) => {
  const source = random.bytes(k * symbolBytes);
  const repair = encodeWith(isal, k, r, symbolBytes, source);
  return { k, r, symbolBytes, source: Buffer.from(source).toString("hex"), repair: repair.toString("hex") };
});
writeFileSync(join(import.meta.dir, "../../vectors/fec.json"), `${JSON.stringify(vectors, null, 2)}\n`);
