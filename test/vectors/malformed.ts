// Golden vectors of what is sealed with the right key, complete, and not as the page says: blocks, contents and heartbeats,
// one fault each. Only a sender that is broken or taken over makes them.
import { zstdCompressSync } from "node:zlib";
import type { RawInput } from "./accepted.ts";
import { fromHex, type RawEnvelope, rawBlock, rawContent, rawDatagrams, rawHeartbeat } from "./raw.ts";

/** A message frame with the topic "a", nothing else. */
const FRAME = "00 00 01 61 00 00";
const piece = fromHex(FRAME);

function block(change: Partial<RawEnvelope>, padding = ""): RawInput {
  return { datagrams: rawDatagrams(rawBlock(piece, change, padding)) };
}

function frames(hex: string, count = 1): RawInput {
  return { datagrams: rawContent(hex, count) };
}

function squeezed(bytes: Uint8Array, count = 1): Buffer[] {
  return rawDatagrams(rawBlock(bytes, { flags: 1, count }));
}

/** A content of one message, not compressed within its frame: one block of 6 bytes. */
const frame = fromHex(`28b52ffd 20 06 310000 ${FRAME}`);
const SKIPPABLE = fromHex("502a4d18 01000000 00");

const BLOCKS: Record<string, RawInput> = {
  "an envelope that is cut": { datagrams: rawDatagrams(rawBlock(piece).subarray(0, 24)) },
  "an unknown flag": block({ flags: 2 }),
  "a piece of no bytes": block({ pieceBytes: 0, contentBytes: 0 }),
  "a piece larger than its block": block({ pieceBytes: 7, contentBytes: 7 }),
  "a piece of 4 GiB": block({ pieceBytes: 0xffff_ffff, contentBytes: 0xffff_ffff }),
  "padding that is not zero": block({}, "000100"),
  "a count of zero": block({ count: 0 }),
  "a first sequence of 2^53": block({ first: 2n ** 53n }),
  "a last sequence beyond 2^53": block({ first: 2n ** 53n - 2n, count: 2 }),
  "a part beyond the parts": block({ part: 1 }),
  "no parts": block({ parts: 0 }),
  "a whole content of more bytes than its piece": block({ contentBytes: 7 }),
  "a content in parts no larger than a part": block({ parts: 2 }),
  "a content larger than the receiver takes": { ...block({ parts: 65_535, contentBytes: 1001 }), contentBytesMax: 1000 },
  "parts that are more than the content": {
    datagrams: [0, 1].flatMap((part) =>
      rawDatagrams(rawBlock(piece, { part, parts: 2, contentBytes: 11 }), { block: part }),
    ),
  },
  "bytes that are no zstd frame": { datagrams: squeezed(piece) },
  "a zstd frame with a window of 256 MiB": { datagrams: squeezed(fromHex("28b52ffd 00 90 090000 41")) },
  "a decompression bomb": { datagrams: squeezed(zstdCompressSync(Buffer.alloc(20_000_000))) },
  ...Object.fromEntries(
    Object.entries({
      "a zstd frame that is cut": frame.subarray(0, -1),
      "a zstd frame that is cut within its header": frame.subarray(0, 5),
      "a zstd frame with a byte behind it": Buffer.concat([frame, Buffer.alloc(1)]),
      "two zstd frames": Buffer.concat([frame, frame]),
      "a zstd frame and a skippable one": Buffer.concat([frame, SKIPPABLE]),
      "a skippable frame before a zstd frame": Buffer.concat([SKIPPABLE, frame]),
    }).map(([name, bytes]) => [name, { datagrams: squeezed(bytes) }]),
  ),
  "a content one byte too large once decompressed": {
    datagrams: squeezed(zstdCompressSync(Buffer.alloc(1001))),
    contentBytesMax: 1000,
  },
};

/** Two messages accepted 2^53 - 2 milliseconds after 1970, the second counted from the first. */
const LATE = "00 00 01 61 feffffffffffff0f 00 | 00 00 feffffffffffff0f 00";

