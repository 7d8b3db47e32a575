// The simulator's command line: `--seed N [--hours H] [--verbose]` runs one seed, `--seeds N [--from N]` many of them,
// on all cores but for the seeds' own sake each in one. Prints a failing seed and what happened last before it failed.
import { parseArgs } from "node:util";
import { runSeed, runSeeds } from "./runs.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string" },
    hours: { type: "string" },
    seconds: { type: "string" },
    verbose: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    jobs: { type: "string" },
  },
});

const safetyMs =
  values.hours !== undefined ? Number(values.hours) * 3_600_000 : Number(values.seconds ?? 60) * 1000;
const print = (line: string) => process.stdout.write(`${line}\n`);
if (values.seeds === undefined) {
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
  process.exitCode = runSeed(seed, safetyMs, values.verbose, print) ? 0 : 1;
} else {
  const first = Number(values.from ?? Math.floor(Math.random() * 2 ** 32));
  process.exitCode = runSeeds(first, Number(values.seeds), safetyMs, print) === 0 ? 0 : 1;
}
