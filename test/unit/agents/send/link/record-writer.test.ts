import { describe, expect, test } from "bun:test";
import { RecordWriter } from "../../../../../agents/send/link/record-writer.ts";
import { RecordDecoder } from "../../../../../shared/framing/record.ts";

/** A stream that takes a few bytes at a time, and sometimes none. */
function makeStream(sizes: readonly number[]) {
  const bytes: Buffer[] = [];
  let turn = 0;
  const writer = new RecordWriter((chunks) => {
    const size = sizes[turn++ % sizes.length] ?? 0;
    const taken = Buffer.concat([...chunks]).subarray(0, size);
    bytes.push(Buffer.from(taken));
    return taken.length;
  });
  return { writer, read: () => Buffer.concat(bytes) };
}

describe("RecordWriter", () => {
  test.each([[[1_000_000]], [[1]], [[7, 0, 3]], [[8]], [[0, 0, 11, 200]], [[13, 1, 0, 0, 50]]])(
    "writes whole records in order into a stream that takes %j bytes at a time",
    (sizes) => {
      const { writer, read } = makeStream(sizes);
      const datagrams = Array.from({ length: 40 }, (_, index) =>
        Buffer.from(`datagram ${index}`.repeat(1 + (index % 9))),
      );
      let at = 0;
      for (let calls = 0; at < datagrams.length || writer.hasTail; calls++) {
        expect(calls).toBeLessThan(100_000);
        if (at === datagrams.length) writer.flush();
        else at += writer.write(datagrams.slice(at, at + 5));
      }
      const found: string[] = [];
      const decoder = new RecordDecoder({
        datagram: (datagram) => found.push(datagram.toString()),
        skipped: () => expect.unreachable(),
      });
      decoder.push(read());
      expect(found).toEqual(datagrams.map(String));
      expect(decoder.pendingBytes).toBe(0);
    },
  );

  test("takes nothing while there is no room, and counts a record that was begun as taken", () => {
    const { writer } = makeStream([0, 5, 0, 100]);
    const datagrams = [Buffer.from("abc"), Buffer.from("def")];
    expect(writer.write(datagrams)).toBe(0);
    expect(writer.write(datagrams)).toBe(1);
    expect(writer.hasTail).toBe(true);
    expect(writer.write(datagrams)).toBe(0);
    expect(writer.flush()).toBe(true);
  });
});
