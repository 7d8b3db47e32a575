// What inspect has to say, one thing at a time: the JSON lines as they are printed, and what the text is made of.
// Identities are texts of 16 hexadecimal digits, times are ISO 8601, payloads are hexadecimal and only there when asked for.

import type { Header } from "../framing/header.ts";
import type { Heartbeat, HeartbeatSection } from "../framing/heartbeat.ts";
import type { SkipReason } from "../framing/reasons.ts";
import type { MessageProperties } from "../message.ts";
import type { Closed } from "./opener.ts";
import type { SummaryView } from "./summary-view.ts";

export type HeaderView = Omit<Header, "kind" | "keyId" | "linkTag" | "journalId" | "epoch"> & {
  readonly kind: "messages" | "heartbeat";
  readonly keyId: string;
  readonly linkTag: string;
  readonly journalId: string;
  readonly epoch: string;
};

/** One datagram: where it came from, its header, and whether it could be opened. */
export type DatagramEvent = {
  readonly type: "datagram";
  /** Number of the packet in the capture, or of the record in the file, from 1. */
  readonly number: number;
  readonly time: string | null;
  readonly source: string;
  readonly destination: string;
  readonly bytes: number;
  /** Null when the header is refused. */
  readonly header: HeaderView | null;
  readonly outcome: Closed | "opened";
};

/** A block that is whole, or one that never was; said when the last symbol came, or at the end. */
export type BlockEvent = {
  readonly type: "block";
  readonly kind: "messages" | "heartbeat";
  readonly journalId: string;
  readonly epoch: string;
  readonly block: number;
  readonly stream: number;
  readonly sourceSymbols: number;
  readonly repairSymbols: number;
  /** `content`: its messages follow; `part`: more parts are needed; `unfinished`: symbols are missing. */
  readonly outcome:
    | "heartbeat"
    | "content"
    | "part"
    | "unfinished"
    | "malformed"
    | "block-malformed"
    | "heartbeat-malformed";
  /** Different symbols seen so far. */
  readonly have: number;
  /** Source symbols computed from repair symbols. */
  readonly restored: number;
  readonly first?: number;
  readonly count?: number;
  readonly part?: number;
  readonly parts?: number;
  readonly compressed?: boolean;
  /** Of all parts, as sent. */
  readonly contentBytes?: number;
  /** Of all parts, decompressed. */
  readonly plainBytes?: number;
};

export type MessageEvent = {
  readonly type: "message";
  readonly stream: number;
  readonly sequence: number;
  readonly topic: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly accepted: string | null;
  readonly payloadBytes: number;
  /** User properties are the publisher's own data: their number, unless payloads are asked for. */
  readonly properties?: Omit<MessageProperties, "userProperties"> & {
    readonly userProperties?: number | MessageProperties["userProperties"];
  };
  readonly payload?: string;
};

export type SkipEvent = {
  readonly type: "skip";
  readonly stream: number;
  readonly first: number;
  readonly count: number;
  readonly reason: SkipReason;
};

export type HeartbeatEvent = {
  readonly type: "heartbeat";
  readonly journalId: string;
  readonly epoch: string;
} & Omit<Heartbeat, "sections"> & {
    readonly sections: readonly (Omit<HeartbeatSection, "counters"> & {
      readonly counters: { readonly [name: string]: number };
    })[];
  };

/** A row of a journal or spool; its messages follow. */
export type RowEvent = {
  readonly type: "row";
  readonly id: number;
  readonly stream: number;
  readonly first: number;
  readonly count: number;
  /** Sequences at the beginning that carry no message, or that were delivered before. */
  readonly skip: number;
  readonly time: string | null;
  readonly contentBytes: number;
  /** `corrupt`: the disk gave back other bytes than were written; `malformed`: they do not parse. */
  readonly outcome: "content" | "corrupt" | "malformed";
};

/** A value beside the rows of a journal or spool. */
export type ValueEvent = { readonly type: "value"; readonly name: string; readonly value: string };

export type InspectEvent =
  | DatagramEvent
  | BlockEvent
  | MessageEvent
  | SkipEvent
  | HeartbeatEvent
  | RowEvent
  | ValueEvent
  | SummaryView;

export function showId(id: bigint): string {
  return id.toString(16).padStart(16, "0");
}

/** ISO 8601, or null for what is no time that a calendar has. */
export function showTime(timeMs: number | undefined): string | null {
  if (timeMs === undefined || !(Math.abs(timeMs) <= 8.64e15)) return null;
  return new Date(timeMs).toISOString();
}

/** The same to the microsecond: captures are that exact. */
export function showMicroTime(timeMs: number | undefined): string | null {
  const time = showTime(timeMs);
  if (time === null || timeMs === undefined) return null;
  const micros = Math.min(999, Math.round((timeMs - Math.floor(timeMs)) * 1000));
  return `${time.slice(0, -1)}${String(micros).padStart(3, "0")}Z`;
}

export function showHeader(header: Header): HeaderView {
  const { kind, keyId, linkTag, journalId, epoch, ...rest } = header;
  return {
    kind: kind === 1 ? "messages" : "heartbeat",
    keyId: keyId.toString(16).padStart(4, "0"),
    linkTag: linkTag.toString(16).padStart(8, "0"),
    journalId: showId(journalId),
    epoch: showId(epoch),
    ...rest,
  };
}
