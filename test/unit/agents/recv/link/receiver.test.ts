import { beforeEach, describe, expect, test } from "bun:test";
import { GapBook } from "../../../../../agents/recv/link/gaps.ts";
import { Receiver } from "../../../../../agents/recv/link/receiver.ts";
import { emptyLinkState, type LinkState } from "../../../../../agents/recv/link/session.ts";
import { splitContent } from "../../../../../shared/framing/block.ts";
import { ContentWriter, decodeContent } from "../../../../../shared/framing/content.ts";
import type { BlockEncoder } from "../../../../../shared/framing/encoder.ts";
import { DATAGRAM_BYTES_MAX, KIND_MESSAGES } from "../../../../../shared/framing/header.ts";
import { encodeHeartbeat } from "../../../../../shared/framing/heartbeat.ts";
import {
  EPOCH,
  HEARTBEAT,
  JOURNAL_ID,
  LINK_ID,
  LINK_KEY,
  makeEncoder,
  makeMessage,
} from "../../../shared/framing/samples.ts";

let events: string[] = [];
let refusals: Record<string, number> = {};
beforeEach(() => {
  events = [];
  refusals = {};
});

function makeReceiver(state: LinkState = emptyLinkState(), change: object = {}): Receiver {
  const options = {
    linkId: LINK_ID,
    linkKeys: [LINK_KEY],
    patienceMs: 100,
    assemblyBytesMax: 1_000_000,
    holdBytesMax: 1_000_000,
    contentBytesMax: 2_000_000,
    ...change,
  };
  return new Receiver(options, state, {
    deliver: (_stream, { content, count, skip, first }) => {
      const frames = decodeContent(content, count) ?? [];
      const texts = frames
        .slice(skip)
        .map((frame) => (frame.type === "message" ? text(frame.message.payload) : frame.reason));
      events.push(`${first + skip}:${texts.join(",")}`);
    },
    recover: (_stream, _joined, { first, end }) => events.push(`recover ${first}-${end - 1}`),
    gap: (_stream, { first, count }, reason) => events.push(`${reason} ${first}+${count}`),
    heartbeat: ({ streams, sections }, _block, late) =>
      events.push(
        `heartbeat ${streams[0]?.sent}${sections.length === 0 ? " brief" : ""}${late ? " late" : ""}`,
      ),
    journalChanged: (id, retired) =>
      events.push(`journal ${id === JOURNAL_ID ? "A" : "B"}${retired === undefined ? "" : " for another"}`),
    sinceKnown: () => {},
    epochChanged: () => events.push("epoch"),
    restored: (symbols) => events.push(`restored ${symbols}`),
    refused: (reason, _path, count) => {
      refusals[reason] = (refusals[reason] ?? 0) + count;
    },
  });
}

const text = (payload: Uint8Array) => Buffer.from(payload).toString().slice(0, 20);

function block(encoder: BlockEncoder, first: number, texts: readonly string[], stream = 0): Buffer[] {
  const writer = new ContentWriter();
  for (const payload of texts) writer.addMessage(makeMessage({ payload: Buffer.from(payload) }));
  const blocks = splitContent(first, texts.length, writer.take(), 20_000);
  return blocks.flatMap((part) => encoder.encode(KIND_MESSAGES, stream, part));
}

function heartbeat(encoder: BlockEncoder, sent: number): Buffer[] {
  const streams = [{ stream: 0, epochFirst: 0, next: sent, sent, oldest: 0 }];
  return encoder.encodeHeartbeat(encodeHeartbeat({ ...HEARTBEAT, streams }));
}

