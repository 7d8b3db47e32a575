import { describe, expect, test } from "bun:test";
import { TopicCache, type TopicReading } from "../../../../shared/mqtt/topic-cache.ts";

const cache = new TopicCache();

function read(bytes: string | Uint8Array, through = cache): TopicReading {
  const body = Buffer.from(bytes as string);
  const padded = Buffer.concat([Buffer.from("??"), body, Buffer.from("!")]);
  return through.read(padded, 2, 2 + body.length);
}

describe("TopicCache", () => {
  test("gives each of many topics back, again and again", () => {
    const topics = Array.from({ length: 300_000 }, (_, n) => `plant/line/${n}`);
    for (let round = 0; round < 2; round++)
      for (const topic of topics) if (read(topic) !== topic) throw new Error(`${topic} came out otherwise`);
  });

  test("keeps topics apart whose text or bytes are alike, whoever came first", () => {
    const topics = [
      "a",
      "ä",
      "Ã¤",
      "a/ü",
      "kühl/é",
      "kühl/e",
      "日本/温度",
      "日本/湿度",
      "😀",
      "\u00fc",
      "x\u0001",
    ];
    for (let round = 0; round < 3; round++) for (const topic of topics) expect(read(topic)).toBe(topic);
  });

  test("takes no bytes for a topic that only looks like one it knows", () => {
    const own = new TopicCache();
    expect(read("aü", own)).toBe("aü");
    // Its characters as bytes: no UTF-8.
    expect(read(new Uint8Array([0x61, 0xfc]), own)).toEqual({ fault: "text" });
    expect(read("aü", own)).toBe("aü");
    expect(read("ab", own)).toBe("ab");
    expect(read("ac", own)).toBe("ac");
  });

  test("keeps what it knows when the memory that it was read from is written to again", () => {
    const own = new TopicCache();
    const chunk = Buffer.from("kühl/a");
    expect(own.read(chunk, 0, chunk.length)).toBe("kühl/a");
    chunk.write("kühl/b");
    expect(own.read(chunk, 0, chunk.length)).toBe("kühl/b");
    expect(read("kühl/a", own)).toBe("kühl/a");
    // Two of the same hash.
    const [one, two] = ["é/Aa", "é/BB"];
    const again = Buffer.from(one);
    expect(own.read(again, 0, again.length)).toBe(one);
    again.write(two);
    expect(own.read(again, 0, again.length)).toBe(two);
  });

  test("says what is wrong with what is no topic name, each time", () => {
    for (let round = 0; round < 2; round++) {
      expect(read("")).toEqual({ fault: "empty" });
      expect(read("a/+")).toEqual({ fault: "wildcard" });
      expect(read("a/#")).toEqual({ fault: "wildcard" });
      expect(read("a\u0000b")).toEqual({ fault: "text" });
      expect(read(new Uint8Array([0xc3]))).toEqual({ fault: "text" });
    }
  });

  test("reads topics that are too long to be kept", () => {
    const long = "x".repeat(65_535);
    expect([read(long), read(long)]).toEqual([long, long]);
  });
});
