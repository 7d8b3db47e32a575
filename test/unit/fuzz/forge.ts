// What an attacker can put on the link. Without the key: bytes that look right. With the key (a sender that was taken
// over): well sealed datagrams of blocks, contents and heartbeats in which any field may be wrong.
import { type Block, encodeBlock } from "../../../shared/framing/block.ts";
import { ByteWriter } from "../../../shared/framing/bytes.ts";
import { compressContent } from "../../../shared/framing/compression.ts";
import { ContentWriter } from "../../../shared/framing/content.ts";
import { encodeHeader, type Header, type Kind } from "../../../shared/framing/header.ts";
import { encodeHeartbeat } from "../../../shared/framing/heartbeat.ts";
import { deriveEpochKey, deriveKeyId, deriveLinkTag } from "../../../shared/framing/keys.ts";
import { sealDatagram } from "../../../shared/framing/seal.ts";
import { HEARTBEAT, LINK_ID, LINK_KEY, makeMessage } from "../shared/framing/samples.ts";
import type { Random } from "./random.ts";

export type Run = { readonly journalId: bigint; readonly epoch: bigint };

const U32_MAX = 0xffff_ffff;

/** A header in which every field is plausible or, now and then, odd; it always encodes. */
export function forgeHeader(random: Random, run: Run, change: Partial<Header> = {}): Header {
  const sourceSymbols = random.chance(0.5) ? 1 : 1 + random.below(255);
  const repairSymbols = random.below(257 - sourceSymbols);
  return {
    kind: random.chance(0.7) ? 1 : 2,
    keyId: deriveKeyId(LINK_KEY),
    linkTag: deriveLinkTag(LINK_ID),
    ...run,
    block: random.chance(0.8) ? random.below(10_000) : random.oddNumber(),
    stream: random.chance(0.7) ? 0 : random.below(256),
    symbol: random.below(sourceSymbols + repairSymbols),
    sourceSymbols,
    repairSymbols: Math.min(repairSymbols, 255),
    ...change,
  };
}

/** Seals under the right key. */
export function seal(header: Header, symbol: Uint8Array): Buffer {
  const { journalId, epoch } = header;
  return sealDatagram(header, symbol, deriveEpochKey(LINK_KEY, LINK_ID, journalId, epoch));
}

/** The datagrams of a block of one's own making, under the right key, cut in k symbols without repair. */
export function sealBlock(
  run: Run,
  number: number,
  stream: number,
  bytes: Uint8Array,
  kind: Kind = 1,
): Buffer[] {
  const symbolBytes = Math.max(1, Math.ceil(bytes.length / Math.min(255, Math.ceil(bytes.length / 1300))));
  const sourceSymbols = Math.ceil(bytes.length / symbolBytes);
  const padded = Buffer.alloc(sourceSymbols * symbolBytes);
  padded.set(bytes);
  const common = { kind, keyId: deriveKeyId(LINK_KEY), linkTag: deriveLinkTag(LINK_ID), ...run };
  return Array.from({ length: sourceSymbols }, (_, symbol) =>
    seal(
      { ...common, block: number, stream, symbol, sourceSymbols, repairSymbols: 0 },
      padded.subarray(symbol * symbolBytes, (symbol + 1) * symbolBytes),
    ),
  );
}

/** A whole block with a content of frames that may be anything. */
export function forgeBlock(random: Random): Uint8Array {
  const count = random.chance(0.7) ? 1 + random.below(20) : Math.min(U32_MAX, random.oddNumber());
  const content = random.chance(0.3) ? random.bytes(1 + random.below(300)) : forgeContent(random, count);
  const compressed = random.chance(0.3) ? compressContent(content) : undefined;
  const piece = compressed ?? content;
  const parts = random.chance(0.7) ? 1 : Math.min(65_535, random.oddNumber());
  const block: Block = {
    first: random.chance(0.6) ? random.below(1000) : random.oddNumber(),
    count,
    part: random.chance(0.8) ? random.below(Math.max(1, parts)) : random.below(65_536),
    parts,
    compressed: compressed !== undefined || random.chance(0.1),
    contentBytes: random.chance(0.7) ? piece.length : Math.min(U32_MAX, random.oddNumber()),
    piece,
  };
  const { bytes } = encodeBlock(block, 1400);
  if (random.chance(0.2)) turnBits(random, bytes.subarray(0, 25 + random.below(40)));
  return bytes;
}

