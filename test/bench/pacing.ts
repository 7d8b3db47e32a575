// Pacing runs: what a path that always has something to send puts on the wire, beside what it was asked for.
import { wireOverheadBytes } from "../../agents/send/link/udp-path.ts";
import { runUndisturbed } from "./carry.ts";
import type { PacingTally } from "./pacing-receiver.ts";
import { readCosts, subtractCosts } from "./proc.ts";
import { type Spread, spreadOf } from "./statistic.ts";
import { Worker } from "./worker.ts";

export type PacingWishes = {
  readonly mbitPerSecond: number;
  readonly datagramBytes: number;
  readonly seconds: number;
};

type PacingResult = {
  readonly megabitsPerSecond: number;
  /** The most that left in any 10 ms, over what the rate gives in that time, or one datagram if that is more. */
  readonly burst: number;
  readonly foreignLoad: number;
};

export type PacingStanding = {
  readonly asked: string;
  readonly datagramBytes: number;
  /** Over what was asked for; above what the machine can do, over what it does when nothing holds it back. */
  readonly achieved: Spread;
  readonly burst: Spread;
  readonly foreignLoadMost: number;
};

export const WARM_SECONDS = 1;
const SETTLE_MS = 200;

const RUNS = [
  { asked: "9,600 bit/s", mbitPerSecond: 0.0096, datagramBytes: 200, seconds: 12 },
  { asked: "1 Mbit/s", mbitPerSecond: 1, datagramBytes: 1400, seconds: 5 },
  { asked: "10 Mbit/s", mbitPerSecond: 10, datagramBytes: 1400, seconds: 4 },
  { asked: "100 Mbit/s", mbitPerSecond: 100, datagramBytes: 1400, seconds: 4 },
  { asked: "1 Gbit/s", mbitPerSecond: 1000, datagramBytes: 1400, seconds: 4 },
  { asked: "10 Gbit/s", mbitPerSecond: 10_000, datagramBytes: 1400, seconds: 4 },
  { asked: "10 Gbit/s", mbitPerSecond: 10_000, datagramBytes: 8900, seconds: 4 },
];
/** Holds nothing back. */
const CEILING_MBIT_PER_SECOND = 1_000_000;

export async function measurePacing(rounds: number, note: (line: string) => void): Promise<PacingStanding[]> {
  const standings: PacingStanding[] = [];
  for (const { asked, ...wishes } of RUNS) {
    const achieved: number[] = [];
    const bursts: number[] = [];
    const foreign: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const run = (mbitPerSecond: number) => runUndisturbed(() => runPacing({ ...wishes, mbitPerSecond }));
      const ceiling = asked === "10 Gbit/s" ? await run(CEILING_MBIT_PER_SECOND) : undefined;
      const result = await run(wishes.mbitPerSecond);
      const goal = Math.min(wishes.mbitPerSecond, ceiling?.megabitsPerSecond ?? Number.POSITIVE_INFINITY);
      achieved.push(result.megabitsPerSecond / goal);
      bursts.push(result.burst);
      foreign.push(result.foreignLoad, ceiling?.foreignLoad ?? 0);
    }
    note(
      `pacing, ${asked}, ${wishes.datagramBytes} B: ${achieved.map((value) => value.toFixed(3)).join(" ")}`,
    );
    standings.push({
      asked,
      datagramBytes: wishes.datagramBytes,
      achieved: spreadOf(achieved),
      burst: spreadOf(bursts),
      foreignLoadMost: Math.max(...foreign),
    });
  }
  return standings;
}

async function runPacing(wishes: PacingWishes): Promise<PacingResult> {
  const sender = new Worker("pacing-sender");
  const receiver = new Worker("pacing-receiver");
  try {
    const { port } = await receiver.ask<{ port: number }>({ command: "open", warmSeconds: WARM_SECONDS });
    const pids = { sender: sender.pid, receiver: receiver.pid };
    const before = readCosts(pids);
    const sent = await sender.ask<{ burstBytes: number; problem?: string }>({
      command: "send",
      ...wishes,
      port,
    });
    if (sent.problem !== undefined) throw new Error(`cannot measure the pace: ${sent.problem}`);
    const { foreignLoad } = subtractCosts(readCosts(pids), before);
    await Bun.sleep(SETTLE_MS);
    const { megabitsPerSecond } = await receiver.ask<PacingTally>({ command: "collect" });
    const idealBytes = (wishes.mbitPerSecond * 1e6 * 0.01) / 8;
    const burst = sent.burstBytes / Math.max(idealBytes, wishes.datagramBytes + wireOverheadBytes(4));
    return { megabitsPerSecond, burst, foreignLoad };
  } finally {
    await Promise.all([sender.stop(), receiver.stop()]);
  }
}
