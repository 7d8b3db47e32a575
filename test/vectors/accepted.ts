// Golden vectors of what a receiver takes: every kind of datagram, frame and property, every way that blocks, parts, keys,
// runs, order and gaps can come together.
import { compressContent } from "../../shared/framing/compression.ts";
import { type Block, splitContent } from "../../shared/framing/block.ts";
import { ContentWriter } from "../../shared/framing/content.ts";
import { KIND_MESSAGES } from "../../shared/framing/header.ts";
import { encodeHeartbeat, type Heartbeat } from "../../shared/framing/heartbeat.ts";
import { SKIP_REASONS, type SkipReason } from "../../shared/framing/reasons.ts";
import {
  EPOCH,
  HEARTBEAT,
  LINK_KEY,
  MESSAGES,
  makeEncoder,
  makeMessage,
} from "../unit/shared/framing/samples.ts";
import { fromHex, rawBlock, rawContent, rawDatagrams } from "./raw.ts";
import type { WireInput } from "./wire.ts";

/** A vector to be: datagrams as bytes. */
export type RawInput = Omit<WireInput, "datagrams"> & { readonly datagrams: readonly Buffer[] };

export const OTHER_KEY = new Uint8Array(32).fill(7);
const hex = (key: Uint8Array) => Buffer.from(key).toString("hex");

export function content(texts: readonly string[]): { content: Buffer; count: number } {
  const writer = new ContentWriter();
  for (const payload of texts) writer.addMessage(makeMessage({ payload: Buffer.from(payload) }));
  const count = writer.count;
  return { content: writer.take(), count };
}

export function blocks(first: number, texts: readonly string[], pieceBytes = 20_000): Block[] {
  const { content: bytes, count } = content(texts);
  return splitContent(first, count, bytes, pieceBytes);
}

export function messages(first: number, texts: readonly string[], options = {}, pieceBytes?: number): Buffer[] {
  const encoder = makeEncoder(options);
  return blocks(first, texts, pieceBytes).flatMap((block) => encoder.encode(KIND_MESSAGES, 0, block));
}

/** Datagrams of several blocks of one run, in the order of the list, repair symbols left out. */
export function run(list: readonly { stream?: number; first: number; texts: readonly string[] }[], options = {}) {
  const encoder = makeEncoder({ repairSymbolsMin: 0, ...options });
  return list.map(({ stream = 0, first, texts }) =>
    blocks(first, texts).flatMap((block) => encoder.encode(KIND_MESSAGES, stream, block)),
  );
}

/** The parts of one content, each in a block of one datagram. */
function cut(pieceBytes: number, block: number): Buffer[] {
  return blocks(0, ["abcdefghij".repeat(10)], pieceBytes).flatMap(({ piece, part, parts, contentBytes }) =>
    rawDatagrams(rawBlock(piece, { part, parts, contentBytes }), { block: block + part }),
  );
}

function every(): Buffer[] {
  const writer = new ContentWriter();
  for (const message of MESSAGES) writer.addMessage(message);
  writer.addSkip(3, "expired");
  writer.addSkip(1, "conflated");
  return whole(writer);
}

function skips(): Buffer[] {
  const writer = new ContentWriter();
  for (const reason of Object.keys(SKIP_REASONS) as SkipReason[]) writer.addSkip(SKIP_REASONS[reason], reason);
  writer.addSkip(1_000_000, "void");
  return whole(writer);
}

function whole(writer: ContentWriter): Buffer[] {
  const count = writer.count;
  const [block] = splitContent(0, count, writer.take(), 20_000);
  return block ? makeEncoder().encode(KIND_MESSAGES, 0, block) : [];
}

function compressed(pieceBytes: number, options = {}): Buffer[] {
  const { content: bytes, count } = content(Array.from({ length: 20 }, (_, i) => `{"value":21.5,"number":${i}}`));
  const encoder = makeEncoder(options);
  return splitContent(0, count, compressContent(bytes) ?? bytes, pieceBytes, true).flatMap((block) =>
    encoder.encode(KIND_MESSAGES, 0, block),
  );
}

function heartbeat(change: Partial<Heartbeat>, options = {}): Buffer[] {
  return makeEncoder(options).encodeHeartbeat(encodeHeartbeat({ ...HEARTBEAT, ...change }));
}

const one = messages(0, ["hello"]);
const long = messages(0, ["0123456789".repeat(60)], { datagramBytes: 200, repairPercent: 50 });
const k = long[0]?.readUInt8(34) ?? 0;
const [first = [], second = [], third = [], fourth = []] = run([
  { first: 0, texts: ["a"] },
  { first: 1, texts: ["b", "c"] },
  { first: 3, texts: ["d"] },
  { first: 0, texts: ["a", "b", "c", "d", "e"] },
]);
const alarms = run([
  { stream: 1, first: 0, texts: ["bulk"] },
  { stream: 0, first: 0, texts: ["alarm"] },
  { stream: 15, first: 0, texts: ["repeat"] },
]).flat();
const entry = { epochFirst: 0, next: 3, sent: 3, oldest: 0 };
const tail = heartbeat({ streams: [{ stream: 0, ...entry }], sections: [] });
const topics = Array.from({ length: 255 - 25 }, () => 0x78);
const nextRun = run([{ first: 1, texts: ["b", "c"] }], { epoch: EPOCH + (1n << 32n) }).flat();
const newJournal = run([{ first: 0, texts: ["new"] }], { journalId: 1n, epoch: 5n }).flat();
const both = messages(0, ["hello"], { linkKeys: [LINK_KEY, OTHER_KEY] });

