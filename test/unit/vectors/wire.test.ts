// The golden vectors pin the wire format: what is in wire.json must be made and understood for ever under version 1.
import { describe, expect, test } from "bun:test";
import { ContentWriter } from "../../../shared/framing/content.ts";
import { KIND_MESSAGES } from "../../../shared/framing/header.ts";
import golden from "../../vectors/wire.json";
import { receiveVector, type WireVector } from "../../vectors/wire.ts";
import { makeEncoder, makeMessage } from "../shared/framing/samples.ts";

const vectors = golden.vectors as WireVector[];
const linkKey = Buffer.from(golden.linkKey, "hex");

describe("wire.json", () => {
  for (const { name, datagrams, outcome } of vectors) {
    test(`a receiver makes of "${name}" what the vector says`, () => {
      expect(receiveVector(golden.linkId, linkKey, datagrams)).toEqual([...outcome]);
    });
  }

  test("the encoder makes the first vector, byte for byte", () => {
    const writer = new ContentWriter();
    writer.addMessage(makeMessage({ payload: Buffer.from("hello") }));
    const piece = writer.take();
    const block = {
      first: 0,
      count: 1,
      part: 0,
      parts: 1,
      compressed: false,
      contentBytes: piece.length,
      piece,
    };
    const datagrams = makeEncoder().encode(KIND_MESSAGES, 0, block);
    expect(datagrams.map((datagram) => datagram.toString("hex"))).toEqual([...(vectors[0]?.datagrams ?? [])]);
  });

  test("a datagram cut at any byte is refused, and so is one with any byte changed", () => {
    for (const { datagrams } of vectors.slice(0, 6)) {
      const whole = datagrams[0] ?? "";
      for (let end = 0; end < whole.length; end += 2) expectRefused(whole.slice(0, end));
      for (let at = 0; at < whole.length; at += 2) {
        const byte = Number.parseInt(whole.slice(at, at + 2), 16) ^ 0x41;
        expectRefused(whole.slice(0, at) + byte.toString(16).padStart(2, "0") + whole.slice(at + 2));
      }
    }
  });
});

function expectRefused(datagram: string): void {
  const outcome = receiveVector(golden.linkId, linkKey, [datagram]);
  expect(outcome).toHaveLength(1);
  expect(Object.keys(outcome[0] as object)).toEqual(["refused"]);
}
