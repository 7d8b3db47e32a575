// The same load over several chains by turns, A B C A B C …, so that what else the machine does hits them alike.
// A round that others disturbed is run again; one that fails is kept as a failure, never as a figure.
import { FailedRun, type RunResult, type RunWishes, runOnce, runUndisturbed } from "./carry.ts";
import { type Spread, spreadOf } from "./statistic.ts";

export type Entrant = { readonly name: string; readonly wishes: RunWishes };

export type Standing = {
  readonly name: string;
  readonly messagesPerSecond: Spread;
  /** Messages per second over those of the first entrant, round by round. */
  readonly ratio: Spread;
  readonly latencyMs: { readonly p50: Spread; readonly p99: Spread; readonly p999: Spread };
  /** Median of the rounds. */
  readonly cpuSecondsPerMillion: Readonly<Record<string, number>>;
  /** Greatest of the rounds. */
  readonly peakMegabytes: Readonly<Record<string, number>>;
  readonly foreignLoadMost: number;
  readonly rounds: number;
  readonly failures: readonly string[];
};

/** One table: the same load over each way. */
export type Contest = { readonly title: string; readonly standings: readonly Standing[] };

export async function hold(
  entrants: readonly Entrant[],
  rounds: number,
  note: (line: string) => void,
): Promise<Standing[]> {
  const results = entrants.map((): (RunResult | undefined)[] => []);
  const failures = entrants.map((): string[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { name, wishes }] of entrants.entries()) {
      try {
        const result = await runUndisturbed(() => runOnce(wishes));
        results[index]?.push(result);
        const latency = result.latencyMs.slice(0, 2).map((ms) => ms.toFixed(2));
        const foreign = `${Math.round(result.foreignLoad * 100)} % foreign load`;
        note(
          `${name}: ${Math.round(result.messagesPerSecond)} msg/s, p50/p99 ${latency.join("/")} ms, ${foreign}`,
        );
      } catch (error) {
        if (!(error instanceof FailedRun)) throw error;
        results[index]?.push(undefined);
        failures[index]?.push(error.message.split("\n")[0] ?? "");
        note(`FAILED: ${name}: ${error.message}`);
      }
    }
  }
  return entrants.map(({ name }, index) => {
    const own = results[index] ?? [];
    const done = own.filter((result) => result !== undefined);
    const ratios = own.flatMap((result, round) => {
      const first = results[0]?.[round];
      return result && first ? [result.messagesPerSecond / first.messagesPerSecond] : [];
    });
    const latency = (at: number) => spreadOf(done.map(({ latencyMs }) => latencyMs[at] ?? Number.NaN));
    return {
      name,
      messagesPerSecond: spreadOf(done.map((result) => result.messagesPerSecond)),
      ratio: spreadOf(ratios),
      latencyMs: { p50: latency(0), p99: latency(1), p999: latency(2) },
      cpuSecondsPerMillion: merge(done, (result) => result.cpuSecondsPerMillion, "median"),
      peakMegabytes: merge(done, (result) => result.peakMegabytes, "most"),
      foreignLoadMost: Math.max(0, ...done.map(({ foreignLoad }) => foreignLoad)),
      rounds: done.length,
      failures: failures[index] ?? [],
    };
  });
}

function merge(
  results: readonly RunResult[],
  pick: (result: RunResult) => Readonly<Record<string, number>>,
  which: "median" | "most",
): Record<string, number> {
  const names = Object.keys(results[0] === undefined ? {} : pick(results[0]));
  return Object.fromEntries(
    names.map((name) => [name, spreadOf(results.map((result) => pick(result)[name] ?? Number.NaN))[which]]),
  );
}
