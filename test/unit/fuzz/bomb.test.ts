// Small things that would like to become large ones: zstd frames that unfold to a gibibyte, contents of a million
// messages, sizes that are not true.
import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { encodeBlock } from "../../../shared/framing/block.ts";
import { compressContent, decompressContent } from "../../../shared/framing/compression.ts";
import { ContentWriter } from "../../../shared/framing/content.ts";
import { EPOCH, JOURNAL_ID, makeMessage } from "../shared/framing/samples.ts";
import { sealBlock } from "./forge.ts";
import { FuzzLink, LIMITS, TrueSender } from "./fuzz-link.ts";
import { startRandom } from "./random.ts";

const RUN = { journalId: JOURNAL_ID, epoch: EPOCH };
const MEGABYTES = 1_000_000;
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const RLE_BLOCK_BYTES = 131_072;

/** A zstd frame [RFC 8878 3.1.1] of blocks that repeat one zero byte 128 Ki times each, 4 bytes a block. */
function makeBomb(bytes: number, header: readonly number[]): Buffer {
  const blocks = Buffer.alloc(Math.ceil(bytes / RLE_BLOCK_BYTES) * 4);
  for (let at = 0; at < blocks.length; at += 4) {
    const isLast = at + 4 === blocks.length ? 1 : 0;
    blocks.writeUIntLE(isLast | (1 << 1) | (RLE_BLOCK_BYTES << 3), at, 3);
  }
  return Buffer.concat([Buffer.from([...ZSTD_MAGIC, ...header]), blocks]);
}

const GIBIBYTE = 2 ** 30;
/** No content size, a window of 128 KiB. */
const NO_SIZE = [0x00, 7 << 3];
const BOMBS = {
  "1 GiB, size not told": makeBomb(GIBIBYTE, NO_SIZE),
  "1 GiB, said to be 1,000 bytes": makeBomb(GIBIBYTE, [0x60, 1000 - 256, 0]),
  "128 KiB, said to be 2^62 bytes": makeBomb(1, [0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40]),
  "128 KiB, with a window of 2 GiB": makeBomb(1, [0x00, 21 << 3]),
  "many frames of 128 KiB": Buffer.concat(Array.from({ length: 8192 }, () => makeBomb(1, NO_SIZE))),
};

test("decompressContent() opens the frames that the bombs are made of", () => {
  const small = makeBomb(1, NO_SIZE);
  expect(small.length).toBe(10);
  expect(decompressContent(small, RLE_BLOCK_BYTES)?.length).toBe(RLE_BLOCK_BYTES);
  expect(decompressContent(small, RLE_BLOCK_BYTES - 1)).toBeUndefined();
});

test.each(Object.keys(BOMBS) as (keyof typeof BOMBS)[])("decompressContent() defuses %s", (name) => {
  const before = process.memoryUsage().rss;
  const startedMs = performance.now();
  for (let round = 0; round < 20; round++)
    expect(decompressContent(BOMBS[name], LIMITS.contentBytesMax)).toBeUndefined();
  expect(performance.now() - startedMs).toBeLessThan(5000);
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * MEGABYTES);
});

test("decompressContent() is bounded by what a frame says where that is large, too", () => {
  const said = 17 * 2 ** 20;
  const size = Buffer.alloc(4);
  size.writeUInt32LE(said);
  const bomb = makeBomb(GIBIBYTE, [0x80, 7 << 3, ...size]);
  // Alone, because the most that it ever took is what counts.
  const module = JSON.stringify(
    fileURLToPath(new URL("../../../shared/framing/compression.ts", import.meta.url)),
  );
  const code = `
    const { decompressContent } = await import(${module});
    const bomb = Buffer.from(process.env.BOMB, "base64");
    console.log(decompressContent(bomb, ${said + 1}), process.resourceUsage().maxRSS);`;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", code], {
    env: { BOMB: bomb.toString("base64") },
  });
  const [result, kilobytes] = stdout.toString().trim().split(" ");
  expect(result).toBe("undefined");
  expect(Number(kilobytes) * 1000).toBeLessThan(200 * MEGABYTES);
  expect(decompressContent(makeBomb(said, [0x80, 7 << 3, ...size]), said)?.length).toBe(said);
});

test("RecvCore refuses bombs that are well sealed, and true traffic flows on", () => {
  const random = startRandom("bombs");
  const link = new FuzzLink();
  const sender = new TrueSender("steady", random, RUN);
  for (const [index, bomb] of Object.values(BOMBS).entries()) {
    const block = { count: 1, part: 0, parts: 1, compressed: true, contentBytes: bomb.length, piece: bomb };
    const { bytes } = encodeBlock({ ...block, first: 1_000_000 + index }, 1400);
    link.put(sealBlock(RUN, 1000 + index, 1, bytes));
    link.put(sender.next());
    link.pass(10);
  }
  expect(link.refused.get("block-malformed")).toBe(Object.keys(BOMBS).length);
  expect(link.arrived(sender)).toBe(sender.sent);
});

test("RecvCore stays bounded under contents of hundreds of thousands of empty messages", () => {
  const link = new FuzzLink();
  const writer = new ContentWriter();
  while (writer.length < LIMITS.contentBytesMax - 100)
    writer.addMessage(makeMessage({ topic: "t", payload: Buffer.alloc(0) }));
  const { count } = writer;
  const content = writer.take();
  const piece = compressContent(content) ?? content;
  expect(piece.length).toBeLessThan(2000);
  Bun.gc(true);
  const before = process.memoryUsage().rss;
  for (let n = 0; n < 20; n++) {
    const block = { count, part: 0, parts: 1, compressed: true, contentBytes: piece.length, piece };
    link.put(sealBlock(RUN, n, 0, encodeBlock({ ...block, first: n * count }, 1400).bytes));
    if (n % 10 === 9) link.pass(10);
  }
  Bun.gc(true);
  expect((process.memoryUsage().rss - before) / MEGABYTES).toBeLessThan(500);
  expect(link.foreign).toBe(20 * count);
}, 60_000);
