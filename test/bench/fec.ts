// How fast forward error correction encodes and restores, in GB/s of source symbols on one core, with both kernels
// and with the naive twin of the tests. All three take turns within each round, so that what else the machine does
// hits them alike; the best round counts. Restoring loses as many source symbols as there are repair symbols.
//
//   bun test/bench/fec.ts     or compiled: bun build --compile test/bench/fec.ts --outfile fec-bench

import { FecCodec } from "../../shared/fec/codec.ts";
import { openPortableKernel } from "../../shared/fec/portable.ts";
import { naiveEncode, naiveRestore } from "../unit/shared/fec/naive.ts";
import { Random } from "../unit/shared/fec/random.ts";

const SHAPES = [
  [40, 4, 1344],
  [20, 10, 1344],
  [40, 4, 8800],
] as const;
const ROUNDS = 9;
const ROUND_NANOSECONDS = 20e6;

type Run = () => void;

/** The best time of each run, in nanoseconds. */
function measure(runs: Run[]): number[] {
  const counts = runs.map((run) => {
    const warmEnd = Bun.nanoseconds() + 5 * ROUND_NANOSECONDS;
    let warm = 0;
    for (; warm < 3 || Bun.nanoseconds() < warmEnd; warm++) run();
    return Math.max(1, Math.round(warm / 5));
  });
  const best = runs.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < ROUNDS; round++) {
    runs.forEach((run, i) => {
      const count = counts[i] as number;
      const begin = Bun.nanoseconds();
      for (let n = 0; n < count; n++) run();
      best[i] = Math.min(best[i] as number, (Bun.nanoseconds() - begin) / count);
    });
  }
  return best;
}

const codecs = [new FecCodec(), new FecCodec(openPortableKernel())];
const names = [...codecs.map(({ kernelName }) => kernelName), "naive"];

function report(title: string, sourceBytes: number, nanoseconds: number[]): void {
  const naive = nanoseconds[nanoseconds.length - 1] as number;
  const cells = nanoseconds.map((time, i) => {
    const speed = (sourceBytes / time).toFixed(2);
    return `${names[i]} ${speed} GB/s (${(naive / time).toFixed(1)}x)`;
  });
  console.log(`${title.padEnd(26)} ${cells.join("   ")}`);
}

for (const [k, r, symbolBytes] of SHAPES) {
  const source = new Random(1).bytes(k * symbolBytes);
  const repair = new Uint8Array(r * symbolBytes);
  const symbols = Array.from({ length: k + r }, (_, i) =>
    i < k
      ? source.subarray(i * symbolBytes, (i + 1) * symbolBytes)
      : repair.subarray((i - k) * symbolBytes, (i - k + 1) * symbolBytes),
  );
  const encodings: Run[] = [
    ...codecs.map((codec) => () => codec.encodeRepair(k, r, symbolBytes, source, repair)),
    () => void naiveEncode(k, r, symbols.slice(0, k)),
  ];
  report(`encode ${k}+${r} x ${symbolBytes} B`, source.length, measure(encodings));

  const lost = new Set(new Random(2).pick(r, k));
  const came = symbols.map((symbol, i) => (lost.has(i) ? undefined : symbol));
  const restorings: Run[] = [
    ...codecs.map((codec) => () => {
      const outcome = codec.restore(k, r, symbolBytes, came.slice());
      if (outcome !== "ok") throw new Error(`cannot restore: is ${outcome}, must be ok`);
    }),
    () => void naiveRestore(k, came),
  ];
  report(`restore ${k}+${r} x ${symbolBytes} B`, source.length, measure(restorings));
}