describe("Receiver", () => {
  test("delivers messages in order, each once, whatever the order and number of their datagrams", () => {
    const encoder = makeEncoder({ repairPercent: 20 });
    const datagrams = [
      ...block(encoder, 0, ["a", "b"]),
      ...block(encoder, 2, ["c".repeat(5000), "d"]),
      ...block(encoder, 4, ["e"]),
    ];
    const receiver = makeReceiver();
    for (const datagram of [...datagrams.reverse(), ...datagrams]) receiver.receive(datagram, 0, 0);
    expect(events.filter((event) => !event.startsWith("restored"))).toEqual([
      "journal A",
      "0:a,b",
      `2:${"c".repeat(20)},d`,
      "4:e",
    ]);
  });

  test("tells when nothing waits of what has come up to a mark", () => {
    const encoder = makeEncoder({ repairSymbolsMin: 0 });
    const receiver = makeReceiver();
    const settled = (marks: readonly number[]) => marks.map((mark) => receiver.isSettled(mark));
    const [a = [], b = [], c = []] = [
      block(encoder, 0, ["a".repeat(9000)]),
      block(encoder, 1, ["b".repeat(50_000)]),
      block(encoder, 2, ["c"]),
    ];
    // Half a block; then, of the next content, all parts but the last datagram; then one behind the hole that it leaves.
    for (const datagram of a.slice(0, 3)) receiver.receive(datagram, 0, 0);
    expect(settled([0, 1, 3])).toEqual([true, false, false]);
    for (const datagram of a.slice(3)) receiver.receive(datagram, 0, 0);
    expect(settled([3, a.length])).toEqual([true, true]);
    for (const datagram of b.slice(0, -1)) receiver.receive(datagram, 0, 0);
    const before = receiver.arrivals;
    for (const datagram of c) receiver.receive(datagram, 0, 0);
    expect(settled([a.length, a.length + 1, before])).toEqual([true, false, false]);
    for (const datagram of b.slice(-1)) receiver.receive(datagram, 0, 0);
    expect(settled([before, receiver.arrivals])).toEqual([true, true]);
    for (const datagram of block(encoder, 4, ["e"])) receiver.receive(datagram, 0, 0);
    expect(settled([receiver.arrivals - 1, receiver.arrivals])).toEqual([true, false]);
    // Heartbeats settle nothing and hold nothing up.
    receiver.receive(heartbeat(makeEncoder({ repairSymbolsMin: 0 }), 5)[0] ?? Buffer.alloc(0), 0, 0);
    receiver.tick(100);
    expect(settled([receiver.arrivals])).toEqual([true]);
  });

  test("restores a block from any k of its symbols", () => {
    const datagrams = block(makeEncoder({ repairPercent: 50 }), 0, ["x".repeat(9000)]);
    const k = datagrams[0]?.readUInt8(34) ?? 0;
    const receiver = makeReceiver();
    for (const datagram of datagrams.slice(datagrams.length - k)) receiver.receive(datagram, 0, 0);
    expect(events).toEqual(["journal A", `restored ${datagrams.length - k}`, `0:${"x".repeat(20)}`]);
  });

  test("joins a content of many blocks, in any order", () => {
    const datagrams = block(makeEncoder(), 0, ["y".repeat(200_000)]).reverse();
    const receiver = makeReceiver();
    for (const datagram of datagrams) receiver.receive(datagram, 0, 0);
    expect(events.at(-1)).toBe(`0:${"y".repeat(20)}`);
    expect(receiver.waitingBytes).toBe(0);
  });

  test("tells a gap in the middle from what was sent before it listened", () => {
    const encoder = makeEncoder();
    const receiver = makeReceiver();
    for (const datagram of block(encoder, 10, ["k"])) receiver.receive(datagram, 0, 0);
    receiver.tick(100);
    for (const datagram of block(encoder, 12, ["m"])) receiver.receive(datagram, 0, 200);
    receiver.tick(300);
    expect(events).toEqual(["journal A", "before-start 0+10", "10:k", "gap 11+1", "12:m"]);
  });

  test("calls a gap what is missing behind what came late, however much later the first contact was", () => {
    const encoder = makeEncoder();
    const receiver = makeReceiver();
    for (const datagram of heartbeat(encoder, 10)) receiver.receive(datagram, 0, 0);
    for (const datagram of block(encoder, 3, ["d"])) receiver.receive(datagram, 0, 10);
    for (const datagram of block(encoder, 10, ["k"])) receiver.receive(datagram, 0, 20);
    receiver.tick(200);
    expect(events).toEqual(["journal A", "heartbeat 10", "before-start 0+3", "3:d", "gap 4+6", "10:k"]);
  });

  test("calls a gap what was sent after the first contact, whatever came of it, over a restart, too", () => {
    const encoder = makeEncoder();
    const first = makeReceiver();
    for (const datagram of heartbeat(encoder, 4)) first.receive(datagram, 0, 0);
    const again = makeReceiver({ ...first.state, since: new Map(first.state.since), expected: new Map() });
    for (const datagram of block(encoder, 7, ["h"])) again.receive(datagram, 0, 0);
    // Another stream, of which the heartbeat said nothing: nothing had been sent in it.
    for (const datagram of block(encoder, 2, ["c"], 1)) again.receive(datagram, 0, 0);
    again.tick(100);
    expect(events).toEqual([
      "journal A",
      "heartbeat 4",
      "before-start 0+4",
      "gap 4+3",
      "7:h",
      "gap 0+2",
      "2:c",
    ]);
  });

  test("calls a gap what is missing of a journal that replaces one it followed", () => {
    const receiver = makeReceiver();
    for (const datagram of block(makeEncoder(), 0, ["a"])) receiver.receive(datagram, 0, 0);
    for (const datagram of block(makeEncoder({ journalId: 7n }), 2, ["C"])) receiver.receive(datagram, 0, 0);
    receiver.tick(100);
    expect(events.slice(2)).toEqual(["journal B for another", "gap 0+2", "2:C"]);
  });

  test("finds loss at the tail from a heartbeat", () => {
    const encoder = makeEncoder();
    const receiver = makeReceiver();
    for (const datagram of [...block(encoder, 0, ["a"]), ...heartbeat(encoder, 3)])
      receiver.receive(datagram, 0, 0);
    receiver.tick(99);
    receiver.tick(100);
    expect(events).toEqual(["journal A", "0:a", "heartbeat 3", "gap 1+2"]);
  });

  test("takes of a heartbeat that a brief one has passed what only a whole one says", () => {
    const encoder = makeEncoder({ repairSymbolsMin: 0 });
    const [first, second, third] = [1, 3, 5].map((sent) => heartbeat(encoder, sent));
    const streams = [{ stream: 0, epochFirst: 0, next: 9, sent: 9, oldest: 0 }];
    const brief = encoder.encodeHeartbeat(encodeHeartbeat({ ...HEARTBEAT, streams, sections: [] }), false);
    const receiver = makeReceiver();
    for (const datagrams of [first, third, second, brief, brief.slice(0, 0), third])
      for (const datagram of datagrams ?? []) receiver.receive(datagram, 0, 0);
    expect(events).toEqual(["journal A", "heartbeat 1", "heartbeat 5", "heartbeat 9 brief"]);
    // The second was older than the third; the third came twice.
    expect(refusals).toEqual({ surplus: 2 });
    const [whole, passing] = [
      heartbeat(encoder, 10),
      encoder.encodeHeartbeat(encodeHeartbeat({ ...HEARTBEAT, streams, sections: [] }), false),
    ];
    for (const datagram of [...passing, ...whole]) receiver.receive(datagram, 0, 0);
    expect(events.slice(4)).toEqual(["heartbeat 9 brief", "heartbeat 10 late"]);
  });

  test("after a restart from its state, delivers nothing again", () => {
    const datagrams = block(makeEncoder(), 0, ["a", "b"]);
    const first = makeReceiver();
    for (const datagram of datagrams) first.receive(datagram, 0, 0);
    const { expected, retired } = first.state;
    events = [];
    const again = makeReceiver({
      ...first.state,
      expected: new Map(expected),
      retired: new Set(retired),
      gaps: new GapBook(),
    });
    for (const datagram of datagrams) again.receive(datagram, 0, 0);
    expect(events).toEqual([]);
    expect(refusals["sequence-delivered"]).toBe(1);
  });

  test("goes on with a new epoch and refuses the older one", () => {
    const receiver = makeReceiver();
    const old = makeEncoder();
    const stale = block(old, 1, ["stale"]);
    for (const datagram of block(old, 0, ["a"])) receiver.receive(datagram, 0, 0);
    for (const datagram of block(makeEncoder({ epoch: EPOCH + 1n }), 1, ["b"]))
      receiver.receive(datagram, 0, 0);
    for (const datagram of stale) receiver.receive(datagram, 0, 0);
    expect(events).toEqual(["journal A", "0:a", "epoch", "1:b"]);
    expect(refusals["epoch-old"]).toBe(stale.length);
  });

  test("goes on with a new journal whatever its epoch, and retires the old one for good", () => {
    const receiver = makeReceiver();
    const old = makeEncoder();
    const stale = block(old, 1, ["stale"]);
    for (const datagram of block(old, 0, ["a"])) receiver.receive(datagram, 0, 0);
    const other = makeEncoder({ journalId: 7n, epoch: 1n });
    for (const datagram of block(other, 0, ["A"])) receiver.receive(datagram, 0, 0);
    for (const datagram of stale) receiver.receive(datagram, 0, 0);
    for (const datagram of block(other, 1, ["B"])) receiver.receive(datagram, 0, 0);
    expect(events).toEqual(["journal A", "0:a", "journal B for another", "0:A", "1:B"]);
    expect(refusals["journal-retired"]).toBe(stale.length);
  });

  test("a forged datagram of a later epoch or another journal changes nothing", () => {
    const receiver = makeReceiver();
    const encoder = makeEncoder();
    for (const datagram of block(encoder, 0, ["a"])) receiver.receive(datagram, 0, 0);
    for (const datagram of block(encoder, 1, ["b"])) {
      for (const at of [8, 16, 23]) {
        const forged = Buffer.from(datagram);
        forged[at] = 0xff;
        receiver.receive(forged, 0, 0);
      }
      receiver.receive(datagram, 0, 0);
    }
    expect(events).toEqual(["journal A", "0:a", "1:b"]);
    expect(refusals.tag).toBeGreaterThan(2);
  });

  test("refuses another key, another link and a datagram that is not sealed", () => {
    const receiver = makeReceiver();
    const send = (datagrams: Buffer[]) => {
      for (const datagram of datagrams) receiver.receive(datagram, 0, 0);
    };
    send(block(makeEncoder({ linkKeys: [new Uint8Array(32).fill(9)] }), 0, ["a"]));
    expect(Object.keys(refusals)).toEqual(["key"]);
    send(block(makeEncoder({ linkId: "plant-8" }), 0, ["a"]));
    expect(Object.keys(refusals)).toEqual(["key", "link"]);
    const bare = Buffer.from(block(makeEncoder(), 0, ["a"])[0] ?? []);
    bare.writeUInt16BE(0, 2);
    send([bare]);
    expect(refusals.key).toBeGreaterThan(2);
    expect(events).toEqual([]);
  });

  test("is bounded: unfinished blocks give way to newer ones", () => {
    const receiver = makeReceiver(emptyLinkState(), { assemblyBytesMax: 20_000 });
    const encoder = makeEncoder({ repairSymbolsMin: 0 });
    for (let first = 0; first < 200; first++) {
      for (const datagram of block(encoder, first, ["z".repeat(3000)]).slice(1))
        receiver.receive(datagram, 0, 0);
    }
    expect(receiver.waitingBytes).toBeLessThan(22_000);
    expect(refusals["block-evicted"]).toBeGreaterThan(150);
  });

  test("restores a lost symbol of the largest datagrams there are, sealed and not", () => {
    for (const linkKeys of [[LINK_KEY], []]) {
      const receiver = makeReceiver(emptyLinkState(), { linkKeys });
      const encoder = makeEncoder({ linkKeys, datagramBytes: DATAGRAM_BYTES_MAX });
      const writer = new ContentWriter();
      const payload = Buffer.alloc(2 * encoder.symbolBytes - 100, "largest ");
      writer.addMessage(makeMessage({ payload }));
      const [whole] = splitContent(0, 1, writer.take(), 2 * encoder.symbolBytes);
      if (whole === undefined) throw new Error("a content makes a block");
      // Zeros up to the size that no smaller datagram has.
      const piece = Buffer.concat([
        whole.piece,
        Buffer.alloc(2 * encoder.symbolBytes - 25 - whole.piece.length),
      ]);
      const [first, ...others] = encoder.encode(KIND_MESSAGES, 0, {
        ...whole,
        piece,
        contentBytes: piece.length,
      });
      expect(first?.length).toBe(DATAGRAM_BYTES_MAX);
      expect(others.length).toBe(2);
      events = [];
      for (const datagram of others) receiver.receive(datagram, 0, 0);
      expect(events).toContain("restored 1");
      expect(refusals).toEqual({});
    }
  });

  test("waits for a slow block and a slow content as long as the link has not passed them", () => {
    const receiver = makeReceiver();
    const encoder = makeEncoder({ repairSymbolsMin: 0 });
    let nowMs = 0;
    const slowly = (datagrams: readonly Buffer[]) => {
      for (const datagram of datagrams) {
        receiver.receive(datagram, 0, nowMs);
        for (const endMs = nowMs + 200; nowMs < endMs; nowMs += 20) receiver.tick(nowMs);
      }
    };
    // Each takes many times the patience; the second has nothing but alarms for a while between its parts.
    slowly(block(encoder, 0, ["s".repeat(15_000)]));
    const writer = new ContentWriter();
    writer.addMessage(makeMessage({ payload: Buffer.from("p".repeat(50_000)) }));
    for (const part of splitContent(1, 1, writer.take(), 20_000)) {
      slowly(encoder.encode(KIND_MESSAGES, 0, part));
      for (let alarm = 0; alarm < 10; alarm++)
        slowly(block(encoder, part.part * 10 + alarm, [`alarm ${alarm}`], 1));
    }
    expect(events.filter((event) => !event.includes("alarm"))).toEqual([
      "journal A",
      `0:${"s".repeat(20)}`,
      `1:${"p".repeat(20)}`,
    ]);
    expect(refusals).toEqual({});
    expect(receiver.waitingBytes).toBe(0);
  });

  test("gives up a block, and a content in parts, that the link has passed", () => {
    const receiver = makeReceiver();
    const encoder = makeEncoder({ repairSymbolsMin: 0 });
    const parts = block(encoder, 0, ["p".repeat(50_000)]);
    for (const datagram of [...parts.slice(0, 20), ...block(encoder, 1, ["b"])])
      receiver.receive(datagram, 0, 0);
    for (let nowMs = 0; nowMs <= 700_000; nowMs += 10_000) receiver.tick(nowMs);
    expect(events).toEqual(["journal A", "gap 0+1", "1:b"]);
    expect(refusals).toEqual({ "block-evicted": 1 });
    expect(receiver.waitingBytes).toBe(0);
  });

  test("joins a content that is sent again in other parts", () => {
    const receiver = makeReceiver();
    const encoder = makeEncoder({ repairSymbolsMin: 0 });
    for (const datagram of block(encoder, 0, ["p".repeat(50_000)]).slice(0, 20))
      receiver.receive(datagram, 0, 0);
    const writer = new ContentWriter();
    writer.addMessage(makeMessage({ payload: Buffer.from("p".repeat(50_000)) }));
    for (const part of splitContent(0, 1, writer.take(), 9000)) {
      for (const datagram of encoder.encode(KIND_MESSAGES, 0, part)) receiver.receive(datagram, 0, 1);
    }
    expect(events).toEqual(["journal A", `0:${"p".repeat(20)}`]);
  });

  test("is bounded: blocks and parts of one byte cost what it takes to keep them", () => {
    const receiver = makeReceiver();
    const encoder = makeEncoder({ repairSymbolsMin: 0 });
    const before = process.memoryUsage().rss;
    const piece = Buffer.from("x");
    const shape = { count: 1, part: 65_534, parts: 65_535, compressed: false, contentBytes: 65_535, piece };
    for (let first = 0; first < 5000; first++) {
      for (const datagram of encoder.encode(KIND_MESSAGES, first % 2, { ...shape, first }))
        receiver.receive(datagram, 0, 0);
    }
    expect(receiver.waitingBytes).toBeLessThanOrEqual(2_000_000);
    expect(refusals["part-evicted"]).toBeGreaterThan(500);
    expect(process.memoryUsage().rss - before).toBeLessThan(200_000_000);
  });

  test("refuses random bytes without an exception", () => {
    const receiver = makeReceiver();
    const datagram = block(makeEncoder(), 0, ["a"])[0] ?? Buffer.alloc(0);
    for (let size = 0; size < 3000; size += 7) {
      const noise = Buffer.alloc(size);
      crypto.getRandomValues(noise);
      receiver.receive(noise, 0, 0);
      if (size > 1) noise.set(datagram.subarray(0, Math.min(size, 36)));
      receiver.receive(noise, 0, 0);
    }
    receiver.receive(Buffer.alloc(70_000, 1), 0, 0);
    expect(events).toEqual([]);
  });
});
