// The receiver's memory with gigabytes in its spool: while the target is away, and while some of it is drained; beside a
// receiver that drains as much as that and has no more.
import { waitFor } from "../../support/wait.ts";
import { type Broker, startBroker } from "../broker.ts";
import type { Programs } from "../pair.ts";
import { readPeakMegabytes } from "../proc.ts";
import { BenchSite, TARGET } from "./bench-site.ts";
import { fillSpool } from "./fill.ts";

export type BacklogFigures = {
  readonly megabytes: number;
  readonly messages: number;
  /** The most memory, in MB: a while after the start with the target down, and after the draining of `drained` messages. */
  readonly waitingMegabytes: number;
  readonly drainingMegabytes: number;
  readonly drained: number;
  readonly messagesPerSecond: number;
};

const DEADLINE_MS = 600_000;
/** Long enough for timers of all kinds to have had their turn. */
const WAITING_MS = 10_000;
const HANDS_OVER = 1_000_000;

export async function measureBacklog(programs: Programs, megabytes: number): Promise<BacklogFigures> {
  // Its port is known, and then nobody listens there.
  const away = await startBroker();
  await away.stop();
  const site = await BenchSite.open({ programs, durability: "fsync", targetPort: away.port });
  let broker: Broker | undefined;
  try {
    const { messages } = fillSpool(site.spoolDirectory, megabytes * 1e6, TARGET);
    const { agent } = await site.start("recv", DEADLINE_MS);
    const readLedger = async () => {
      const { targets } = await agent.readStatus<{
        targets: { ledger: { forwarded: number; held: number } }[];
      }>();
      return targets[0]?.ledger ?? { forwarded: 0, held: 0 };
    };
    if ((await readLedger()).held !== messages) throw new Error("the spool does not hold what was filled in");
    await Bun.sleep(WAITING_MS);
    const waitingMegabytes = readPeakMegabytes(agent.pid);
    broker = await agent.whilePaused(() => startBroker(undefined, { port: away.port }));
    const drained = Math.min(messages, HANDS_OVER);
    const began = performance.now();
    await waitFor("the draining", DEADLINE_MS, async () => (await readLedger()).forwarded >= drained);
    const messagesPerSecond = ((await readLedger()).forwarded * 1000) / (performance.now() - began);
    return {
      megabytes,
      messages,
      waitingMegabytes,
      drainingMegabytes: readPeakMegabytes(agent.pid),
      drained,
      messagesPerSecond,
    };
  } finally {
    await site.close();
    await broker?.stop();
  }
}

export function describeBacklog(figures: BacklogFigures): string {
  const { megabytes, waitingMegabytes, drainingMegabytes, drained, messagesPerSecond } = figures;
  return `backlog of ${megabytes} MB: ${waitingMegabytes.toFixed(0)} MB while it waits, ${drainingMegabytes.toFixed(0)} MB after ${drained} messages drained at ${messagesPerSecond.toFixed(0)}/s`;
}
