// How much of what is sent arrives over a link that loses datagrams: the send agent's core and queue on one side, the recv
// agent's receiver on the other, and between them a network that is only a list of datagrams and of what is lost. No clock and no
// chance but a seed: the same figures on every machine. Nothing is sent again; replays and repeats come on top.
import { Receiver } from "../../agents/recv/link/receiver.ts";
import { emptyLinkState } from "../../agents/recv/link/session.ts";
import { SendCore } from "../../agents/send/core.ts";
import { Pacer } from "../../agents/send/link/pacer.ts";
import { PathQueue } from "../../agents/send/link/path-queue.ts";
import { openBlockLog } from "../../shared/store/open.ts";
import { Random } from "../sim/random.ts";

export type Setting = {
  readonly name: string;
  readonly repairPercent: number;
  readonly repairSymbolsMin: number;
  readonly interleaveBlocks: number;
};

/** The first is what a send.toml has that says nothing. */
export const SETTINGS: readonly Setting[] = [
  { name: "default", repairPercent: 10, repairSymbolsMin: 1, interleaveBlocks: 1 },
  { name: "careful", repairPercent: 25, repairSymbolsMin: 2, interleaveBlocks: 1 },
  { name: "bursts", repairPercent: 25, repairSymbolsMin: 3, interleaveBlocks: 16 },
  { name: "rough", repairPercent: 100, repairSymbolsMin: 4, interleaveBlocks: 16 },
];

export type Load = {
  readonly title: string;
  readonly messages: number;
  readonly payloadBytes: number;
  /** Messages taken in before a block is closed: those of `linger_ms`. */
  readonly together: number;
};

export const LOADS = {
  trickle: {
    title: "A trickle: each block is one message",
    messages: 20_000,
    payloadBytes: 100,
    together: 1,
  },
  bulk: {
    title: "Bulk: blocks are full, and wait for their turn",
    messages: 24_000,
    payloadBytes: 2000,
    together: 24,
  },
} as const satisfies Record<string, Load>;

/** Datagrams lost at random, or bursts of so many in a row, each at a random place, one in BURST_EVERY datagrams. */
export type Loss = { readonly percent: number } | { readonly burst: number };

export const LOSSES: readonly Loss[] = [
  ...[0, 0.1, 0.5, 1, 2, 3, 5, 7, 10].map((percent) => ({ percent })),
  ...[1, 2, 4, 8, 16, 32, 64].map((burst) => ({ burst })),
];
export const BURST_EVERY = 1000;

const SEED = 20;
const LINK = { linkId: "recovery", linkKeys: [new Uint8Array(32).fill(7)] };
const PATH_MBIT_PER_SECOND = 100;
const DATAGRAM_BYTES = 1400;
const OVERHEAD_BYTES = 66;

export type Train = {
  /** In the order in which they leave. */
  readonly datagrams: readonly Buffer[];
  readonly messages: number;
  /** Bytes on the wire for each byte of payload. */
  readonly wirePerByte: number;
};

/** Everything that leaves the sender for this load. */
export function sendTrain({ repairPercent, repairSymbolsMin, interleaveBlocks }: Setting, load: Load): Train {
  const datagrams: Buffer[] = [];
  const queue = new PathQueue({
    pacer: new Pacer(PATH_MBIT_PER_SECOND, DATAGRAM_BYTES + OVERHEAD_BYTES, 0),
    overheadBytes: OVERHEAD_BYTES,
    roomBytes: (PATH_MBIT_PER_SECOND * 1e6 * 0.01) / 8,
    interleaveBlocks,
    write: (leaving) => {
      datagrams.push(...leaving);
      return { written: leaving.length };
    },
    onError: () => {},
  });
  const blockBytes = 49_152;
  const options = {
    ...LINK,
    ...{ durability: "memory" as const, journalBytesMax: 2 ** 30, datagramBytes: DATAGRAM_BYTES, blockBytes },
    ...{ repairPercent, repairSymbolsMin, compress: false, heartbeatMs: 1000, repeatAfterMs: 0 },
    ...{
      messageBytesMax: 100_000,
      waitingBytesMax: 2 ** 25,
      qos0Overflow: "drop-newest" as const,
      filters: [],
      priorities: [],
      latestOnly: [],
    },
  } as const;
  const log = openBlockLog("", "", "memory");
  const paths = [{ name: "path-1", queue, bestEffort: false }];
  const quiet = { waiting: () => {}, lost: () => {}, blocked: () => {}, ready: () => {}, skipped: () => {} };
  let clockMs = 0;
  const now = () => ({ wallMs: clockMs, steadyMs: clockMs });
  const core = new SendCore(options, log, paths, now(), () => 1n, quiet);
  const random = new Random(SEED);
  const pump = () => {
    core.fill(now());
    return queue.pump(clockMs);
  };
  const message = { topic: "plant/line/value", qos: 1, retain: false, properties: undefined } as const;
  for (let index = 0; index < load.messages; index++) {
    const payload = Uint8Array.from({ length: load.payloadBytes }, () => random.bits());
    core.accept("plant", { ...message, payload, acceptedMs: clockMs }, () => {});
    if ((index + 1) % load.together !== 0) continue;
    clockMs++;
    core.flush(clockMs);
    pump();
  }
  for (core.flush(clockMs); !(core.idle && queue.empty); clockMs++) pump();
  core.close();
  const wireBytes = datagrams.reduce((sum, { length }) => sum + length + OVERHEAD_BYTES, 0);
  const { messages, payloadBytes } = load;
  return { datagrams, messages, wirePerByte: wireBytes / (messages * payloadBytes) };
}

/** The share of the messages that arrives, 0 to 1. */
export function receiveTrain(train: Train, loss: Loss): number {
  const options = { ...LINK, patienceMs: 1000, assemblyBytesMax: 2 ** 26, holdBytesMax: 2 ** 26 };
  let delivered = 0;
  const receiver = new Receiver({ ...options, contentBytesMax: 2 ** 20 }, emptyLinkState(), {
    deliver: (_, { count, skip }) => {
      delivered += count - skip;
    },
    recover: (_, joined, { first, end }) => {
      delivered += Math.min(end, joined.first + joined.count) - Math.max(first, joined.first);
    },
    gap: () => {},
    heartbeat: () => {},
    journalChanged: () => {},
    sinceKnown: () => {},
    epochChanged: () => {},
    restored: () => {},
    refused: () => {},
  });
  const random = new Random(SEED + 1);
  let losing = 0;
  for (const [index, datagram] of train.datagrams.entries()) {
    if ("burst" in loss && losing === 0 && random.below(BURST_EVERY) === 0) losing = loss.burst;
    const isLost = "burst" in loss ? losing-- > 0 : random.fraction() < loss.percent / 100;
    losing = Math.max(0, losing);
    if (!isLost) receiver.receive(datagram, 0, index);
    if (index % 1000 === 0) receiver.tick(index);
  }
  for (let wait = 1; wait < 3; wait++) receiver.tick(train.datagrams.length + wait * 10_000);
  return delivered / train.messages;
}

/** As a percentage that never says more than is true: 100 means all. */
export function showShare(share: number): string {
  return share === 1 ? "100" : (Math.floor(share * 100_000) / 1000).toFixed(3);
}
