// Golden vectors of what a receiver refuses before it looks into a block: headers, keys, tags, runs, and symbols of no use.
import { HEADER_BYTES } from "../../shared/framing/header.ts";
import { encodeHeartbeat } from "../../shared/framing/heartbeat.ts";
import { EPOCH, HEARTBEAT, LINK_KEY, makeEncoder } from "../unit/shared/framing/samples.ts";
import { content, messages, OTHER_KEY, type RawInput, run } from "./accepted.ts";
import { rawBlock, rawDatagrams } from "./raw.ts";

function changed(datagram: Buffer | undefined, at: number, value: number): Buffer {
  const copy = Buffer.from(datagram ?? []);
  copy[at] = value;
  return copy;
}

const one = messages(0, ["hello"]);
const head = one[0] ?? Buffer.alloc(0);
const clear = messages(0, ["hello"], { linkKeys: [] })[0] ?? Buffer.alloc(0);
const beat = makeEncoder().encodeHeartbeat(encodeHeartbeat(HEARTBEAT))[0] ?? Buffer.alloc(0);
const key = Buffer.from(LINK_KEY).toString("hex");
const x = rawBlock(content(["0123456789".repeat(10)]).content);
const [wide = Buffer.alloc(0)] = rawDatagrams(x, { sourceSymbols: 2 });
const other = (change: object) => rawDatagrams(x, { sourceSymbols: 2, ...change })[1] ?? Buffer.alloc(0);
const [a = [], b = [], c = []] = run([
  { first: 0, texts: ["a"] },
  { first: 0, texts: ["a"] },
  { first: 5, texts: ["b"] },
]);
const parts = messages(0, ["abcdefghij".repeat(10)], { datagramBytes: 200, repairSymbolsMin: 0 }, 60);

/** In the order that the first vectors of the file have always had. */
export const REFUSED: Record<string, RawInput> = {
  "an empty datagram": { datagrams: [Buffer.alloc(0)] },
  "a datagram cut in its header": { datagrams: [head.subarray(0, 35)] },
  "a header without a symbol": { datagrams: [head.subarray(0, 52)] },
  "version 2": { datagrams: [changed(head, 0, 2)] },
  "an unknown kind": { datagrams: [changed(head, 1, 9)] },
  "another link": { datagrams: messages(0, ["hello"], { linkId: "plant-8" }) },
  "another key": { datagrams: messages(0, ["hello"], { linkKeys: [OTHER_KEY] }) },
  "no source symbols": { datagrams: [changed(head, 34, 0)] },
  "a symbol beyond k + r": { datagrams: [changed(head, 33, 2)] },
  "more symbols than the field has": { datagrams: [changed(changed(head, 34, 255), 35, 2)] },
  "a stream that no receiver keeps": { datagrams: [changed(head, 32, 200)] },
  "a changed byte in the header": { datagrams: [changed(head, 27, 1)] },
  "a changed byte in the symbol": { datagrams: [changed(head, 40, head.readUInt8(40) ^ 1)] },
  "a changed byte in the tag": { datagrams: [changed(head, head.length - 1, (head.at(-1) ?? 0) ^ 1)] },
};

export const REFUSED_MORE: Record<string, RawInput> = {
  "one byte, of another version": { datagrams: [Buffer.from([2])] },
  "a byte alone": { datagrams: [Buffer.from([1])] },
  "a header alone": { datagrams: [head.subarray(0, HEADER_BYTES)] },
  "an unknown kind, cut behind the header": { datagrams: [changed(head, 1, 0).subarray(0, HEADER_BYTES)] },
  "not sealed, a header and a checksum without a symbol": { datagrams: [clear.subarray(0, 40)], linkKeys: [] },
  "a symbol more than k + r at most": { datagrams: [changed(changed(head, 34, 1), 33, 255)] },
  "a block number of 2^53": { datagrams: [changed(head, 25, 0x20)] },
  "a block number of 2^64 - 1": { datagrams: [Buffer.concat([head.subarray(0, 24), Buffer.alloc(8, 255), head.subarray(32)])] },
  "a heartbeat with a stream": { datagrams: [changed(beat, 32, 1)] },
  "stream 16": { datagrams: [changed(head, 32, 16)] },
  "not sealed where sealing is required": { datagrams: [clear] },
  "sealed where nothing is": { datagrams: [head], linkKeys: [] },
  "a wrong checksum": { datagrams: [changed(clear, 36, clear.readUInt8(36) ^ 1)], linkKeys: [] },
  "a key id of zero written over": { datagrams: [changed(changed(head, 2, 0), 3, 0)], linkKeys: [] },
  "the key id of another live key": {
    datagrams: [Buffer.concat([head.subarray(0, 2), messages(0, ["hello"], { linkKeys: [OTHER_KEY] })[0]?.subarray(2, 4) ?? head, head.subarray(4)])],
    linkKeys: [key, Buffer.from(OTHER_KEY).toString("hex")],
  },
  "a datagram of a lower epoch": { datagrams: [...a, ...run([{ first: 1, texts: ["b"] }], { epoch: EPOCH - 1n }).flat()] },
  "a forged datagram of a greater epoch starts no run": { datagrams: [changed(a[0], 16, 255), ...a] },
  "a symbol that is here already": { datagrams: [wide, wide, other({})] },
  "symbols of one block that differ in stream": { datagrams: [wide, other({ stream: 1 })] },
  "symbols of one block that differ in k": { datagrams: [wide, other({ sourceSymbols: 3 })] },
  "symbols of one block that differ in r": { datagrams: [wide, other({ repairSymbols: 1 })] },
  "symbols of one block that differ in size": {
    datagrams: [wide, rawDatagrams(Buffer.concat([x, Buffer.alloc(9)]), { sourceSymbols: 2 })[1] ?? wide],
  },
  "a part twice": { datagrams: [...parts.slice(0, 1), ...rawAgain(), ...parts.slice(1)] },
  "sequences that are settled": { datagrams: [...a, ...b] },
  "sequences that wait behind a hole": { datagrams: [...c, ...run([{ first: 0, texts: ["z"] }, { first: 0, texts: ["z"] }, { first: 0, texts: ["z"] }, { first: 5, texts: ["b"] }])[3] ?? []] },
};

/** The first part of the content, in a block of another number. */
function rawAgain(): Buffer[] {
  const bytes = content(["abcdefghij".repeat(10)]).content;
  const change = { contentBytes: bytes.length, parts: parts.length };
  return rawDatagrams(rawBlock(bytes.subarray(0, 60), change), { block: 77 });
}
