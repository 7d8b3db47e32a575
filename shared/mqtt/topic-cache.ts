// The topic names that clients publish to, by their bytes: plants publish to the same topics again and again, and a
// look-up costs less than decoding, checking and hashing the text anew. Bounded: a newer topic takes an older one's slot.
import { decodeText } from "./text.ts";

const SLOTS = 16_384;
/** Longer ones are decoded each time. */
const TOPIC_BYTES_MAX = 256;

/** Why the bytes are no topic name. */
export type TopicFault = "text" | "empty" | "wildcard";
export type TopicReading = { readonly topic: string } | { readonly fault: TopicFault };

const FAULT: Record<TopicFault, TopicReading> = {
  text: { fault: "text" },
  empty: { fault: "empty" },
  wildcard: { fault: "wildcard" },
};

type Slot = { readonly bytes: Uint8Array; readonly reading: { readonly topic: string } };

export class TopicCache {
  readonly #slots = new Array<Slot | undefined>(SLOTS);

  /** Reads the topic name bytes[start, end) [MQTT5 4.7]. */
  read(bytes: Uint8Array, start: number, end: number): TopicReading {
    const length = end - start;
    if (length > TOPIC_BYTES_MAX) return decodeTopic(bytes, start, end);
    let hash = length;
    for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i] as number)) | 0;
    const index = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const slot = this.#slots[index];
    if (slot !== undefined && equals(slot.bytes, bytes, start, length)) return slot.reading;
    const reading = decodeTopic(bytes, start, end);
    if ("topic" in reading)
      this.#slots[index] = { bytes: new Uint8Array(bytes.subarray(start, end)), reading };
    return reading;
  }
}

function equals(known: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}

function decodeTopic(bytes: Uint8Array, start: number, end: number): TopicReading {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const topic = decodeText(view, start, end);
  if (topic === undefined) return FAULT.text;
  if (topic === "") return FAULT.empty;
  return topic.includes("+") || topic.includes("#") ? FAULT.wildcard : { topic };
}
