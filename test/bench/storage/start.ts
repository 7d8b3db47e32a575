// How long an agent takes to be ready with a journal or spool of a given size: after a clean stop and after kill -9, with the
// file in memory or not; beside it, how long it takes to read the same file and do nothing with it.
import type { AgentName } from "../../support/agents.ts";
import { findFreeTcpPort } from "../../support/ports.ts";
import type { Programs } from "../pair.ts";
import { readPeakMegabytes } from "../proc.ts";
import { BenchSite, TARGET } from "./bench-site.ts";
import { dropCache, timeReading } from "./cache.ts";
import { fillJournal, fillSpool } from "./fill.ts";

const DEADLINE_MS = 600_000;

export type StartFigures = {
  readonly agent: AgentName;
  readonly megabytes: number;
  readonly rowBytes: number;
  /** Undefined when the cache could not be emptied. */
  readonly coldReadMs: number | undefined;
  readonly warmReadMs: number | undefined;
  /** After a clean stop, nothing of the file in memory. */
  readonly coldMs: number;
  /** After kill -9, nothing of the file in memory. */
  readonly killedMs: number;
  /** After kill -9 a moment ago. */
  readonly warmMs: number;
  readonly peakMegabytes: number;
};

export async function measureStarts(
  programs: Programs,
  megabytes: number,
  rowBytes: number,
  note: (line: string) => void,
): Promise<StartFigures[]> {
  const figures: StartFigures[] = [];
  for (const agent of ["send", "recv"] as const) {
    // Nobody is there: the target is down and known to be.
    const targetPort = await findFreeTcpPort();
    const site = await BenchSite.open({ programs, durability: "fsync", targetPort });
    try {
      figures.push(await measureOne(site, agent, megabytes, rowBytes));
      note(describe(figures.at(-1) as StartFigures));
    } finally {
      await site.close();
    }
  }
  return figures;
}

async function measureOne(
  site: BenchSite,
  agent: AgentName,
  megabytes: number,
  rowBytes: number,
): Promise<StartFigures> {
  const bytes = megabytes * 1e6;
  if (agent === "send") fillJournal(site.journalDirectory, bytes, rowBytes);
  else fillSpool(site.spoolDirectory, bytes, TARGET, rowBytes);
  const directory = agent === "send" ? site.journalDirectory : site.spoolDirectory;
  const isCold = dropCache();
  const coldReadMs = isCold ? timeReading(directory) : undefined;
  const warmReadMs = timeReading(directory);
  let peakMegabytes = 0;
  const start = async (): Promise<number> => {
    const { agent: started, readyMs } = await site.start(agent, DEADLINE_MS);
    peakMegabytes = Math.max(peakMegabytes, readPeakMegabytes(started.pid));
    await started.kill();
    return readyMs;
  };
  dropCache();
  const coldMs = await start();
  dropCache();
  const killedMs = await start();
  const warmMs = await start();
  return { agent, megabytes, rowBytes, coldReadMs, warmReadMs, coldMs, killedMs, warmMs, peakMegabytes };
}

function describe(figures: StartFigures): string {
  const { agent, megabytes, rowBytes, coldReadMs, warmReadMs, coldMs, killedMs, warmMs } = figures;
  const ms = (value: number | undefined) => (value === undefined ? "unknown" : value.toFixed(0));
  return `start of ${agent} with ${megabytes} MB in rows of ${rowBytes} B: cold ${ms(coldMs)} ms, killed ${ms(killedMs)} ms, warm ${ms(warmMs)} ms; cat ${ms(coldReadMs)} ms cold, ${ms(warmReadMs)} ms warm`;
}
