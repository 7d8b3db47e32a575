// The STATE of a Sparkplug host application: JSON { online, timestamp } of 3.0, or the bare words before it
// [tck-id-host-topic-phid-birth-payload]. Refuses JSON without both keys, and words that are neither.
import type { StateFormat } from "./topic.ts";

export type HostState = {
  readonly isOnline: boolean;
  /** Milliseconds since 1970; the old form has none. */
  readonly timestampMs: number | undefined;
};

export type StateFault = "state-json" | "state-word" | "state-size";

const STATE_BYTES_MAX = 1024;

/** `timestampMs` is the same in the birth and in the will of one connection [tck-id-host-topic-phid-birth-payload-timestamp]. */
export function formatState(format: StateFormat, isOnline: boolean, timestampMs: number): Buffer {
  if (format === "2.2") return Buffer.from(isOnline ? "ONLINE" : "OFFLINE");
  return Buffer.from(JSON.stringify({ online: isOnline, timestamp: timestampMs }));
}

export function parseState(format: StateFormat, payload: Uint8Array): HostState | StateFault {
  if (payload.length > STATE_BYTES_MAX) return "state-size";
  const text = new TextDecoder().decode(payload);
  if (format === "2.2") {
    if (text !== "ONLINE" && text !== "OFFLINE") return "state-word";
    return { isOnline: text === "ONLINE", timestampMs: undefined };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "state-json";
  }
  if (typeof value !== "object" || value === null) return "state-json";
  const { online, timestamp } = value as Record<string, unknown>;
  if (typeof online !== "boolean" || typeof timestamp !== "number") return "state-json";
  return { isOnline: online, timestampMs: timestamp };
}
