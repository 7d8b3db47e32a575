// The link by itself, sealed and coded, next to plain UDP, by turns.
import { runUndisturbed } from "./carry.ts";
import { runLink } from "./link.ts";
import { type Spread, spreadOf } from "./statistic.ts";

export type LinkStanding = {
  readonly datagramBytes: number;
  readonly plainMegabits: Spread;
  readonly sealedMegabits: Spread;
  readonly ratio: Spread;
  readonly sealedCpuPerGigabyte: { readonly sender: number; readonly receiver: number };
  readonly foreignLoadMost: number;
};

const LINK_SECONDS = 2;

export async function measureLink(rounds: number, note: (line: string) => void): Promise<LinkStanding[]> {
  const standings: LinkStanding[] = [];
  for (const datagramBytes of [1400, 8900]) {
    const plain: number[] = [];
    const sealed: number[] = [];
    const foreign: number[] = [];
    const cost = { sender: [] as number[], receiver: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      const wishes = { datagramBytes, seconds: LINK_SECONDS };
      const bare = await runUndisturbed(() => runLink({ ...wishes, sealed: false }));
      plain.push(bare.megabitsPerSecond);
      foreign.push(bare.foreignLoad);
      const run = await runUndisturbed(() => runLink({ ...wishes, sealed: true }));
      sealed.push(run.megabitsPerSecond);
      foreign.push(run.foreignLoad);
      cost.sender.push(run.cpuSecondsPerGigabyte.sender);
      cost.receiver.push(run.cpuSecondsPerGigabyte.receiver);
      note(
        `link, ${datagramBytes} B: plain ${plain.at(-1)?.toFixed(0)}, sealed ${sealed.at(-1)?.toFixed(0)} Mbit/s`,
      );
    }
    standings.push({
      datagramBytes,
      plainMegabits: spreadOf(plain),
      sealedMegabits: spreadOf(sealed),
      ratio: spreadOf(sealed.map((value, round) => value / (plain[round] ?? Number.NaN))),
      sealedCpuPerGigabyte: {
        sender: spreadOf(cost.sender).median,
        receiver: spreadOf(cost.receiver).median,
      },
      foreignLoadMost: Math.max(...foreign),
    });
  }
  return standings;
}
