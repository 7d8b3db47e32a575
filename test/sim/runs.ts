// Runs one seed or many and says what came of it, in lines for a person.
import { type Outcome, simulate } from "./simulation.ts";

const TRACE_LINES = 60;

/** True when the seed breaks no promise. */
export function runSeed(
  seed: number,
  safetyMs: number,
  verbose: boolean,
  print: (line: string) => void,
): boolean {
  const outcome = simulate(seed, safetyMs, verbose ? Number.MAX_SAFE_INTEGER : 0);
  if (verbose) {
    print(JSON.stringify(outcome.plan, undefined, 2));
    for (const line of outcome.trace) print(line);
  }
  print(summarize(outcome));
  if (outcome.violation === undefined) return true;
  if (!verbose) printFailure(outcome, safetyMs, print);
  return false;
}

/** Runs `count` seeds from `first` on; how many of them break a promise. */
export function runSeeds(
  first: number,
  count: number,
  safetyMs: number,
  print: (line: string) => void,
): number {
  let failed = 0;
  let linkMs = 0;
  const startedMs = performance.now();
  for (let seed = first; seed < first + count; seed++) {
    const outcome = simulate(seed, safetyMs);
    linkMs += outcome.linkMs;
    if (outcome.violation === undefined) continue;
    failed++;
    if (failed <= 3) printFailure(outcome, safetyMs, print);
    else print(`seed ${seed}: ${outcome.violation.split("\n")[0]}`);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  print(
    `${count} seeds from ${first}: ${failed} failed; ${(linkMs / 3_600_000).toFixed(1)} link-hours in ${seconds.toFixed(1)} s`,
  );
  return failed;
}

function summarize({ seed, linkMs, messages, delivered, datagrams, starts, violation }: Outcome): string {
  const figures = `${(linkMs / 60_000).toFixed(1)} link-minutes, ${messages} messages, ${delivered} delivered, ${datagrams} datagrams, ${starts} starts`;
  return `seed ${seed}: ${figures}: ${violation === undefined ? "every promise kept" : "FAILED"}`;
}

function printFailure(outcome: Outcome, safetyMs: number, print: (line: string) => void): void {
  const { seed, violation } = outcome;
  print(`seed ${seed} FAILED: ${violation}`);
  for (const line of simulate(seed, safetyMs, TRACE_LINES).trace) print(`  ${line}`);
  print(`  again: npm run sim -- --seed ${seed} --seconds ${safetyMs / 1000} --verbose`);
}