const CONTENTS: Record<string, RawInput> = {
  "QoS 3": frames("03 00 01 61 00 00"),
  "an unknown bit in a head byte": frames("10 00 01 61 00 00"),
  "an unknown kind of frame": frames("80 00 01 61 00 00"),
  "a skip with a message's bits": frames("41 01 01"),
  "a skip of nothing": frames(`40 00 01 | ${FRAME}`),
  "skip reason 0": frames("40 01 00"),
  "skip reason 6": frames("40 01 06"),
  "a skip that is cut": frames("40 01"),
  "a topic index beyond the dictionary": frames("00 01 01 61 00 00"),
  "an empty topic": frames("00 00 00 00 00"),
  "a topic with a wildcard": frames("00 00 03 612f23 00 00"),
  "a topic with U+0000": frames("00 00 02 6100 00 00"),
  "a topic that is not UTF-8": frames("00 00 01 ff 00 00"),
  "a topic in an overlong form": frames("00 00 02 c1a1 00 00"),
  "a topic with a surrogate": frames("00 00 03 eda080 00 00"),
  "a topic beyond the content": frames("00 00 7f 61 00 00"),
  "a topic of 65,536 bytes": frames(`00 00 808004 ${"61".repeat(65_536)} 00 00`),
  "a varint that is not in its shortest form": frames("00 8000 01 61 00 00"),
  "a varint of nine bytes": frames("00 00 01 61 00 808080808080808001"),
  "a varint above 2^53 - 1": frames("00 00 01 61 00 8080808080808010"),
  "an accepted time of 2^53": frames(`${LATE} | 00 00 04 00`, 3),
  "an accepted time of -2^53": frames("00 00 01 61 ffffffffffffff0f 00 | 00 00 ffffffffffffff0f 00", 2),
  "properties of no bytes": frames("08 00 01 61 00 00 00"),
  "properties beyond the content": frames("08 00 01 61 00 7f 01 01 00"),
  "an unknown property": frames("08 00 01 61 00 02 0b 01 00"),
  "a property twice": frames("08 00 01 61 00 04 01 00 01 00 00"),
  "properties in the wrong order": frames("08 00 01 61 00 07 02 00000001 01 00 00"),
  "payload format 2": frames("08 00 01 61 00 02 01 02 00"),
  "a message expiry that is cut": frames("08 00 01 61 00 03 02 0000 00"),
  "a user property without a value": frames("08 00 01 61 00 03 26 01 61 00"),
  "a content type that is not UTF-8": frames("08 00 01 61 00 03 03 01 ff 00"),
  "a payload beyond the content": frames("00 00 01 61 00 02 78"),
  "fewer sequences than the envelope says": frames(FRAME, 2),
  "more sequences than the envelope says": frames(`${FRAME} | 00 00 00 00`),
  "a broken content between good ones": {
    datagrams: [FRAME, "03 00 01 61 00 00", FRAME].flatMap((hex, index) =>
      rawDatagrams(rawBlock(fromHex(hex), { first: BigInt(index) }), { block: index }),
    ),
  },
};

const CLOCK = "0000018bcfe56800 0000000000003039 000003e8";
const STREAM = "0000000000000000 0000000000000003 0000000000000003 0000000000000000";
const beat = (hex: string, change: Partial<RawEnvelope> = {}): RawInput => ({ datagrams: rawHeartbeat(hex, change) });

const HEARTBEATS: Record<string, RawInput> = {
  "a heartbeat of nothing but its clock": beat(`${CLOCK} 00`),
  "a heartbeat with an unknown flag": beat(`${CLOCK} 02 00 00`),
  "a heartbeat with a clock of 2^53": beat(`0020000000000000 0000000000003039 000003e8 00 00 00`),
  "a heartbeat with a stream twice": beat(`${CLOCK} 00 02 00 ${STREAM} 00 ${STREAM} 00`),
  "a heartbeat of stream 16": beat(`${CLOCK} 00 01 10 ${STREAM} 00`),
  "a heartbeat that sent more than there is": beat(
    `${CLOCK} 00 01 00 0000000000000000 0000000000000003 0000000000000004 0000000000000000 00`,
  ),
  "a heartbeat whose oldest is beyond the next": beat(
    `${CLOCK} 00 01 00 0000000000000000 0000000000000003 0000000000000003 0000000000000004 00`,
  ),
  "a heartbeat whose run begins beyond the next": beat(
    `${CLOCK} 00 01 00 0000000000000004 0000000000000003 0000000000000003 0000000000000000 00`,
  ),
  "a heartbeat of more streams than it has": beat(`${CLOCK} 00 7f 00 ${STREAM} 00`),
  "a heartbeat with an unknown section": beat(`${CLOCK} 00 00 01 03 00 00 00`),
  "a heartbeat with an unknown state": beat(`${CLOCK} 00 00 01 00 00 04 00`),
  "a heartbeat with a name that is not UTF-8": beat(`${CLOCK} 00 00 01 00 01 ff 00 00`),
  "a heartbeat with a counter twice": beat(`${CLOCK} 00 00 01 00 00 00 02 01 61 00 01 61 00`),
  "a heartbeat of more counters than it has": beat(`${CLOCK} 00 00 01 00 00 00 ffffffffffffff0f`),
  "a heartbeat with bytes behind it": beat(`${CLOCK} 00 00 00 00`),
  "a heartbeat that says it is compressed": beat(`${CLOCK} 00 00 00`, { flags: 1 }),
  "a heartbeat with a sequence": beat(`${CLOCK} 00 00 00`, { first: 1n }),
  "a heartbeat of two sequences": beat(`${CLOCK} 00 00 00`, { count: 2 }),
  "a heartbeat in parts": beat(`${CLOCK} 00 00 00`, { parts: 2, contentBytes: 100 }),
  "a heartbeat whose envelope is wrong": beat(`${CLOCK} 00 00 00`, { pieceBytes: 0, contentBytes: 0 }),
};

export const MALFORMED: Record<string, RawInput> = { ...BLOCKS, ...CONTENTS, ...HEARTBEATS };
