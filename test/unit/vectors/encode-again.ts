// Takes datagrams apart down to their frames and makes them again from the frames up, with the encoding functions of
// shared/framing alone. What comes out must be what went in: a decoder that is too lenient, or an encoder that has
// drifted, shows here.
import { FecCodec } from "../../../shared/fec/codec.ts";
import { type Block, decodeBlock, ENVELOPE_BYTES, encodeBlock } from "../../../shared/framing/block.ts";
import { decompressContent } from "../../../shared/framing/compression.ts";
import { ContentWriter, decodeContent } from "../../../shared/framing/content.ts";
import { decodeHeader, type Header, KIND_HEARTBEAT } from "../../../shared/framing/header.ts";
import { decodeHeartbeat, encodeHeartbeat } from "../../../shared/framing/heartbeat.ts";
import { deriveEpochKey, deriveKeyId } from "../../../shared/framing/keys.ts";
import { openDatagram, sealDatagram } from "../../../shared/framing/seal.ts";

type Opened = { readonly header: Header; readonly key: Uint8Array | undefined; readonly symbol: Buffer };
type Again = { readonly datagrams: string[]; readonly contents: number };

/** The datagrams made again, in their order, and how many contents and heartbeats were whole and came out the same. */
export function encodeAgain(
  linkId: string,
  linkKeys: readonly string[],
  datagrams: readonly string[],
): Again {
  const opened = datagrams
    .map((hex) => open(linkId, linkKeys, Buffer.from(hex, "hex")))
    .filter((one) => one !== undefined);
  const made = new Map<string, Buffer[]>();
  const parts = new Map<string, Block[]>();
  let contents = 0;
  for (const { header } of opened) {
    const name = nameBlock(header);
    if (made.has(name)) continue;
    const { block, symbols } = remakeBlock(opened.filter((other) => nameBlock(other.header) === name));
    made.set(name, symbols);
    const group = `${header.epoch} ${header.kind} ${header.stream} ${block.first} ${block.count}`;
    const all = [...(parts.get(group) ?? []), block].sort((a, b) => a.part - b.part);
    parts.set(group, all);
    if (all.length !== block.parts) continue;
    expectSameContent(header, all);
    parts.delete(group);
    contents++;
  }
  const again = opened.map(({ header, key }) => {
    const symbol = made.get(nameBlock(header))?.[header.symbol] ?? Buffer.alloc(0);
    return sealDatagram(header, symbol, key).toString("hex");
  });
  return { datagrams: again, contents };
}

function open(linkId: string, linkKeys: readonly string[], datagram: Buffer): Opened | undefined {
  const header = decodeHeader(datagram);
  if (typeof header === "string") throw new Error(`cannot open datagram: ${header}`);
  const linkKey = linkKeys
    .map((key) => Buffer.from(key, "hex"))
    .find((key) => deriveKeyId(key) === header.keyId);
  const key = linkKey && deriveEpochKey(linkKey, linkId, header.journalId, header.epoch);
  const symbol = openDatagram(datagram, key);
  if (symbol === undefined) throw new Error("cannot open datagram: tag");
  return { header, key, symbol };
}

function nameBlock({ epoch, journalId, kind, block }: Header): string {
  return `${journalId} ${epoch} ${kind} ${block}`;
}

/** All k + r symbols of a block, made from its decoded envelope. */
function remakeBlock(opened: readonly Opened[]): { block: Block; symbols: Buffer[] } {
  const [one] = opened;
  if (one === undefined) throw new Error("cannot make a block of nothing");
  const { sourceSymbols: k, repairSymbols: r } = one.header;
  const size = one.symbol.length;
  const known: (Uint8Array | undefined)[] = Array.from({ length: k + r });
  for (const { header, symbol } of opened) known[header.symbol] = symbol;
  if (new FecCodec().restore(k, r, size, known) !== "ok") throw new Error("cannot restore block");
  const block = decodeBlock(Buffer.concat(known.slice(0, k) as Uint8Array[]));
  if (block === undefined) throw new Error("cannot decode block");
  const bytes = Buffer.alloc(k * size);
  // As many zeros as the vector has: encodeBlock() makes fewer than k of them.
  bytes.set(encodeBlock(block, ENVELOPE_BYTES + block.piece.length).bytes);
  const repair = Buffer.alloc(r * size);
  new FecCodec().encodeRepair(k, r, size, bytes, repair);
  const all = Buffer.concat([bytes, repair]);
  return { block, symbols: known.map((_, i) => all.subarray(i * size, (i + 1) * size)) };
}

function expectSameContent(header: Header, parts: readonly Block[]): void {
  const joined = Buffer.concat(parts.map(({ piece }) => piece));
  const [{ compressed = false, count = 0 } = {}] = parts;
  const content = compressed ? decompressContent(joined, 1e6) : joined;
  if (content === undefined) throw new Error("cannot decompress content");
  const again = header.kind === KIND_HEARTBEAT ? heartbeatAgain(content) : contentAgain(content, count);
  if (!again.equals(content)) throw new Error(`cannot make again: ${Buffer.from(content).toString("hex")}`);
}

function heartbeatAgain(content: Uint8Array): Buffer {
  const heartbeat = decodeHeartbeat(content);
  if (heartbeat === undefined) throw new Error("cannot decode heartbeat");
  return encodeHeartbeat(heartbeat);
}

function contentAgain(content: Uint8Array, count: number): Buffer {
  const frames = decodeContent(content, count);
  if (frames === undefined) throw new Error("cannot decode content");
  const writer = new ContentWriter();
  for (const frame of frames) {
    if (frame.type === "skip") writer.addSkip(frame.count, frame.reason);
    else writer.addMessage(frame.message);
  }
  return writer.take();
}