export const ACCEPTED: Record<string, RawInput> = {
  "one message, one source and one repair symbol": { datagrams: one },
  "every flag and property, and skips": { datagrams: every() },
  "five source and three repair symbols": { datagrams: long },
  "repair symbols stand in for lost source symbols": { datagrams: long.slice(long.length - k) },
  "a content in three parts, the last first": {
    datagrams: messages(0, ["abcdefghij".repeat(10)], { datagramBytes: 200 }, 60).reverse(),
  },
  "a heartbeat": { datagrams: heartbeat({}) },
  "the repair symbol alone": { datagrams: one.slice(1) },
  "the same datagram twice": { datagrams: one.slice(0, 1).concat(one.slice(0, 1)) },
};

export const ACCEPTED_MORE: Record<string, RawInput> = {
  "every skip reason": { datagrams: skips() },
  "a zstd content": { datagrams: compressed(20_000) },
  "a zstd content in parts, repair symbols for some": {
    datagrams: compressed(60, { datagramBytes: 200 }).filter((_, index) => index % 2 === (index >> 1) % 2),
  },
  "parts that begin anew, cut otherwise": {
    datagrams: [...cut(40, 0).slice(0, 2), ...cut(90, 10)],
  },
  "not sealed": { datagrams: messages(0, ["hello"], { linkKeys: [] }), linkKeys: [] },
  "a heartbeat that is not sealed": { datagrams: heartbeat({}, { linkKeys: [] }), linkKeys: [] },
  "two live keys, a receiver that has both": { datagrams: both, linkKeys: [LINK_KEY, OTHER_KEY].map(hex) },
  "two live keys, a receiver that has the old one": { datagrams: both, linkKeys: [hex(LINK_KEY)] },
  "two live keys, a receiver that has the new one": { datagrams: both, linkKeys: [hex(OTHER_KEY)] },
  "two live keys, a symbol under either": {
    datagrams: messages(0, ["0123456789".repeat(20)], { datagramBytes: 200, linkKeys: [LINK_KEY, OTHER_KEY] }).filter(
      (_, index) => index === 0 || index === 3,
    ),
    linkKeys: [LINK_KEY, OTHER_KEY].map(hex),
  },
  "three streams, each with its own order": { datagrams: alarms },
  "contents that come in the wrong order": { datagrams: [third, second, first].flat() },
  "a content of which the first frames are here": { datagrams: [first, second, fourth].flat() },
  "a hole that is waited for, and closes": { datagrams: [first, third, second].flat(), timesMs: [0, 0, 999] },
  "a hole that becomes a gap": { datagrams: [first, third].flat(), timesMs: [0, 10], endMs: 1010 },
  "a gap that closes later": { datagrams: [first, third, second].flat(), timesMs: [0, 0, 5000] },
  "a gap of which some closes": {
    datagrams: [third, second].flat(),
    timesMs: [0, 1000],
  },
  "a gap at the tail, known by a heartbeat": {
    datagrams: [...first, ...tail.slice(0, 1)],
    endMs: 1000,
  },
  "a heartbeat of many sections over three symbols": {
    datagrams: heartbeat(
      {
        stopping: true,
        uptimeMs: Number.MAX_SAFE_INTEGER,
        streams: [0, 3, 15].map((stream) => ({ stream, ...entry, next: 2 ** 40, sent: 0 })),
        sections: (["none", "connecting", "connected", "down"] as const).map((state, index) => ({
          type: "source",
          name: `größe-${index}`,
          state,
          counters: new Map([["a counter of a later version", Number.MAX_SAFE_INTEGER]]),
        })),
      },
      { datagramBytes: 200, repairSymbolsMin: 2 },
    ).slice(1),
  },
  "255 source symbols of one byte, the first one lost": {
    datagrams: rawDatagrams(
      rawBlock(Buffer.from([0, 0, 1, ...topics.slice(0, 1), 0, ...varint(topics.length - 7), ...topics.slice(7)])),
      { sourceSymbols: 255, repairSymbols: 1 },
    ).slice(1),
  },
  "128 repair symbols of a block of one": {
    datagrams: rawDatagrams(rawBlock(content(["x"]).content), { repairSymbols: 128 }).slice(128),
  },
  "more padding than a sender makes": {
    datagrams: rawDatagrams(rawBlock(content(["x"]).content, {}, "00".repeat(100)), { sourceSymbols: 3 }),
  },
  "a topic that is added twice, and one with a byte order mark": {
    datagrams: rawContent("00 00 01 61 00 00 | 00 01 01 61 00 00 | 00 02 04 efbbbf61 00 00", 3),
  },
  "a clock before 1970": { datagrams: rawContent("00 00 01 61 03 00 | 00 00 02 00", 2) },
  "the latest clock": {
    datagrams: rawContent("00 00 01 61 feffffffffffff0f 00 | 00 00 feffffffffffff0f 00 | 00 00 02 00", 3),
  },
  "the earliest clock": {
    datagrams: rawContent("00 00 01 61 ffffffffffffff0f 00 | 00 00 fdffffffffffff0f 00", 2),
  },
  "a zstd frame that tells neither size nor checksum": {
    datagrams: rawDatagrams(rawBlock(fromHex("28b52ffd 00 58 180000 00 00 01 | 0a0000 61 | 110000 00 00"), { flags: 1 })),
  },
  "the highest block number and epoch": {
    datagrams: rawDatagrams(rawBlock(content(["x"]).content), { block: 2 ** 53 - 1, epoch: 2n ** 64n - 1n }),
  },
  "the highest sequence": {
    datagrams: rawDatagrams(rawBlock(content(["x"]).content, { first: 2n ** 53n - 2n })),
    endMs: 1000,
  },
  "a new run of the sender, and then one of the old": { datagrams: [first, nextRun, second].flat() },
  "a new journal, and then the retired one": { datagrams: [first, third, newJournal, second].flat() },
};

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, Math.floor(value / 128)];
}
