// Writes wire.json, the golden vectors of the wire format: run it only when the format changes on purpose.
// Each vector is a list of datagrams in hexadecimal and what a receiver that hears them for the first time makes of
// them: contents and heartbeats in order, and refusals by reason.
import { writeFileSync } from "node:fs";
import { splitContent } from "../../shared/framing/block.ts";
import { ContentWriter } from "../../shared/framing/content.ts";
import { KIND_MESSAGES } from "../../shared/framing/header.ts";
import { encodeHeartbeat } from "../../shared/framing/heartbeat.ts";
import { EPOCH, HEARTBEAT, JOURNAL_ID, LINK_ID, LINK_KEY, MESSAGES, makeEncoder, makeMessage } from "../unit/shared/framing/samples.ts";
import { receiveVector, type WireVector } from "./wire.ts";

function content(texts: readonly string[]): { content: Buffer; count: number } {
  const writer = new ContentWriter();
  for (const payload of texts) writer.addMessage(makeMessage({ payload: Buffer.from(payload) }));
  const count = writer.count;
  return { content: writer.take(), count };
}

function messages(first: number, texts: readonly string[], options = {}, pieceBytes = 20_000): Buffer[] {
  const { content: bytes, count } = content(texts);
  const encoder = makeEncoder(options);
  return splitContent(first, count, bytes, pieceBytes).flatMap((block) => encoder.encode(KIND_MESSAGES, 0, block));
}

function every(): Buffer[] {
  const writer = new ContentWriter();
  for (const message of MESSAGES) writer.addMessage(message);
  writer.addSkip(3, "expired");
  writer.addSkip(1, "conflated");
  const count = writer.count;
  const [block] = splitContent(0, count, writer.take(), 20_000);
  return block ? makeEncoder().encode(KIND_MESSAGES, 0, block) : [];
}

function changed(datagram: Buffer | undefined, at: number, value: number): Buffer {
  const copy = Buffer.from(datagram ?? []);
  copy[at] = value;
  return copy;
}

const one = messages(0, ["hello"]);
const long = messages(0, ["0123456789".repeat(60)], { datagramBytes: 200, repairPercent: 50 });
const k = long[0]?.readUInt8(34) ?? 0;
const INPUTS: Record<string, Buffer[]> = {
  "one message, one source and one repair symbol": one,
  "every flag and property, and skips": every(),
  "five source and three repair symbols": long,
  "repair symbols stand in for lost source symbols": long.slice(long.length - k),
  "a content in three parts, the last first": messages(0, ["abcdefghij".repeat(10)], { datagramBytes: 200 }, 60).reverse(),
  "a heartbeat": makeEncoder().encodeHeartbeat(encodeHeartbeat(HEARTBEAT)),
  "the repair symbol alone": one.slice(1),
  "the same datagram twice": one.slice(0, 1).concat(one.slice(0, 1)),
  "an empty datagram": [Buffer.alloc(0)],
  "a datagram cut in its header": [one[0]?.subarray(0, 35) ?? Buffer.alloc(0)],
  "a header without a symbol": [one[0]?.subarray(0, 52) ?? Buffer.alloc(0)],
  "version 2": [changed(one[0], 0, 2)],
  "an unknown kind": [changed(one[0], 1, 9)],
  "another link": messages(0, ["hello"], { linkId: "plant-8" }),
  "another key": messages(0, ["hello"], { linkKeys: [new Uint8Array(32).fill(7)] }),
  "no source symbols": [changed(one[0], 34, 0)],
  "a symbol beyond k + r": [changed(one[0], 33, 2)],
  "more symbols than the field has": [changed(changed(one[0], 34, 255), 35, 2)],
  "a stream that no receiver keeps": [changed(one[0], 32, 200)],
  "a changed byte in the header": [changed(one[0], 27, 1)],
  "a changed byte in the symbol": [changed(one[0], 40, (one[0]?.readUInt8(40) ?? 0) ^ 1)],
  "a changed byte in the tag": [changed(one[0], (one[0]?.length ?? 1) - 1, (one[0]?.at(-1) ?? 0) ^ 1)],
};

const vectors = Object.entries(INPUTS).map(([name, datagrams]): WireVector => {
  const hex = datagrams.map((datagram) => datagram.toString("hex"));
  return { name, datagrams: hex, outcome: receiveVector(LINK_ID, LINK_KEY, hex) };
});
const document = {
  version: 1,
  linkId: LINK_ID,
  linkKey: Buffer.from(LINK_KEY).toString("hex"),
  journalId: JOURNAL_ID.toString(16).padStart(16, "0"),
  epoch: EPOCH.toString(16).padStart(16, "0"),
  vectors,
};
writeFileSync(new URL("wire.json", import.meta.url), `${JSON.stringify(document, null, 1)}\n`);
