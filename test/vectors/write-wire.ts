// Writes wire.json, the golden vectors of the wire format: run it only when the format changes on purpose, or to add a
// vector. Each is a list of datagrams in hexadecimal and what a receiver that hears them for the first time makes of
// them: contents and heartbeats in order, gaps, and refusals by reason. Refuses to change a vector that is there already.
import { readFileSync, writeFileSync } from "node:fs";
import { EPOCH, JOURNAL_ID, LINK_ID, LINK_KEY } from "../unit/shared/framing/samples.ts";
import { ACCEPTED, ACCEPTED_MORE, type RawInput } from "./accepted.ts";
import { MALFORMED } from "./malformed.ts";
import { REFUSED, REFUSED_MORE } from "./refused.ts";
import { classify, receiveVector, type WireVector } from "./wire.ts";

const FILE = new URL("wire.json", import.meta.url);
const LINK_KEY_HEX = Buffer.from(LINK_KEY).toString("hex");

function makeVector(name: string, { datagrams, ...input }: RawInput): WireVector {
  const hex = { datagrams: datagrams.map((datagram) => datagram.toString("hex")), ...input };
  const outcome = receiveVector(LINK_ID, LINK_KEY_HEX, hex);
  return { name, class: classify(outcome), ...hex, outcome };
}

const known = new Map<string, WireVector>();
for (const vector of JSON.parse(readFileSync(FILE, "utf8")).vectors as WireVector[]) known.set(vector.name, vector);

const inputs = { ...ACCEPTED, ...REFUSED, ...ACCEPTED_MORE, ...REFUSED_MORE, ...MALFORMED };
const vectors = Object.entries(inputs).map(([name, input]) => {
  const vector = makeVector(name, input);
  const before = known.get(name);
  known.delete(name);
  // zstd may pack otherwise in another version: what was packed once stays as it is.
  return before === undefined ? vector : { ...before, class: vector.class };
});
if (known.size > 0) throw new Error(`cannot write wire.json: would drop ${[...known.keys()].join(", ")}`);

const document = {
  version: 1,
  linkId: LINK_ID,
  linkKey: LINK_KEY_HEX,
  journalId: JOURNAL_ID.toString(16).padStart(16, "0"),
  epoch: EPOCH.toString(16).padStart(16, "0"),
  vectors,
};
writeFileSync(FILE, `${JSON.stringify(document, null, 1)}\n`);
