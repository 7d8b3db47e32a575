// Feeds the datagrams of one golden vector to a receiver that hears them for the first time, and writes down what it
// makes of them: the form of the outcomes in wire.json.
import { Receiver } from "../../agents/recv/link/receiver.ts";
import { emptyLinkState } from "../../agents/recv/link/session.ts";
import { decodeContent, type Frame } from "../../shared/framing/content.ts";
import type { Heartbeat } from "../../shared/framing/heartbeat.ts";

export type WireVector = { readonly name: string; readonly datagrams: readonly string[]; readonly outcome: readonly unknown[] };

export function receiveVector(linkId: string, linkKey: Uint8Array, datagrams: readonly string[]): unknown[] {
  const outcome: unknown[] = [];
  const options = { linkId, linkKeys: [linkKey], patienceMs: 1000, assemblyBytesMax: 1e6, holdBytesMax: 1e6, contentBytesMax: 1e6 };
  const receiver = new Receiver(options, emptyLinkState(), {
    deliver: (stream, { first, count, content }) =>
      outcome.push({ stream, first, count, frames: decodeContent(content, count)?.map(plainFrame) ?? "malformed" }),
    recover: (stream, _joined, range) => outcome.push({ stream, recovered: range }),
    gap: (stream, gap) => outcome.push({ stream, gap }),
    heartbeat: (heartbeat) => outcome.push({ heartbeat: plainHeartbeat(heartbeat) }),
    journalChanged: () => {},
    epochChanged: () => {},
    restored: (symbols) => outcome.push({ restored: symbols }),
    refused: (reason) => outcome.push({ refused: reason }),
  });
  for (const hex of datagrams) receiver.receive(Buffer.from(hex, "hex"), 0, 0);
  return outcome;
}

function plainFrame(frame: Frame): unknown {
  if (frame.type === "skip") return frame;
  const { payload, properties, ...message } = frame.message;
  return { ...message, payload: Buffer.from(payload).toString("hex"), ...(properties ? { properties } : {}) };
}

function plainHeartbeat({ sections, ...heartbeat }: Heartbeat): unknown {
  return { ...heartbeat, sections: sections.map((section) => ({ ...section, counters: Object.fromEntries(section.counters) })) };
}
