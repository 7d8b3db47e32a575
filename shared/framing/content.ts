// The content of a block: frames, one after another, with a topic dictionary built up as they come.
// A message frame carries one message and takes one sequence; a skip frame gives up a range of sequences.
// Decoding is strict to the byte: what the encoder would not have written is refused as a whole.
import {
  countPayloadBytes,
  EmbeddedMessage,
  type Message,
  type MessageProperties,
  type Qos,
} from "../message.ts";
import { TopicCache } from "../mqtt/topic-cache.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { decodeProperties, encodeProperties } from "./properties.ts";
import { decodeSkipReason, SKIP_REASONS, type SkipReason } from "./reasons.ts";

const FRAME_MESSAGE = 0x00;
const FRAME_SKIP = 0x40;
const RETAIN = 0x04;
const HAS_PROPERTIES = 0x08;

/** Each block has its topics by name again: the same ones, mostly. */
const topicCache = new TopicCache();

export type MessageFrame = { readonly type: "message"; readonly message: Message };
export type SkipFrame = { readonly type: "skip"; readonly count: number; readonly reason: SkipReason };
export type Frame = MessageFrame | SkipFrame;

/** Collects frames of one stream, with consecutive sequences, until take(). */
export class ContentWriter {
  readonly #out = new ByteWriter(64 * 1024);
  readonly #properties = new ByteWriter(256);
  readonly #topics = new Map<string, number>();
  #count = 0;
  #lastMs = 0;

  /** Bytes so far. */
  get length(): number {
    return this.#out.length;
  }

  /** Sequences so far. */
  get count(): number {
    return this.#count;
  }

  addMessage(message: Message): void {
    const out = this.#out;
    const properties = message.properties;
    out.u8(FRAME_MESSAGE | message.qos | (message.retain ? RETAIN : 0) | (properties ? HAS_PROPERTIES : 0));
    const known = this.#topics.get(message.topic);
    if (known === undefined) {
      out.varint(this.#topics.size);
      out.text(message.topic);
      this.#topics.set(message.topic, this.#topics.size);
    } else out.varint(known);
    out.zigzag(message.acceptedMs - this.#lastMs);
    this.#lastMs = message.acceptedMs;
    if (properties) {
      encodeProperties(this.#properties, properties);
      const bytes = this.#properties.take();
      out.varint(bytes.length);
      out.bytes(bytes);
    }
    out.varint(countPayloadBytes(message));
    out.payload(message);
    this.#count++;
  }

  addSkip(count: number, reason: SkipReason): void {
    this.#out.u8(FRAME_SKIP);
    this.#out.varint(count);
    this.#out.u8(SKIP_REASONS[reason]);
    this.#count += count;
  }

  /** The content; the writer is empty and ready for the next block. */
  take(): Buffer {
    this.#reset();
    return this.#out.take();
  }

  /** The same without a copy: the content is in the writer's own memory, and the writer goes on with `spare`. */
  handOver(spare: Buffer): Buffer {
    this.#reset();
    return this.#out.handOver(spare);
  }

  #reset(): void {
    this.#topics.clear();
    this.#count = 0;
    this.#lastMs = 0;
  }
}

/** All frames of a content whose sequences are `count` in number; undefined when it does not parse. Payloads lie in it. */
export function decodeContent(content: Uint8Array, count: number): Frame[] | undefined {
  const frames: Frame[] = [];
  const parses = walkContent(
    content,
    count,
    (message) => frames.push({ type: "message", message }),
    (count, reason) => frames.push({ type: "skip", count, reason }),
  );
  return parses ? frames : undefined;
}

export type Decoded = {
  readonly messages: Message[];
  /** What the sender gave up, in its order. */
  readonly skips: readonly { readonly count: number; readonly reason: SkipReason }[];
};

/** The same without what is in the first `skip` sequences. */
export function decodeAfter(content: Uint8Array, count: number, skip: number): Decoded | undefined {
  const messages: Message[] = [];
  const skips: { count: number; reason: SkipReason }[] = [];
  let at = 0;
  const parses = walkContent(
    content,
    count,
    (message) => {
      if (at++ >= skip) messages.push(message);
    },
    (count, reason) => {
      at += count;
      const fresh = Math.min(count, at - skip);
      if (fresh > 0) skips.push({ count: fresh, reason });
    },
  );
  return parses ? { messages, skips } : undefined;
}

/** Tells of the frames as they come; false when the content does not parse, and then nothing of it counts. */
function walkContent(
  content: Uint8Array,
  count: number,
  onMessage: (message: Message) => void,
  onSkip: (count: number, reason: SkipReason) => void,
): boolean {
  const input = new ByteReader(content);
  const topics: string[] = [];
  let sequences = 0;
  let lastMs = 0;
  while (input.remaining > 0 && !input.failed) {
    const head = input.u8();
    if (head === FRAME_SKIP) {
      const skipped = input.varint();
      const reason = decodeSkipReason(input.u8());
      if (input.failed || skipped === 0 || reason === undefined) return false;
      sequences += skipped;
      onSkip(skipped, reason);
      continue;
    }
    const message = decodeMessage(input, head, topics, lastMs);
    if (message === undefined) return false;
    lastMs = message.acceptedMs;
    sequences++;
    onMessage(message);
  }
  return !input.failed && sequences === count;
}

function decodeMessage(
  input: ByteReader,
  head: number,
  topics: string[],
  lastMs: number,
): Message | undefined {
  const qos = head & 0x03;
  if (qos === 3 || (head & ~(0x03 | RETAIN | HAS_PROPERTIES)) !== FRAME_MESSAGE) return undefined;
  const index = input.varint();
  if (input.failed || index > topics.length) return undefined;
  if (index === topics.length) {
    const topic = input.topic(topicCache);
    if (input.failed) return undefined;
    topics.push(topic);
  }
  const acceptedMs = lastMs + input.zigzag();
  if (!Number.isSafeInteger(acceptedMs)) return undefined;
  let properties: MessageProperties | undefined;
  if ((head & HAS_PROPERTIES) !== 0) {
    const size = input.varint();
    if (input.failed || size === 0 || size > input.remaining) return undefined;
    properties = decodeProperties(new ByteReader(input.bytes(size)));
    if (properties === undefined) return undefined;
  }
  const size = input.varint();
  if (input.failed || size > input.remaining) return undefined;
  const topic = topics[index];
  if (topic === undefined) return undefined;
  const start = input.skip(size);
  const retain = (head & RETAIN) !== 0;
  return new EmbeddedMessage(topic, input.memory, start, size, qos as Qos, retain, properties, acceptedMs);
}
