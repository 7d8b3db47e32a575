// The golden vectors pin the wire format: what is in wire.json must be made and understood for ever under version 1.
import { describe, expect, test } from "bun:test";
import { ContentWriter } from "../../../shared/framing/content.ts";
import { KIND_MESSAGES } from "../../../shared/framing/header.ts";
import { REFUSALS } from "../../../shared/framing/reasons.ts";
import golden from "../../vectors/wire.json";
import { classify, receiveVector, type WireInput, type WireVector } from "../../vectors/wire.ts";
import { makeEncoder, makeMessage } from "../shared/framing/samples.ts";
import { encodeAgain } from "./encode-again.ts";

const vectors = golden.vectors as WireVector[];
const accepted = vectors.filter((vector) => vector.class === "accepted");
/** What a receiver alone can refuse, without a datagram: by its own limits, which the tests of its parts reach. */
const BY_LIMIT = new Set(["block-old", "block-evicted", "part-evicted"]);
/** What a receiver takes although no encoder makes it. */
const NOT_OURS = new Set(["a topic that is added twice, and one with a byte order mark"]);
/** Datagrams of a vector that are tried with every cut and every changed byte: the first ones and the last. */
const TRIED = 2;

describe("wire.json", () => {
  for (const vector of vectors) {
    test(`a receiver makes of "${vector.name}" what the vector says`, () => {
      const outcome = receiveVector(golden.linkId, golden.linkKey, vector);
      expect(outcome).toEqual([...vector.outcome]);
      expect(classify(outcome)).toBe(vector.class);
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

  for (const vector of accepted.filter(({ name }) => !NOT_OURS.has(name))) {
    test.skipIf(NOT_OURS.has(vector.name))(
      `the encoder makes the datagrams, block and content of "${vector.name}" from what was decoded`,
      () => {
        const again = encodeAgain(golden.linkId, vector.linkKeys ?? [golden.linkKey], vector.datagrams);
        expect(again.datagrams).toEqual([...vector.datagrams]);
        expect(again.contents).toBeGreaterThan(0);
      },
    );
  }

  for (const vector of accepted) {
    test(`a datagram of "${vector.name}" cut at any byte is refused, and so is one with any byte changed`, () => {
      for (const whole of new Set([...vector.datagrams.slice(0, TRIED), ...vector.datagrams.slice(-1)])) {
        for (let end = 0; end < whole.length; end += 2) expectRefused(vector, whole.slice(0, end));
        for (let at = 0; at < whole.length; at += 2) {
          const byte = Number.parseInt(whole.slice(at, at + 2), 16) ^ 0x41;
          const changed = byte.toString(16).padStart(2, "0");
          expectRefused(vector, whole.slice(0, at) + changed + whole.slice(at + 2));
        }
      }
    });
  }

  test("each reason for a refusal has a vector", () => {
    const seen = new Set<unknown>();
    for (const { outcome } of vectors)
      for (const one of outcome) seen.add((one as { refused?: string }).refused);
    seen.add("long"); // 65,508 bytes of nothing: below, not in the file
    expect(REFUSALS.filter((reason) => !seen.has(reason) && !BY_LIMIT.has(reason))).toEqual([]);
    const long = Buffer.alloc(65_508, 1).toString("hex");
    expect(receiveVector(golden.linkId, golden.linkKey, { datagrams: [long] })).toEqual([
      { refused: "long" },
    ]);
  });
});

function expectRefused(vector: WireInput, datagram: string): void {
  const input = { datagrams: [datagram], ...(vector.linkKeys ? { linkKeys: vector.linkKeys } : {}) };
  const outcome = receiveVector(golden.linkId, golden.linkKey, input);
  if (outcome.length === 1 && Object.keys(outcome[0] as object).join() === "refused") return;
  expect({ datagram, outcome }).toEqual({ datagram, outcome: [{ refused: "…" }] });
}
