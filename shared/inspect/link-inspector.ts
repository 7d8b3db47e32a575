// Explains datagrams one after another: headers, whether they open, the blocks they complete, the messages in those, and at the
// end what was left unfinished and a summary. Pure: events out, nothing else.
import type { Header } from "../framing/header.ts";
import { HEADER_BYTES, KIND_HEARTBEAT, trailerBytes } from "../framing/header.ts";
import { BlockTable, type ClosedBlock } from "./blocks.ts";
import { type BlockView, ContentReader } from "./contents.ts";
import {
  type BlockEvent,
  type HeartbeatEvent,
  type InspectEvent,
  showHeader,
  showId,
  showMicroTime,
} from "./event.ts";
import { listFrames } from "./frames.ts";
import { type LinkKeys, Opener } from "./opener.ts";
import { Summary } from "./summary.ts";

export type CapturedDatagram = {
  readonly number: number;
  readonly timeMs: number | undefined;
  readonly source: string;
  readonly destination: string;
  /** What is there of it. */
  readonly payload: Buffer;
  /** Bytes that it had on the wire. */
  readonly bytes: number;
};

export class LinkInspector {
  readonly summary = new Summary("capture");
  readonly #opener: Opener;
  readonly #isKeyed: boolean;
  readonly #withPayloads: boolean;
  readonly #contents = new ContentReader();
  readonly #blocks: BlockTable;
  #closed: ClosedBlock[] = [];

  constructor(link: LinkKeys | undefined, withPayloads: boolean) {
    this.#opener = new Opener(link);
    this.#isKeyed = link !== undefined;
    this.#withPayloads = withPayloads;
    this.#blocks = new BlockTable((block) => this.#closed.push(block));
  }

  *inspect({ payload, timeMs, ...captured }: CapturedDatagram): Generator<InspectEvent> {
    const opened = this.#opener.open(payload, captured.bytes);
    const { header } = opened;
    const symbol = opened.outcome === "opened" ? opened.symbol : undefined;
    // With a key at hand only what it opens is believed; without one all headers are.
    const isBelieved = header !== undefined && (symbol !== undefined || !this.#isKeyed);
    const symbolBytes = header ? captured.bytes - HEADER_BYTES - trailerBytes(header.keyId) : 0;
    const added = isBelieved ? this.#blocks.add(header, symbolBytes, symbol) : undefined;
    const isFault = added?.state === "surplus" || added?.state === "symbol-mismatch";
    const outcome = symbol !== undefined && isFault ? added.state : opened.outcome;
    this.summary.addDatagram(outcome);
    if (isBelieved) this.summary.addToRun(header, captured.bytes, timeMs);
    const view = header ? showHeader(header) : null;
    yield { type: "datagram", ...captured, time: showMicroTime(timeMs), header: view, outcome };
    if (header !== undefined && added?.state === "whole") {
      yield* this.#explain(header, added.bytes, added.restored);
    }
    yield* this.#unfinished();
  }

  *finish(): Generator<InspectEvent> {
    this.#blocks.close();
    yield* this.#unfinished();
    yield this.summary.view();
  }

  *#explain(header: Header, bytes: Uint8Array, restored: number): Generator<InspectEvent> {
    const isHeartbeat = header.kind === KIND_HEARTBEAT;
    const view = isHeartbeat
      ? this.#contents.readHeartbeat(bytes)
      : this.#contents.readMessages(header, bytes);
    yield describeBlock(header, view, restored);
    if (view.outcome === "heartbeat") yield describeHeartbeat(header, view);
    if (view.outcome !== "content") return;
    const { first, count } = view.content;
    this.summary.addContent(showId(header.journalId), header.stream, first, count, view.frames);
    yield* listFrames(header.stream, first, view.frames ?? [], this.#withPayloads);
  }

  /** Says of the blocks that were closed since which ones lack something. */
  *#unfinished(): Generator<BlockEvent> {
    for (const block of this.#closed) {
      this.summary.addBlock(block);
      const { header, have, isWhole } = block;
      if (!isWhole) yield { ...nameBlock(header), outcome: "unfinished", have, restored: 0 };
    }
    this.#closed = [];
  }
}

function nameBlock(header: Header) {
  const { kind, journalId, epoch, block, stream, sourceSymbols, repairSymbols } = showHeader(header);
  return { type: "block", kind, journalId, epoch, block, stream, sourceSymbols, repairSymbols } as const;
}

function describeBlock(header: Header, view: BlockView, restored: number): BlockEvent {
  const common = { ...nameBlock(header), have: header.sourceSymbols, restored };
  if (view.outcome === "heartbeat" || view.outcome === "heartbeat-malformed")
    return { ...common, outcome: view.outcome };
  if (view.envelope === undefined) return { ...common, outcome: "block-malformed" };
  const { first, count, part, parts, compressed, contentBytes } = view.envelope;
  const envelope = { first, count, part, parts, compressed, contentBytes };
  if (view.outcome !== "content") return { ...common, outcome: view.outcome, ...envelope };
  const outcome = view.frames === undefined ? "malformed" : "content";
  return { ...common, outcome, ...envelope, plainBytes: view.content.bytes };
}

function describeHeartbeat(
  header: Header,
  { heartbeat }: BlockView & { outcome: "heartbeat" },
): HeartbeatEvent {
  const { journalId, epoch } = showHeader(header);
  const sections = heartbeat.sections.map((section) => ({
    ...section,
    counters: Object.fromEntries(section.counters),
  }));
  return { type: "heartbeat", journalId, epoch, ...heartbeat, sections };
}
