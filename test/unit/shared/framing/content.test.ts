import { describe, expect, test } from "bun:test";
import { ContentWriter, decodeAfter, decodeContent } from "../../../../shared/framing/content.ts";
import { changeMessage } from "../../../../shared/message.ts";
import { MESSAGES, makeMessage } from "./samples.ts";

function encode(): { content: Buffer; count: number } {
  const writer = new ContentWriter();
  for (const message of MESSAGES) writer.addMessage(message);
  writer.addSkip(7, "expired");
  writer.addMessage(makeMessage());
  const count = writer.count;
  return { content: writer.take(), count };
}

describe("decodeContent()", () => {
  test("gives back every message and skip", () => {
    const { content, count } = encode();
    const frames = decodeContent(content, count);
    expect(count).toBe(MESSAGES.length + 8);
    const expected = [...MESSAGES, makeMessage()].map((message) => ({
      ...message,
      payload: Buffer.from(message.payload),
    }));
    const messages = frames?.flatMap((frame) =>
      frame.type === "message" ? [changeMessage(frame.message, {})] : [],
    );
    expect(messages).toEqual(expected);
    expect(frames?.find((frame) => frame.type === "skip")).toEqual({
      type: "skip",
      count: 7,
      reason: "expired",
    });
  });

  test("refuses a content cut at any byte", () => {
    const { content, count } = encode();
    for (let end = 0; end < content.length; end++)
      expect(decodeContent(content.subarray(0, end), count)).toBeUndefined();
  });

  test("refuses another number of sequences than the block says", () => {
    const { content, count } = encode();
    for (const wrong of [0, count - 1, count + 1]) expect(decodeContent(content, wrong)).toBeUndefined();
  });

  test("never throws and never makes an invalid topic, whatever byte is changed", () => {
    const { content, count } = encode();
    for (let at = 0; at < content.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const changed = Buffer.from(content);
        changed[at] = changed.readUInt8(at) ^ flip;
        for (const frame of decodeContent(changed, count) ?? []) {
          if (frame.type === "message") expect(frame.message.topic).not.toMatch(/[+#\0]/);
        }
      }
    }
  });

  test("refuses frames that no encoder writes", () => {
    const topic = [1, 0x61];
    const cases = {
      "QoS 3": [0x03, 0, ...topic, 0, 0],
      "unknown frame type": [0x80, 0, ...topic, 0, 0],
      "unknown flag": [0x10, 0, ...topic, 0, 0],
      "topic out of the dictionary": [0x00, 1, 0, 0],
      "empty topic": [0x00, 0, 0, 0, 0],
      "wildcard in the topic": [0x00, 0, 1, 0x23, 0, 0],
      "NUL in the topic": [0x00, 0, 1, 0x00, 0, 0],
      "empty properties": [0x08, 0, ...topic, 0, 0, 0],
      "unknown property": [0x08, 0, ...topic, 0, 2, 0x11, 0, 0],
      "properties out of order": [0x08, 0, ...topic, 0, 4, 0x03, 0, 0x01, 1, 0],
      "payload format 2": [0x08, 0, ...topic, 0, 2, 0x01, 2, 0],
      "payload longer than the content": [0x00, 0, ...topic, 0, 9, 1],
      "skip of nothing": [0x40, 0, 1],
      "skip for no reason": [0x40, 1, 99],
    };
    expect(decodeContent(Uint8Array.from([0x00, 0, ...topic, 0, 0]), 1)).toHaveLength(1);
    for (const [name, bytes] of Object.entries(cases)) {
      expect([name, decodeContent(Uint8Array.from(bytes), 1)]).toEqual([name, undefined]);
    }
  });
});

describe("decodeAfter()", () => {
  test("gives what decodeContent() gives, without what was skipped, wherever that ends", () => {
    const writer = new ContentWriter();
    for (let index = 0; index < 6; index++) {
      writer.addMessage(makeMessage({ topic: `t${index}` }));
      writer.addSkip(2 + index, index % 2 === 0 ? "expired" : "conflated");
    }
    const { count } = writer;
    const content = writer.take();
    const frames = decodeContent(content, count) ?? [];
    for (let skip = 0; skip <= count; skip++) {
      const topics: string[] = [];
      const skips: { count: number; reason: string }[] = [];
      let at = 0;
      for (const frame of frames) {
        const size = frame.type === "skip" ? frame.count : 1;
        at += size;
        if (at <= skip) continue;
        if (frame.type === "message") topics.push(frame.message.topic);
        else skips.push({ count: Math.min(size, at - skip), reason: frame.reason });
      }
      const decoded = decodeAfter(content, count, skip);
      expect(decoded?.messages.map(({ topic }) => topic)).toEqual(topics);
      expect(decoded?.skips as object[]).toEqual(skips);
    }
    expect(decodeAfter(content, count + 1, 0)).toBeUndefined();
  });

  test("does not take ever longer for each of many skips", () => {
    const writer = new ContentWriter();
    for (let index = 0; index < 400_000; index++) writer.addSkip(1, "expired");
    expect(decodeAfter(writer.take(), 400_000, 0)?.skips).toHaveLength(400_000);
  });
});
