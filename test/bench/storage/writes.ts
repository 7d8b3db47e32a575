// What the agents make the disk write for each byte of payload: bytes that the kernel books to the process (write_bytes of
// /proc/PID/io), over the payload of QoS 1 messages that were accepted. As fast as it goes, and as a trickle, where each
// message is a commit of its own.
import { readFileSync } from "node:fs";
import type { AgentName } from "../../support/agents.ts";
import { type RecvStatus, sum } from "../../support/status.ts";
import { waitFor } from "../../support/wait.ts";
import { startBroker } from "../broker.ts";
import type { Durability, Programs } from "../pair.ts";
import { Worker } from "../worker.ts";
import { BenchSite } from "./bench-site.ts";

export type Load = {
  readonly title: string;
  readonly payloadBytes: number;
  readonly messages: number;
  readonly ratePerSecond: number | undefined;
};

export type WriteFigures = Load & {
  readonly durability: Durability;
  readonly messagesPerSecond: number;
  /** Bytes written for each byte of payload. */
  readonly factor: Readonly<Record<AgentName, number>>;
  /** Bytes written for each message. */
  readonly bytesPerMessage: Readonly<Record<AgentName, number>>;
};

const TOPICS = 100;
const DEADLINE_MS = 120_000;

/** Enough of each that the write-ahead log was emptied into the file many times. */
export const LOADS: readonly Load[] = [
  ...(
    [
      [16, 1_000_000],
      [100, 500_000],
      [1024, 100_000],
      [8192, 15_000],
    ] as const
  ).map(([payloadBytes, messages]) => ({
    title: "as fast as it goes",
    payloadBytes,
    messages,
    ratePerSecond: undefined,
  })),
  { title: "1,000 a second", payloadBytes: 100, messages: 10_000, ratePerSecond: 1000 },
  { title: "100 a second", payloadBytes: 1024, messages: 1000, ratePerSecond: 100 },
];

export async function measureWrites(
  programs: Programs,
  durability: Durability,
  load: Load,
): Promise<WriteFigures> {
  const broker = await startBroker();
  const site = await BenchSite.open({ programs, durability, targetPort: broker.port });
  const generator = new Worker("generator");
  try {
    const { agent: recv } = await site.start("recv", DEADLINE_MS);
    const { agent: send } = await site.start("send", DEADLINE_MS);
    const { payloadBytes, messages, ratePerSecond } = load;
    await generator.ask({ command: "connect", port: site.sourcePort, qos: 1, topics: TOPICS, payloadBytes });
    const before = { send: readWrittenBytes(send.pid), recv: readWrittenBytes(recv.pid) };
    const { startUs, endUs } = await generator.ask<{ startUs: number; endUs: number }>({
      command: "send",
      first: 0,
      count: messages,
      ratePerSecond,
    });
    // A busy machine loses a datagram on its own loopback now and then: what is lost is written nowhere.
    const accepted = await waitFor("all delivered, or lost on the link", DEADLINE_MS, async () => {
      const { ledger, targets } = await recv.readStatus<RecvStatus>();
      const isOver = targets[0]?.ledger.held === 0 && ledger.accepted + sum(ledger.lost) === messages;
      return isOver && ledger.accepted;
    });
    const bytesPerMessage = {
      send: (readWrittenBytes(send.pid) - before.send) / messages,
      recv: (readWrittenBytes(recv.pid) - before.recv) / accepted,
    };
    return {
      ...load,
      durability,
      messagesPerSecond: (messages * 1e6) / (endUs - startUs),
      factor: {
        send: bytesPerMessage.send / payloadBytes,
        recv: bytesPerMessage.recv / payloadBytes,
      },
      bytesPerMessage,
    };
  } finally {
    await generator.stop();
    await site.close();
    await broker.stop();
  }
}

function readWrittenBytes(pid: number): number {
  return Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1] ?? 0);
}

export function describeWrites({
  durability,
  title,
  payloadBytes,
  messagesPerSecond,
  factor,
}: WriteFigures): string {
  return `${durability}, ${payloadBytes} B, ${title}: send ×${factor.send.toFixed(2)}, recv ×${factor.recv.toFixed(2)} at ${messagesPerSecond.toFixed(0)}/s`;
}
