// The topic names that clients publish to, by their bytes: plants publish to the same topics again and again, and a
// look-up costs less than decoding, checking and hashing the text anew. Bounded: a newer topic takes an older one's slot.
import { decodeText } from "./text.ts";

/** Two slots each; with 100,000 topics four of five have one to themselves. */
const SETS_LOG2 = 17;
/** Longer ones are decoded each time. */
const TOPIC_BYTES_MAX = 256;
const GOLDEN_RATIO = 0x9e3779b1;

/** Why the bytes are no topic name. */
export type TopicFault = "text" | "empty" | "wildcard";
/** A topic name, or what is wrong with it. */
export type TopicReading = string | { readonly fault: TopicFault };

const FAULT: Record<TopicFault, TopicReading> = {
  text: { fault: "text" },
  empty: { fault: "empty" },
  wildcard: { fault: "wildcard" },
};

export class TopicCache {
  /** The text is all that there is of an ASCII topic: what is not looked at need not be fetched. */
  #topics: (string | undefined)[] | undefined;
  /** The bytes of the others, by slot. */
  readonly #bytes = new Map<number, Uint8Array>();

  /** Reads the topic name bytes[start, end) [MQTT5 4.7]. */
  read(bytes: Uint8Array, start: number, end: number): TopicReading {
    const length = end - start;
    if (length > TOPIC_BYTES_MAX) return decodeTopic(bytes, start, end);
    let hash = length;
    for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i] as number)) | 0;
    const slot = (Math.imul(hash, GOLDEN_RATIO) >>> (32 - SETS_LOG2)) * 2;
    this.#topics ??= new Array<string | undefined>(2 << SETS_LOG2);
    const first = this.#topics[slot];
    if (first !== undefined && this.#is(first, slot, bytes, start, length)) return first;
    const second = this.#topics[slot + 1];
    if (second !== undefined && this.#is(second, slot + 1, bytes, start, length)) return second;
    const reading = decodeTopic(bytes, start, end);
    if (typeof reading === "string") this.#keep(this.#topics, slot, reading, bytes.subarray(start, end));
    return reading;
  }

  #is(topic: string, slot: number, bytes: Uint8Array, start: number, length: number): boolean {
    // UTF-8 of anything but ASCII has more bytes than the text has characters [RFC 3629 3].
    if (topic.length === length) {
      for (let i = 0; i < length; i++) {
        const byte = bytes[start + i] as number;
        if (byte >= 0x80 || topic.charCodeAt(i) !== byte) return false;
      }
      return true;
    }
    const known = this.#bytes.get(slot);
    if (known === undefined || known.length !== length) return false;
    for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return false;
    return true;
  }

  /** The second of the set goes. */
  #keep(topics: (string | undefined)[], slot: number, topic: string, bytes: Uint8Array): void {
    topics[slot + 1] = topics[slot];
    topics[slot] = topic;
    this.#keepBytes(slot + 1, this.#bytes.get(slot));
    // A copy: what was read lies in memory that is written to again.
    this.#keepBytes(slot, bytes.length === topic.length ? undefined : new Uint8Array(bytes));
  }

  #keepBytes(slot: number, bytes: Uint8Array | undefined): void {
    if (bytes === undefined) this.#bytes.delete(slot);
    else this.#bytes.set(slot, bytes);
  }
}

/** Reads the topic name bytes[start, end) without remembering it. */
export function decodeTopic(bytes: Uint8Array, start: number, end: number): TopicReading {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const topic = decodeText(view, start, end);
  if (topic === undefined) return FAULT.text;
  if (topic === "") return FAULT.empty;
  return topic.includes("+") || topic.includes("#") ? FAULT.wildcard : topic;
}
