// One run over the bare link: goodput of sealed and coded blocks, or of plain datagrams, between two processes.
import { FailedRun } from "./carry.ts";
import type { LinkTally } from "./link-receiver.ts";
import type { LinkWishes } from "./link-shape.ts";
import { readCosts, subtractCosts } from "./proc.ts";
import { Worker } from "./worker.ts";

export type LinkResult = {
  readonly megabitsPerSecond: number;
  readonly datagramsPerSecond: number;
  /** Processor seconds per gigabyte of goodput. */
  readonly cpuSecondsPerGigabyte: { readonly sender: number; readonly receiver: number };
  readonly receiveBufferBytes: number;
  readonly foreignLoad: number;
};

export async function runLink(wishes: LinkWishes): Promise<LinkResult> {
  const sender = new Worker("link-sender");
  const receiver = new Worker("link-receiver");
  try {
    const opened = await receiver.ask<{ port: number; creditPort: number; receiveBufferBytes: number }>({
      command: "open",
      ...wishes,
    });
    const pids = { sender: sender.pid, receiver: receiver.pid };
    const before = readCosts(pids);
    const sent = await sender.ask<{ startUs: number; startUnits: number; datagrams: number; units: number }>({
      command: "send",
      ...wishes,
      ...opened,
    });
    const tally = await receiver.ask<LinkTally>({ command: "collect", expected: sent.datagrams });
    const { cpu, foreignLoad } = subtractCosts(readCosts(pids), before);
    if (tally.units !== sent.units || tally.faults.length > 0) {
      const faults = tally.faults.join(", ");
      throw new FailedRun(
        `link: ${tally.units} of ${sent.units} arrived, ${tally.datagrams} of ${sent.datagrams} datagrams; ${faults}`,
      );
    }
    const seconds = (tally.lastUs - sent.startUs) / 1e6;
    const gigabytes = tally.bytes / 1e9;
    const measured = (sent.units - sent.startUnits) / sent.units;
    return {
      megabitsPerSecond: (measured * tally.bytes * 8) / 1e6 / seconds,
      datagramsPerSecond: (measured * tally.datagrams) / seconds,
      cpuSecondsPerGigabyte: {
        sender: (cpu.sender ?? 0) / gigabytes,
        receiver: (cpu.receiver ?? 0) / gigabytes,
      },
      receiveBufferBytes: opened.receiveBufferBytes,
      foreignLoad,
    };
  } finally {
    await Promise.all([sender.stop(), receiver.stop()]);
  }
}
