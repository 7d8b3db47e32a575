// The stream cutter against a naive twin, fed at every split point, byte by byte, and with noise.
import { expect, test } from "bun:test";
import { ClientStream, PartialBudget, type Verdict } from "../../../../shared/mqtt/client-stream.ts";

const PUBLISH_BYTES_MAX = 1000;

function publish(bodyBytes: number, fill = 0x61): Buffer {
  const length: number[] = [];
  for (let left = bodyBytes; ; ) {
    const byte = left % 128;
    left = Math.floor(left / 128);
    length.push(left > 0 ? byte | 0x80 : byte);
    if (left === 0) break;
  }
  return Buffer.concat([Buffer.from([0x30, ...length]), Buffer.alloc(bodyBytes, fill)]);
}

/** Knows nothing but the format: one packet after another in one buffer that holds all. */
function cutNaively(bytes: Buffer): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    let length = 0;
    let shift = 0;
    let body = at + 1;
    for (; ; shift += 7) {
      const byte = bytes[body++] ?? 0;
      length += (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    const size = body + length - at;
    const isPublish = (bytes[at] ?? 0) >> 4 === 3;
    found.push(
      isPublish && size > PUBLISH_BYTES_MAX
        ? `oversize ${size} ${bytes.subarray(body, body + length).toString("hex")}`
        : bytes.subarray(at, at + size).toString("hex"),
    );
    at += size;
  }
  return found;
}

function feed(
  chunks: readonly Buffer[],
  verdict: (count: number) => Verdict = () => undefined,
  version = 4 as const,
) {
  const found: string[] = [];
  const budget = new PartialBudget(1_000_000);
  const stream = new ClientStream(
    {
      onPacket: (bytes, start, bodyStart, end) => {
        expect(bodyStart).toBeGreaterThan(start + 1);
        found.push(bytes.subarray(start, end).toString("hex"));
        return verdict(found.length);
      },
      onOversize: (_first, head, packetBytes) => {
        found.push(`oversize ${packetBytes} ${head.toString("hex")}`);
        return undefined;
      },
      onFlaw: ({ why }) => void found.push(`flaw: ${why}`),
    },
    budget,
    PUBLISH_BYTES_MAX,
  );
  stream.version = version;
  for (const chunk of chunks) {
    // The socket's memory is used again: what the stream keeps must be its own.
    const lent = Buffer.from(chunk);
    stream.push(lent);
    lent.fill(0xff);
    while (stream.isHeld) stream.resume();
  }
  return { found, budget, stream };
}

const STREAM = Buffer.concat([
  publish(10),
  Buffer.from("c000", "hex"),
  publish(0),
  publish(127),
  publish(128),
  publish(990),
  publish(1200, 0x62),
  Buffer.from("62020001", "hex"),
  publish(5),
]);
const EXPECTED = cutNaively(STREAM);

test("ClientStream cuts as its naive twin does, at every split point", () => {
  expect(feed([STREAM]).found).toEqual(EXPECTED);
  for (let at = 1; at < STREAM.length; at++) {
    const { found, budget } = feed([STREAM.subarray(0, at), STREAM.subarray(at)]);
    expect(found).toEqual(EXPECTED);
    expect(budget.bytes).toBe(0);
  }
});

test("ClientStream cuts as its naive twin does, byte by byte and in pieces of each size", () => {
  for (let size = 1; size < 40; size++) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < STREAM.length; at += size) chunks.push(STREAM.subarray(at, at + size));
    expect(feed(chunks).found).toEqual(EXPECTED);
    expect(feed(chunks, () => "hold").found).toEqual(EXPECTED);
  }
});

test("ClientStream holds what comes after a packet that is to be waited for, and loses none of it", () => {
  for (let at = 1; at < 60; at++) {
    const { found } = feed([STREAM.subarray(0, at), STREAM.subarray(at)], (count) =>
      count % 2 === 1 ? "hold" : undefined,
    );
    expect(found).toEqual(EXPECTED);
  }
});

test("ClientStream takes nothing after it was told to stop, and gives its memory back", () => {
  const { found, budget } = feed([STREAM, STREAM], (count) => (count === 3 ? "stop" : undefined));
  expect(found).toEqual(EXPECTED.slice(0, 3));
  expect(budget.bytes).toBe(0);
});

test("ClientStream refuses unfinished packets beyond the budget that all connections share", () => {
  const budget = new PartialBudget(3000);
  const flaws: string[] = [];
  const open = () => {
    const sink = {
      onPacket: () => undefined,
      onOversize: () => undefined,
      onFlaw: ({ why }: { why: string }) => void flaws.push(why),
    };
    const stream = new ClientStream(sink, budget, PUBLISH_BYTES_MAX);
    stream.version = 4;
    stream.push(publish(900).subarray(0, 500));
    return stream;
  };
  const streams = [open(), open(), open()];
  expect(flaws).toEqual(["too many packets are unfinished at a time"]);
  for (const stream of streams) stream.stop();
  expect(budget.bytes).toBe(0);
});

test("ClientStream never throws on noise, and every byte leads to packets, a flaw or waiting", () => {
  for (let round = 0; round < 3000; round++) {
    const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(1 + (round % 200))));
    const { found, stream } = feed([noise.subarray(0, 7), noise.subarray(7)]);
    expect(found.filter((each) => each.startsWith("flaw")).length).toBeLessThanOrEqual(1);
    stream.stop();
  }
});
