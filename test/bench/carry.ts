// One run: messages from the generator to the sink over one chain, with what it cost. A message that is lost, doubled or
// out of order fails the run: a fast wrong answer is not a figure.
import { type ChainWishes, endsAtSink, startChain } from "./chain.ts";
import { readCosts, readPeakMegabytes, subtractCosts } from "./proc.ts";
import type { Tally } from "./sink.ts";
import { Worker } from "./worker.ts";

export type RunWishes = ChainWishes & {
  readonly messages: number;
  /** How often so many messages are sent, each time after the last ones have arrived; 1 unless told. */
  readonly passes?: number | undefined;
  /** Messages before the measured ones; a tenth of them unless told. */
  readonly warmMessages?: number | undefined;
  readonly payloadBytes: number;
  readonly topics: number;
  readonly payload?: "random" | "json" | undefined;
  /** The sink is away until the generator is done: what is measured is how fast the backlog goes. Only for ways that end there. */
  readonly isBacklog?: boolean | undefined;
  /** Undefined: as fast as it goes. */
  readonly ratePerSecond?: number | undefined;
  /** The sink speaks TLS; only for the ways that end there. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly caFile: string } | undefined;
};

export type RunResult = {
  readonly messagesPerSecond: number;
  /** Milliseconds: p50, p99, p99.9, greatest. */
  readonly latencyMs: readonly number[];
  /** Processor seconds per million messages, by process. */
  readonly cpuSecondsPerMillion: Readonly<Record<string, number>>;
  readonly peakMegabytes: Readonly<Record<string, number>>;
  /** Share of the machine that others used meanwhile, 0 to 1. */
  readonly foreignLoad: number;
};

/** Messages before the measured ones, so that caches and compilers are warm. */
const WARM_SHARE = 0.1;
/** No message for so long means that the rest will not come. */
const IDLE_MS = 5000;
/** As long as a client may wait before it connects again. */
const RECONNECT_IDLE_MS = 60_000;
const PROBE_MS = 20;
const PROBES_MAX = 500;

export async function runOnce(wishes: RunWishes): Promise<RunResult> {
  const generator = new Worker("generator");
  const sink = new Worker("sink");
  const { arm, tls } = wishes;
  const port = endsAtSink(arm) ? await sink.ask<number>({ command: "listen", tls }) : 0;
  const chain = await startChain({ ...wishes, sink: port === 0 ? undefined : { port, caFile: tls?.caFile } });
  try {
    const { qos, topics, payloadBytes, payload, messages, ratePerSecond, isBacklog = false } = wishes;
    if (!endsAtSink(arm)) await sink.ask({ command: "subscribe", port: chain.ports.sink, qos });
    await generator.ask({
      command: "connect",
      port: chain.ports.generator,
      qos,
      topics,
      payloadBytes,
      payload,
    });
    await openWay(generator, sink);
    const pids = { generator: generator.pid, ...chain.pids, sink: sink.pid };
    const pass = async (first: number, count: number) => {
      if (isBacklog) await sink.ask({ command: "pause" });
      await sink.ask({ command: "expect", first, count });
      const collect = () =>
        sink.ask<Tally>({ command: "collect", idleMs: isBacklog ? RECONNECT_IDLE_MS : IDLE_MS });
      const collected = isBacklog ? undefined : collect();
      const { startUs } = await generator.ask<{ startUs: number }>({
        command: "send",
        first,
        count,
        ratePerSecond,
      });
      if (isBacklog) {
        await sink.ask({ command: "expect", first, count });
        await sink.ask({ command: "resume", port });
      }
      const tally = await (collected ?? collect());
      if (tally.received !== count || tally.duplicates > 0 || tally.disordered > 0) {
        const what = `${tally.received} of ${count} received, ${tally.duplicates} twice, ${tally.disordered} out of order`;
        throw new FailedRun(`${wishes.arm} QoS ${qos}: ${what}\n${await chain.explain()}`);
      }
      return { tally, seconds: (tally.lastUs - (isBacklog ? tally.firstUs : startUs)) / 1e6 };
    };
    const { passes = 1, warmMessages: warm = Math.ceil(messages * WARM_SHARE) } = wishes;
    await pass(0, warm);
    const before = readCosts(pids);
    let { tally, seconds } = await pass(warm, messages);
    for (let done = 1; done < passes; done++) {
      const again = await pass(warm + done * messages, messages);
      seconds += again.seconds;
      tally = again.tally;
    }
    const { cpu, foreignLoad } = subtractCosts(readCosts(pids), before);
    const all = messages * passes;
    return {
      messagesPerSecond: all / seconds,
      latencyMs: tally.latencyMs,
      cpuSecondsPerMillion: mapValues(cpu, (each) => (each * 1e6) / all),
      peakMegabytes: mapValues(pids, readPeakMegabytes),
      foreignLoad,
    };
  } finally {
    await Promise.all([generator.stop(), sink.stop()]);
    await chain.stop();
  }
}

export class FailedRun extends Error {}

/** Share of the machine that others may use in a run. */
const FOREIGN_LOAD_MAX = 0.1;
const TRIES = 3;

/** The first run that others left alone, or the least disturbed of a few. */
export async function runUndisturbed<Result extends { readonly foreignLoad: number }>(
  run: () => Promise<Result>,
): Promise<Result> {
  let best = await run();
  for (let tries = 1; tries < TRIES && best.foreignLoad > FOREIGN_LOAD_MAX; tries++) {
    const again = await run();
    if (again.foreignLoad < best.foreignLoad) best = again;
  }
  return best;
}

/** Publishes probes until one comes out at the other end. */
async function openWay(generator: Worker, sink: Worker): Promise<void> {
  let open = false;
  const arrived = sink.ask({ command: "awaitProbe" }).then(() => {
    open = true;
  });
  for (let probes = 0; !open; probes++) {
    if (probes === PROBES_MAX) throw new FailedRun("no probe comes through");
    await generator.ask({ command: "probe" });
    await Promise.race([arrived, Bun.sleep(PROBE_MS)]);
  }
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  map: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}
