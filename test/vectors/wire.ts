// Feeds the datagrams of one golden vector to a receiver that hears them for the first time, and writes down what it
// makes of them: the form of the outcomes in wire.json.
import { Receiver } from "../../agents/recv/link/receiver.ts";
import { emptyLinkState } from "../../agents/recv/link/session.ts";
import { decodeContent, type Frame } from "../../shared/framing/content.ts";
import type { Heartbeat } from "../../shared/framing/heartbeat.ts";
import { changeMessage } from "../../shared/message.ts";

/**
 * What becomes of the datagrams: `accepted`: all that was sent is delivered; `refused`: nothing is; `partly`: something is
 * delivered and something refused or lost; `lost`: sequences are given up, and nothing is delivered.
 */
export type OutcomeClass = "accepted" | "refused" | "partly" | "lost";

/** What a receiver is told and given. Patience is a second. */
export type WireInput = {
  readonly datagrams: readonly string[];
  /** The receiver's live keys, when they are not the document's one. */
  readonly linkKeys?: readonly string[];
  /** When each datagram arrives, milliseconds from the first; all at 0 when absent. */
  readonly timesMs?: readonly number[];
  /** When the receiver is last asked what it gives up. */
  readonly endMs?: number;
  /** Largest content; 1,000,000 when absent. */
  readonly contentBytesMax?: number;
};

export type WireVector = WireInput & {
  readonly name: string;
  readonly class: OutcomeClass;
  readonly outcome: readonly unknown[];
};

export function receiveVector(linkId: string, linkKey: string, input: WireInput): unknown[] {
  const outcome: unknown[] = [];
  const linkKeys = (input.linkKeys ?? [linkKey]).map((key) => Buffer.from(key, "hex"));
  const limits = { patienceMs: 1000, assemblyBytesMax: 1e6, holdBytesMax: 1e6 };
  const state = emptyLinkState();
  let nowMs = 0;
  const receiver = new Receiver(
    { linkId, linkKeys, ...limits, contentBytesMax: input.contentBytesMax ?? 1e6 },
    state,
    {
      deliver: (stream, { first, count, skip, content }) => {
        const frames = decodeContent(content, count)?.map(plainFrame) ?? "malformed";
        outcome.push({ stream, first, count, frames, ...(skip > 0 ? { skip } : {}) });
      },
      recover: (stream, _joined, { first, end }) => outcome.push({ stream, recovered: { first, end } }),
      gap: (stream, gap, reason) => {
        const { first, count } = gap;
        const nowhere = { before: undefined, after: undefined };
        state.gaps.add({ stream, first, end: first + count, atMs: nowMs, reason, ...nowhere });
        outcome.push({ stream, gap });
      },
      heartbeat: (heartbeat) => outcome.push({ heartbeat: plainHeartbeat(heartbeat) }),
      journalChanged: () => {},
      sinceKnown: () => {},
      epochChanged: () => {},
      restored: (symbols) => outcome.push({ restored: symbols }),
      refused: (reason, _path, count) => {
        for (let i = 0; i < count; i++) outcome.push({ refused: reason });
      },
    },
  );
  for (const [index, hex] of input.datagrams.entries()) {
    nowMs = input.timesMs?.[index] ?? 0;
    receiver.tick(nowMs);
    receiver.receive(Buffer.from(hex, "hex"), 0, nowMs);
  }
  nowMs = input.endMs ?? 0;
  receiver.tick(nowMs);
  return outcome;
}

export function classify(outcome: readonly unknown[]): OutcomeClass {
  const all = outcome as readonly Record<string, unknown>[];
  const isDelivered = all.some((one) => "heartbeat" in one || Array.isArray(one.frames));
  const isRefused = all.some((one) => "refused" in one && one.refused !== "surplus");
  const isLost = all.some((one) => "gap" in one || one.frames === "malformed");
  if (isDelivered) return isRefused || isLost ? "partly" : "accepted";
  return isLost ? "lost" : "refused";
}

function plainFrame(frame: Frame): unknown {
  if (frame.type === "skip") return frame;
  const { payload, properties, ...message } = changeMessage(frame.message, {});
  return {
    ...message,
    payload: Buffer.from(payload).toString("hex"),
    ...(properties ? { properties } : {}),
  };
}

function plainHeartbeat({ sections, ...heartbeat }: Heartbeat): unknown {
  const plain = sections.map((section) => ({ ...section, counters: Object.fromEntries(section.counters) }));
  return { ...heartbeat, sections: plain };
}
