// Every decoder of the wire, fed with anything: a value or a reason, never an exception; and whatever is taken is what
// the encoder would have written, to the byte.
import { expect, test } from "bun:test";
import { decodeBlock, encodeBlock } from "../../../shared/framing/block.ts";
import { ByteReader, ByteWriter } from "../../../shared/framing/bytes.ts";
import { compressContent, decompressContent } from "../../../shared/framing/compression.ts";
import { ContentWriter, decodeContent, type Frame } from "../../../shared/framing/content.ts";
import { decodeHeader, encodeHeader, HEADER_BYTES } from "../../../shared/framing/header.ts";
import { decodeHeartbeat, encodeHeartbeat } from "../../../shared/framing/heartbeat.ts";
import { decodeGapCode, encodeGapCode } from "../../../shared/gap/code.ts";
import { EPOCH, JOURNAL_ID, MESSAGES } from "../shared/framing/samples.ts";
import {
  BAD_VARINTS,
  forgeBlock,
  forgeContent,
  forgeDatagram,
  forgeHeader,
  forgeHeartbeat,
  turnBits,
} from "./forge.ts";
import { spendTime, startRandom } from "./random.ts";

const RUN = { journalId: JOURNAL_ID, epoch: EPOCH };
const SHARE = 0.03;
const TIMEOUT_MS = 60_000 + 1000 * Number(process.env.TIDEGATE_FUZZ_SECONDS ?? 20);

test(
  "ByteReader.varint() takes the shortest form of every number up to 2^53 - 1 and nothing else",
  () => {
    const random = startRandom("varints");
    const writer = new ByteWriter(16);
    spendTime(SHARE, () => {
      const number = random.oddNumber();
      writer.varint(number);
      const bytes = writer.take();
      const reader = new ByteReader(bytes);
      expect(reader.varint()).toBe(number);
      expect(reader.finished).toBe(true);
      const noise = new ByteReader(random.bytes(1 + random.below(10)));
      const length = noise.remaining;
      const value = noise.varint();
      if (noise.failed) return;
      writer.varint(value);
      expect(writer.take().length).toBe(length - noise.remaining);
    });
    for (const bytes of BAD_VARINTS) {
      const reader = new ByteReader(Buffer.from(bytes));
      reader.varint();
      expect([bytes, reader.failed]).toEqual([bytes, true]);
    }
  },
  TIMEOUT_MS,
);

/** Whether a topic is in the dictionary twice, or seems to be. */
function isSpelledTwice(content: Uint8Array, frames: readonly Frame[]): boolean {
  const bytes = Buffer.from(content);
  return frames.some((frame) => {
    if (frame.type === "skip") return false;
    const text = Buffer.from(frame.message.topic);
    if (text.length >= 0x80) return false;
    const entry = Buffer.concat([Buffer.from([text.length]), text]);
    return bytes.indexOf(entry, bytes.indexOf(entry) + 1) >= 0;
  });
}

test(
  "decodeContent() refuses or takes what encodes to the same bytes again",
  () => {
    const random = startRandom("contents");
    const good = new ContentWriter();
    for (const message of MESSAGES) good.addMessage(message);
    const whole = good.take();
    let taken = 0;
    spendTime(SHARE, () => {
      const count = 1 + random.below(20);
      const content = random.chance(0.5) ? forgeContent(random, count) : turnBits(random, Buffer.from(whole));
      const frames = decodeContent(content, random.chance(0.5) ? count : MESSAGES.length);
      if (frames === undefined) return;
      // What a content may do and no sender does, so that it comes out shorter.
      if (isSpelledTwice(content, frames)) return;
      taken++;
      const writer = new ContentWriter();
      for (const frame of frames) {
        if (frame.type === "skip") writer.addSkip(frame.count, frame.reason);
        else writer.addMessage(frame.message);
      }
      expect(writer.take().toString("hex")).toBe(Buffer.from(content).toString("hex"));
    });
    expect(taken).toBeGreaterThan(10);
  },
  TIMEOUT_MS,
);

