import { describe, expect, test } from "bun:test";
import { Receiver } from "../../../../agents/recv/link/receiver.ts";
import { emptyLinkState } from "../../../../agents/recv/link/session.ts";
import { splitContent } from "../../../../shared/framing/block.ts";
import { KIND_MESSAGES } from "../../../../shared/framing/header.ts";
import { Rooms } from "../../../../shared/framing/rooms.ts";
import { Random } from "../fec/random.ts";
import { LINK_ID, LINK_KEY, makeEncoder } from "./samples.ts";

const SHAPES = [
  { datagramBytes: 1400, repairPercent: 10 },
  { datagramBytes: 8900, repairPercent: 10 },
  // More than the codec's memory holds at once.
  { datagramBytes: 1400, repairPercent: 400 },
  { datagramBytes: 8900, repairPercent: 200 },
  { datagramBytes: 200, repairPercent: 0, repairSymbolsMin: 0 },
  { datagramBytes: 1400, repairPercent: 10, linkKeys: [] },
  { datagramBytes: 1400, repairPercent: 10, linkKeys: [LINK_KEY, LINK_KEY.toReversed()] },
];

function openReceiver(linkKeys: readonly Uint8Array[]) {
  const out: Buffer[] = [];
  const options = {
    linkId: LINK_ID,
    linkKeys,
    patienceMs: 1000,
    assemblyBytesMax: 1e8,
    holdBytesMax: 1e8,
    contentBytesMax: 1e8,
  };
  const receiver = new Receiver(options, emptyLinkState(), {
    deliver: (_, { content }) => out.push(Buffer.from(content)),
    recover: () => {},
    gap: () => {},
    heartbeat: () => {},
    journalChanged: () => {},
    sinceKnown: () => {},
    epochChanged: () => {},
    restored: () => {},
    refused: () => {},
  });
  return { receiver, out };
}

describe("BlockEncoder", () => {
  test.each(SHAPES)("makes repair symbols that restore the first symbols of any block: %o", (shape) => {
    const encoder = makeEncoder(shape);
    const linkKeys = shape.linkKeys ?? [LINK_KEY];
    const { receiver, out } = openReceiver(linkKeys);
    const random = new Random(6);
    const contents: Uint8Array[] = [];
    for (const symbols of [1, 2, 5, 20, 30, 50]) {
      const content = random.bytes(encoder.symbolBytes * symbols - 25 - random.below(50));
      contents.push(content);
      for (const block of splitContent(contents.length - 1, 1, content, content.length)) {
        const datagrams = encoder.encode(KIND_MESSAGES, 0, block);
        const repair = datagrams[0]?.readUInt8(35) ?? 0;
        for (const datagram of datagrams.slice(repair * Math.max(1, linkKeys.length)))
          receiver.receive(datagram, 0, 0);
      }
    }
    expect(out.map((bytes, index) => bytes.equals(contents[index] as Uint8Array))).toEqual(
      contents.map(() => true),
    );
  });

  test.each(SHAPES)("makes the same datagrams in memory used again as in fresh memory: %o", (shape) => {
    const random = new Random(7);
    const [fresh, again] = [makeEncoder(shape), makeEncoder(shape)];
    const most = Math.min(180_000, 190 * fresh.symbolBytes);
    for (let first = 0; first < 30; first++) {
      const content = random.bytes(1 + random.below(first % 3 === 0 ? most : 3000));
      for (const block of splitContent(first, 1, content, most)) {
        const kept = fresh.encode(KIND_MESSAGES, 0, block);
        const lent = again.encode(KIND_MESSAGES, 0, block);
        expect(Buffer.concat(lent).equals(Buffer.concat(kept))).toBe(true);
        expect(lent.map(({ length }) => length)).toEqual(kept.map(({ length }) => length));
        again.recycle(lent);
      }
    }
  });

  test("leaves the datagrams of a block alone until they are given back", () => {
    const encoder = makeEncoder();
    const random = new Random(8);
    const made = Array.from({ length: 20 }, (_, first) => {
      const [block] = splitContent(first, 1, random.bytes(40_000), 50_000);
      if (block === undefined) throw new Error("a content makes a block");
      const datagrams = encoder.encode(KIND_MESSAGES, 0, block);
      const copy = Buffer.concat(datagrams);
      if (first % 4 === 0) encoder.recycle(datagrams);
      return { datagrams, copy, given: first % 4 === 0 };
    });
    for (const { datagrams, copy, given } of made)
      if (!given) expect(Buffer.concat(datagrams).equals(copy)).toBe(true);
  });
});

describe("Rooms", () => {
  test("gives no room to two at once, and none that is too small", () => {
    const rooms = new Rooms();
    const random = new Random(9);
    const taken: { room: Buffer; mark: number }[] = [];
    for (let step = 0; step < 300; step++) {
      const mark = step % 251;
      const bytes = 1 + random.below(100_000);
      const room = rooms.take(bytes);
      expect(room.length).toBeGreaterThanOrEqual(bytes);
      taken.push({ room: room.fill(mark), mark });
      if (taken.length < 10) continue;
      const [out] = taken.splice(random.below(taken.length), 1);
      expect(out?.room.every((byte) => byte === out.mark)).toBe(true);
      if (out !== undefined) rooms.giveBack([out.room.subarray(0, 10), out.room.subarray(10)]);
    }
  });
});
