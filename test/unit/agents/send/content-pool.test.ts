import { describe, expect, test } from "bun:test";
import { ContentPool } from "../../../../agents/send/content-pool.ts";
import { ContentWriter, decodeContent } from "../../../../shared/framing/content.ts";
import { makeMessage } from "../../shared/framing/samples.ts";

function write(writer: ContentWriter, text: string, bytes: number): void {
  writer.addMessage(makeMessage({ topic: "t", payload: Buffer.alloc(bytes, text) }));
}

function readBack(content: Uint8Array): string | undefined {
  const frame = decodeContent(content, 1)?.[0];
  return frame?.type === "message" ? frame.message.payload.toString() : undefined;
}

describe("ContentPool", () => {
  test("uses memory again once it is given back, and not before", () => {
    const pool = new ContentPool();
    const writer = new ContentWriter();
    write(writer, "a", 40_000);
    const first = pool.take(writer);
    write(writer, "b", 40_000);
    const second = pool.take(writer);
    expect(readBack(first)).toBe("a".repeat(40_000));
    pool.giveBack(first);
    pool.giveBack(first);
    write(writer, "c", 40_000);
    const third = pool.take(writer);
    write(writer, "d", 40_000);
    const fourth = pool.take(writer);
    expect(fourth.buffer).toBe(first.buffer);
    expect(new Set([second, third, fourth].map(({ buffer }) => buffer)).size).toBe(3);
    expect([second, third, fourth].map(readBack)).toEqual(["b", "c", "d"].map((text) => text.repeat(40_000)));
  });

  test("copies small contents, and has no use for memory that is not its own or has grown", () => {
    const pool = new ContentPool();
    const writer = new ContentWriter();
    write(writer, "a", 10);
    const small = pool.take(writer);
    expect(small.buffer.byteLength).toBeLessThan(1000);
    write(writer, "b", 100_000);
    const large = pool.take(writer);
    for (const content of [small, large, Buffer.alloc(65_536)]) pool.giveBack(content);
    for (const text of ["c", "d"]) {
      write(writer, text, 40_000);
      const content = pool.take(writer);
      expect(content.buffer).not.toBe(large.buffer);
      expect(readBack(content)).toBe(text.repeat(40_000));
    }
  });
});