test(
  "decodeBlock() refuses or takes what encodes to the same bytes again",
  () => {
    const random = startRandom("blocks");
    let taken = 0;
    spendTime(SHARE, () => {
      const bytes = random.chance(0.9) ? forgeBlock(random) : random.bytes(random.below(100));
      const block = decodeBlock(bytes);
      if (block === undefined) return;
      taken++;
      const again = encodeBlock(block, bytes.length).bytes;
      expect(bytes.subarray(0, again.length)).toEqual(new Uint8Array(again));
      expect(bytes.subarray(again.length).every((byte) => byte === 0)).toBe(true);
    });
    expect(taken).toBeGreaterThan(10);
  },
  TIMEOUT_MS,
);

test(
  "decodeHeartbeat() refuses or takes what encodes to the same bytes again",
  () => {
    const random = startRandom("heartbeats");
    let taken = 0;
    spendTime(SHARE, () => {
      const block = decodeBlock(forgeHeartbeat(random));
      const content = block === undefined ? random.bytes(random.below(200)) : Buffer.from(block.piece);
      const heartbeat = decodeHeartbeat(content);
      if (heartbeat === undefined) return;
      taken++;
      expect(Buffer.from(encodeHeartbeat(heartbeat)).toString("hex")).toBe(content.toString("hex"));
    });
    expect(taken).toBeGreaterThan(10);
  },
  TIMEOUT_MS,
);

test(
  "decodeHeader() gives a reason or a header that encodes to the same bytes again",
  () => {
    const random = startRandom("headers");
    const true36 = Buffer.alloc(HEADER_BYTES + 60);
    encodeHeader(true36, forgeHeader(random, RUN, { block: 7, stream: 0, kind: 1 }));
    let last: Exclude<ReturnType<typeof decodeHeader>, string> | undefined;
    spendTime(SHARE, () => {
      const datagram = forgeDatagram(random, [true36], RUN);
      const alone = decodeHeader(datagram);
      const header = decodeHeader(datagram, last);
      if (typeof header === "string") {
        expect(alone).toBe(header);
        return;
      }
      last = header;
      expect(header).toEqual(alone as typeof header);
      const again = Buffer.alloc(HEADER_BYTES);
      encodeHeader(again, header);
      expect(again.equals(datagram.subarray(0, HEADER_BYTES))).toBe(true);
    });
  },
  TIMEOUT_MS,
);

test(
  "decompressContent() opens what compressContent() made, within its bound, and survives anything",
  () => {
    const random = startRandom("compression");
    spendTime(SHARE, () => {
      const text = Buffer.from("temperature ".repeat(20 + random.below(400)));
      const compressed = compressContent(text) as Uint8Array;
      expect(Buffer.from(decompressContent(compressed, text.length) ?? []).equals(text)).toBe(true);
      expect(decompressContent(compressed, text.length - 1)).toBeUndefined();
      const opened = decompressContent(turnBits(random, Buffer.from(compressed)), 10_000);
      expect(opened === undefined || opened.length <= 10_000).toBe(true);
      decompressContent(random.bytes(random.below(300)), 10_000);
    });
  },
  TIMEOUT_MS,
);

test(
  "decodeGapCode() gives the range back, and notices one wrong or two exchanged characters",
  () => {
    const random = startRandom("gap codes");
    let typos = 0;
    let missed = 0;
    spendTime(SHARE, () => {
      const range = {
        journalTag: random.below(65_536),
        stream: random.below(256),
        first: random.oddNumber(),
        count: 1 + Math.min(2 ** 52, random.oddNumber()),
      };
      const code = encodeGapCode(range);
      expect(decodeGapCode(code)).toEqual(range);
      const plain = code.replaceAll("-", "");
      const at = random.below(plain.length - 1);
      const wrong = random.pick([..."0123456789ABCDEFGHJKMNPQRSTVWXYZ"]);
      const typo = random.chance(0.5)
        ? plain.slice(0, at) + wrong + plain.slice(at + 1)
        : plain.slice(0, at) + plain[at + 1] + plain[at] + plain.slice(at + 2);
      if (typo === plain) return;
      typos++;
      if (typeof decodeGapCode(typo) !== "string") missed++;
      decodeGapCode(random.bytes(random.below(40)).toString("latin1"));
    });
    // A checksum of 16 bits over CRC-32: one in 65,536 at worst, and fewer for errors so small.
    expect(missed).toBeLessThanOrEqual(typos / 10_000);
  },
  TIMEOUT_MS,
);