/** Frames with odd numbers in their places: indexes, lengths, times, counts, properties. */
export function forgeContent(random: Random, count: number): Uint8Array {
  const writer = new ContentWriter();
  for (let frame = 0; frame < Math.min(count, 50); frame++) {
    if (random.chance(0.1))
      writer.addSkip(1, random.pick(["expired", "conflated", "overflow", "void", "corrupt"]));
    else {
      const sign = random.chance(0.5) ? 1 : -1;
      const topic = `forged/${random.below(4)}`;
      const acceptedMs = random.chance(0.8)
        ? 1_700_000_000_000
        : sign * Math.min(2 ** 51, random.oddNumber());
      writer.addMessage(makeMessage({ topic, acceptedMs, payload: random.bytes(random.below(40)) }));
    }
  }
  const content = writer.take();
  if (content.length === 0 || random.chance(0.3))
    return content.length === 0 ? Buffer.from([0x40, 1, 1]) : content;
  const odd = new ByteWriter(64);
  odd.varint(random.oddNumber());
  const patch = random.chance(0.5) ? odd.take() : Buffer.from(random.pick(BAD_VARINTS));
  const at = random.below(content.length);
  return Buffer.concat([
    content.subarray(0, at),
    patch,
    content.subarray(at + random.below(patch.length + 1)),
  ]);
}

/** Varints that are too long, not in their shortest form, above 2^53 - 1, or cut. */
export const BAD_VARINTS: readonly (readonly number[])[] = [
  [0x80],
  [0xff, 0xff],
  [0x80, 0x00],
  [0xff, 0x80, 0x00],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x10],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

/** A heartbeat whose figures and clock may be anything. */
export function forgeHeartbeat(random: Random): Uint8Array {
  const next = random.oddNumber();
  const figure = () => Math.min(next, random.oddNumber());
  const streams = Array.from({ length: random.below(5) }, () => ({
    stream: random.chance(0.7) ? random.below(16) : random.below(256),
    epochFirst: figure(),
    next,
    sent: figure(),
    oldest: figure(),
  }));
  const clockMs = random.pick([0, 1, 4_102_444_800_000, Number.MAX_SAFE_INTEGER, random.oddNumber()]);
  const bytes = encodeHeartbeat({ ...HEARTBEAT, clockMs, uptimeMs: random.oddNumber(), streams });
  const content = random.chance(0.4) ? turnBits(random, Buffer.from(bytes)) : bytes;
  const envelope = { first: 0, count: 1, part: 0, parts: 1, compressed: false };
  return encodeBlock({ ...envelope, contentBytes: content.length, piece: content }, 1400).bytes;
}

/** Bytes without the key: noise, headers over noise, and true datagrams altered, cut, lengthened or crossed. */
export function forgeDatagram(random: Random, seen: readonly Buffer[], run: Run): Buffer {
  const kind = random.below(8);
  const one = Buffer.from(random.pick(seen));
  if (kind === 0) return random.bytes(random.below(2000));
  if (kind === 1) {
    const known = random.chance(0.5) ? run : { journalId: random.big64(), epoch: random.big64() };
    const out = Buffer.concat([Buffer.alloc(36), random.bytes(1 + random.below(1400))]);
    encodeHeader(out, forgeHeader(random, known, random.chance(0.2) ? { keyId: random.below(65_536) } : {}));
    return out;
  }
  if (kind === 2) return turnBits(random, one);
  if (kind === 3) return one.subarray(0, random.below(one.length));
  if (kind === 4) return Buffer.concat([one, random.bytes(1 + random.below(20))]);
  if (kind === 5) return Buffer.concat([one.subarray(0, 36), random.pick(seen).subarray(36)]);
  // One field of the header is another: journal, epoch, block, stream, symbol, k, r.
  const [at, size] = random.pick([
    [8, 8],
    [16, 8],
    [24, 8],
    [32, 1],
    [33, 1],
    [34, 1],
    [35, 1],
  ] as const);
  if (kind === 6) one.fill(random.pick([0, 1, 0x7f, 0xff]), at, at + size);
  else one.set(random.bytes(size), at);
  return one;
}

export function turnBits<Bytes extends Uint8Array>(random: Random, bytes: Bytes): Bytes {
  for (let bits = 1 + random.below(8); bits > 0 && bytes.length > 0; bits--) {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  }
  return bytes;
}

/** The bytes of a block of one sequence whose piece is a skip frame, or as much of one as `pieceBytes` says. */
export function makeEnvelope(
  fields: Pick<Block, "first" | "part" | "parts" | "contentBytes">,
  pieceBytes = 3,
): Uint8Array {
  const piece = Buffer.from([0x40, 1, 1]).subarray(0, pieceBytes);
  return encodeBlock({ ...fields, count: 1, compressed: false, piece }, 1400).bytes;
}

/** A proper heartbeat of a sender whose clock says `clockMs`. */
export function makeHeartbeatAt(clockMs: number): Uint8Array {
  const piece = encodeHeartbeat({ ...HEARTBEAT, clockMs, streams: [] });
  const envelope = { first: 0, count: 1, part: 0, parts: 1, compressed: false };
  return encodeBlock({ ...envelope, contentBytes: piece.length, piece }, 1400).bytes;
}
