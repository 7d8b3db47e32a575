// Random links for two decoders to agree on: contents, heartbeats, blocks and datagrams with faults at every level, sealed
// with the right key so that they are looked at, lost, doubled, out of order and late.
import { splitContent } from "../../../shared/framing/block.ts";
import { ContentWriter } from "../../../shared/framing/content.ts";
import { encodeHeartbeat } from "../../../shared/framing/heartbeat.ts";
import { SKIP_REASONS, type SkipReason } from "../../../shared/framing/reasons.ts";
import type { Random } from "../../unit/shared/fec/random.ts";
import {
  EPOCH,
  HEARTBEAT,
  JOURNAL_ID,
  LINK_ID,
  LINK_KEY,
  MESSAGES,
} from "../../unit/shared/framing/samples.ts";
import { type RawEnvelope, rawBlock, rawDatagrams } from "../../vectors/raw.ts";
import type { Job } from "./second-decoder.ts";

const REASONS = Object.keys(SKIP_REASONS) as SkipReason[];
/** Bytes that mean something in some place. */
const TELLING = [0x00, 0x01, 0x02, 0x03, 0x08, 0x0f, 0x26, 0x40, 0x7f, 0x80, 0xc3, 0xed, 0xff];

/** One receiver's life: what it gets, and when. */
export function inventJob(random: Random): Job {
  const isSealed = random.below(8) > 0;
  const sent: Buffer[] = [];
  const next = new Map<number, number>();
  const blockCount = 1 + random.below(6);
  for (let block = 0; block < blockCount; block++) sent.push(...inventBlock(random, block, next, isSealed));
  const arrived = disturb(random, sent);
  let nowMs = 0;
  const timesMs = arrived.map(() => {
    nowMs += random.below(10) === 0 ? random.below(1200) : 0;
    return nowMs;
  });
  const linkKeys = isSealed ? [Buffer.from(LINK_KEY).toString("hex")] : [];
  const datagrams = arrived.map((datagram) => datagram.toString("hex"));
  return {
    linkId: LINK_ID,
    linkKeys,
    datagrams,
    timesMs,
    endMs: nowMs + random.below(3000),
    contentBytesMax: 5000,
  };
}

function inventBlock(random: Random, block: number, next: Map<number, number>, isSealed: boolean): Buffer[] {
  const sourceSymbols = 1 + random.below(4);
  const shape = {
    block: random.below(12) === 0 ? random.below(3) : block,
    sourceSymbols,
    repairSymbols: random.below(3),
    linkKey: isSealed ? LINK_KEY : undefined,
    epoch: EPOCH + BigInt(random.below(12) === 0 ? random.below(3) : 0),
    journalId: JOURNAL_ID + BigInt(random.below(20) === 0 ? random.below(2) : 0),
  };
  if (random.below(5) === 0) {
    const content = spoil(random, encodeHeartbeat(inventHeartbeat(random)));
    return rawDatagrams(rawBlock(content, spoilEnvelope(random, content.length)), { ...shape, kind: 2 });
  }
  const stream = random.below(2);
  const { content, count } = inventContent(random);
  const expected = next.get(stream) ?? 0;
  const first = Math.max(0, expected + (random.below(4) === 0 ? random.below(5) - 2 : 0));
  next.set(stream, first + count);
  const spoiled = spoil(random, content);
  const pieceBytes = random.below(6) === 0 ? Math.ceil(spoiled.length / 2) : spoiled.length;
  const parts = splitContent(first, count, spoiled, pieceBytes);
  return parts.flatMap(({ part, parts: number, contentBytes, piece }) => {
    const change = { first: BigInt(first), count, part, parts: number, contentBytes };
    const envelope = { ...change, ...spoilEnvelope(random, piece.length) };
    return rawDatagrams(rawBlock(piece, envelope), { ...shape, stream, block: shape.block * 10 + part });
  });
}

function inventContent(random: Random): { content: Buffer; count: number } {
  const writer = new ContentWriter();
  for (let left = 1 + random.below(4); left > 0; left--) {
    const message = MESSAGES[random.below(MESSAGES.length)];
    if (message === undefined || random.below(5) === 0) {
      writer.addSkip(1 + random.below(4), REASONS[random.below(REASONS.length)] ?? "void");
    } else writer.addMessage(message);
  }
  const count = writer.count;
  return { content: writer.take(), count };
}

function inventHeartbeat(random: Random) {
  const next = random.below(20);
  const stream = { stream: random.below(2), next, sent: random.below(next + 1), oldest: 0, epochFirst: 0 };
  return { ...HEARTBEAT, streams: [stream], ...(random.below(3) === 0 ? { sections: [] } : {}) };
}

/** Now and then: bytes changed, taken out, put in or doubled. */
function spoil(random: Random, bytes: Buffer): Buffer {
  if (random.below(2) === 0 || bytes.length === 0) return bytes;
  const at = random.below(bytes.length);
  const telling = TELLING[random.below(TELLING.length)] ?? 0;
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  const size = 1 + random.below(4);
  const ways = [
    () => Buffer.concat([before, Buffer.from([telling]), after.subarray(1)]),
    () =>
      Buffer.concat([before, Buffer.from([(bytes[at] ?? 0) ^ (1 << random.below(8))]), after.subarray(1)]),
    () => Buffer.concat([before, after.subarray(size)]),
    () => Buffer.concat([before, Buffer.from([telling]), after]),
    () => Buffer.concat([before, after.subarray(0, size), after]),
    () => before,
  ];
  const spoiled = ways[random.below(ways.length)]?.() ?? bytes;
  return spoiled.length === 0 ? bytes : spoiled;
}

function spoilEnvelope(random: Random, pieceBytes: number): Partial<RawEnvelope> {
  if (random.below(8) > 0) return {};
  const changes: Partial<RawEnvelope>[] = [
    { flags: 2 << random.below(7) },
    { pieceBytes: random.below(2) * pieceBytes + random.below(3) - 1 + 1 },
    { first: BigInt(random.below(8)) },
    { first: 2n ** 53n - BigInt(random.below(4)) },
    { count: random.below(5) },
    { part: random.below(3) },
    { parts: random.below(4) },
    { contentBytes: random.below(6000) },
  ];
  return changes[random.below(changes.length)] ?? {};
}

function disturb(random: Random, sent: readonly Buffer[]): Buffer[] {
  const arrived = sent.filter(() => random.below(8) > 0);
  for (let left = random.below(4); left > 0 && arrived.length > 1; left--) {
    const from = random.below(arrived.length);
    const [datagram = Buffer.alloc(0)] = arrived.splice(from, 1);
    arrived.splice(random.below(arrived.length + 1), 0, datagram);
    if (random.below(2) === 0) arrived.splice(random.below(arrived.length + 1), 0, datagram);
  }
  return arrived.map((datagram) => (random.below(20) === 0 ? spoil(random, datagram) : datagram));
}
