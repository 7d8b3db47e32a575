import { describe, expect, test } from "bun:test";
import { decodeHeartbeat, encodeHeartbeat } from "../../../../shared/framing/heartbeat.ts";
import { HEARTBEAT } from "./samples.ts";

describe("decodeHeartbeat()", () => {
  const bytes = encodeHeartbeat(HEARTBEAT);

  test("gives back what was encoded", () => {
    expect(decodeHeartbeat(bytes)).toEqual(HEARTBEAT);
  });

  test("refuses a heartbeat cut at any byte, or with a byte too many", () => {
    for (let end = 0; end < bytes.length; end++)
      expect(decodeHeartbeat(bytes.subarray(0, end))).toBeUndefined();
    expect(decodeHeartbeat(Buffer.concat([bytes, Buffer.alloc(1)]))).toBeUndefined();
  });

  test("never throws, whatever byte is changed", () => {
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const changed = Buffer.from(bytes);
        changed[at] = changed.readUInt8(at) ^ flip;
        decodeHeartbeat(changed);
      }
    }
  });

  test("refuses sequences that contradict one another, and a stream twice", () => {
    const stream = { stream: 0, epochFirst: 0, next: 5, sent: 5, oldest: 0 };
    for (const streams of [[{ ...stream, sent: 6 }], [{ ...stream, oldest: 6 }], [stream, stream]]) {
      expect(decodeHeartbeat(encodeHeartbeat({ ...HEARTBEAT, streams }))).toBeUndefined();
    }
  });
});
