// The heartbeat: what the sender says of itself, at least once a second. docs/protocol.md section 7.
// Refuses trailing bytes, unknown section types and states; counter names are free, so that a newer sender
// can count more without a new version.
import { ByteReader, ByteWriter } from "./bytes.ts";

const SECTION_TYPES = { link: 0, source: 1, path: 2 } as const;
export type SectionType = keyof typeof SECTION_TYPES;
const SECTION_STATES = ["none", "connecting", "connected", "down"] as const;
export type SectionState = (typeof SECTION_STATES)[number];

export type HeartbeatStream = {
  readonly stream: number;
  /** The first sequence that this epoch may use for new messages. */
  readonly epochFirst: number;
  /** One past the highest sequence given to a message. */
  readonly next: number;
  /** One past the highest sequence that was written to the link. */
  readonly sent: number;
  /** The lowest sequence that the journal still holds; equal to `next` when it holds none. */
  readonly oldest: number;
};

export type HeartbeatSection = {
  readonly type: SectionType;
  /** The configured name of the source or path; empty for the link. */
  readonly name: string;
  readonly state: SectionState;
  /** Counter name to value, e.g. "accepted" or "lost.oversize". */
  readonly counters: ReadonlyMap<string, number>;
};

export type Heartbeat = {
  /** Sender's clock when it was made, milliseconds since 1970. */
  readonly clockMs: number;
  /** Since the start of the epoch. */
  readonly uptimeMs: number;
  /** The next heartbeat follows after this time. */
  readonly intervalMs: number;
  /** True in the last heartbeat before a clean stop. */
  readonly stopping: boolean;
  readonly streams: readonly HeartbeatStream[];
  readonly sections: readonly HeartbeatSection[];
};

const writer = new ByteWriter(4096);

export function encodeHeartbeat(heartbeat: Heartbeat): Buffer {
  writer.u64(heartbeat.clockMs);
  writer.u64(heartbeat.uptimeMs);
  writer.u32(heartbeat.intervalMs);
  writer.u8(heartbeat.stopping ? 1 : 0);
  writer.varint(heartbeat.streams.length);
  for (const stream of heartbeat.streams) {
    writer.u8(stream.stream);
    writer.u64(stream.epochFirst);
    writer.u64(stream.next);
    writer.u64(stream.sent);
    writer.u64(stream.oldest);
  }
  writer.varint(heartbeat.sections.length);
  for (const section of heartbeat.sections) {
    writer.u8(SECTION_TYPES[section.type]);
    writer.text(section.name);
    writer.u8(SECTION_STATES.indexOf(section.state));
    writer.varint(section.counters.size);
    for (const [name, value] of section.counters) {
      writer.text(name);
      writer.varint(value);
    }
  }
  return writer.take();
}

export function decodeHeartbeat(bytes: Uint8Array): Heartbeat | undefined {
  const input = new ByteReader(bytes);
  const clockMs = input.u64();
  const uptimeMs = input.u64();
  const intervalMs = input.u32();
  const flags = input.u8();
  if (flags > 1) return undefined;
  const streams: HeartbeatStream[] = [];
  for (let left = input.varint(); left > 0 && !input.failed; left--) {
    const entry = {
      stream: input.u8(),
      epochFirst: input.u64(),
      next: input.u64(),
      sent: input.u64(),
      oldest: input.u64(),
    };
    if (entry.sent > entry.next || entry.oldest > entry.next || entry.epochFirst > entry.next)
      return undefined;
    if (streams.some((other) => other.stream === entry.stream)) return undefined;
    streams.push(entry);
  }
  const sections: HeartbeatSection[] = [];
  for (let left = input.varint(); left > 0 && !input.failed; left--) {
    const section = decodeSection(input);
    if (section === undefined) return undefined;
    sections.push(section);
  }
  if (!input.finished) return undefined;
  return { clockMs, uptimeMs, intervalMs, stopping: flags === 1, streams, sections };
}

function decodeSection(input: ByteReader): HeartbeatSection | undefined {
  const typeCode = input.u8();
  const type = (Object.keys(SECTION_TYPES) as SectionType[]).find((key) => SECTION_TYPES[key] === typeCode);
  const name = input.text();
  const state = SECTION_STATES[input.u8()];
  if (type === undefined || state === undefined) return undefined;
  const counters = new Map<string, number>();
  for (let left = input.varint(); left > 0 && !input.failed; left--) {
    const counter = input.text();
    if (counters.has(counter)) return undefined;
    counters.set(counter, input.varint());
  }
  return { type, name, state, counters };
}
