// What a profile may have done with a message that is too large for its target, in place of a dead letter: compressed with
// gzip, or split into parts. Pure. Each is marked, so that whoever gets it can undo it: with a user property where the
// target has any, else with one more level of the topic, for those who subscribe to a topic must not take a part for a
// message. The formats are told in docs/targets.md.
// Refuses what would be too large all the same, and messages whose topic or properties are the trouble.
import { createHash } from "node:crypto";
import { changeMessage, type Message } from "../../../shared/message.ts";
import type { Judgement, Outgoing } from "./outcome.ts";

export const OVERSIZE_POLICIES = ["dead-letter", "compress", "split"] as const;
export type OversizePolicy = (typeof OVERSIZE_POLICIES)[number];

/** What was done to the payload. */
export type Form = "whole" | "gzip" | "part";

/** Parts of one message; more would make it a burden for whoever has to put them together. */
export const PARTS_MAX = 4096;
/** gzip makes nothing smaller than this share [RFC 1951: 258 bytes from two bits]. */
const GZIP_RATIO_MAX = 1032;
const ID_CHARACTERS = 16;
const PART = "tidegate-part";
const FORMAT = "tidegate-format";

export type OversizeRim = {
  readonly policy: OversizePolicy;
  /** The target has user properties, or something like them. */
  readonly hasProperties: boolean;
  /** Whether the target takes a message that this was done to. */
  judge(message: Message, form: Form): Judgement;
};

type Refusal = Extract<Judgement, { outcome: unknown }>;

/** `message` has its topic already, and was refused for its size. */
export function reduceOversize(message: Message, refusal: Refusal, rim: OversizeRim): Judgement {
  if (message.payload.length === 0 || rim.policy === "dead-letter") return refusal;
  return rim.policy === "compress" ? compress(message, refusal, rim) : split(message, refusal, rim);
}

function compress(message: Message, refusal: Refusal, rim: OversizeRim): Judgement {
  // What nothing could make small enough is not worth the time.
  const least = message.payload.subarray(0, Math.ceil(message.payload.length / GZIP_RATIO_MAX));
  const hopeless = rim.judge(markGzip(message, least, rim), "gzip");
  if ("outcome" in hopeless) return also(refusal, "compressed", hopeless);
  const compressed = markGzip(message, Bun.gzipSync(Buffer.from(message.payload)), rim);
  const judgement = rim.judge(compressed, "gzip");
  if ("outcome" in judgement) return also(refusal, "compressed", judgement);
  return { publish: { ...changeMessage(judgement.publish, {}), lane: message.topic } };
}

function split(message: Message, refusal: Refusal, rim: OversizeRim): Judgement {
  const { length } = message.payload;
  const id = identify(message);
  const judgePart = (start: number, end: number, number: number, count: number) =>
    rim.judge(
      markPart(message, message.payload.subarray(start, end), `${id}-${number}-${count}`, rim),
      "part",
    );
  // With the longest mark that there can be: those with a shorter one fit all the more.
  const probe = (bytes: number) => judgePart(0, bytes, PARTS_MAX, PARTS_MAX);
  const smallest = probe(1);
  if ("outcome" in smallest) return also(refusal, "in parts", smallest);
  let fits = 1;
  let fitsNot = length;
  while (fitsNot - fits > 1) {
    const middle = (fits + fitsNot) >>> 1;
    if ("publish" in probe(middle)) fits = middle;
    else fitsNot = middle;
  }
  const count = Math.ceil(length / fits);
  if (count > PARTS_MAX)
    return { ...refusal, detail: `${refusal.detail}; it would make ${count} parts, over ${PARTS_MAX}` };
  const parts: Outgoing[] = [];
  for (let number = 1; number <= count; number++) {
    const judgement = judgePart((number - 1) * fits, Math.min(length, number * fits), number, count);
    if ("outcome" in judgement) return also(refusal, "in parts", judgement);
    parts.push({ ...changeMessage(judgement.publish, {}), lane: message.topic });
  }
  const [first, ...rest] = parts;
  return first === undefined ? refusal : { publish: { ...first, rest } };
}

function also(refusal: Refusal, how: string, { outcome, detail = outcome }: Refusal): Refusal {
  return { ...refusal, detail: `${refusal.detail ?? refusal.outcome}; ${how}: ${detail}` };
}

/** The same message, sent again, has the same parts. */
function identify({ topic, payload, acceptedMs }: Message): string {
  const hash = createHash("sha256").update(topic).update(`\0${acceptedMs}\0`).update(payload);
  return hash.digest("hex").slice(0, ID_CHARACTERS);
}

function markGzip(message: Message, payload: Uint8Array, { hasProperties }: OversizeRim): Message {
  return hasProperties
    ? withProperty(message, payload, "content-encoding", "gzip")
    : changeMessage(message, { payload, topic: `${message.topic}/tidegate-gzip` });
}

/** Never retained: each part would replace the one before. */
function markPart(message: Message, payload: Uint8Array, name: string, rim: OversizeRim): Message {
  return rim.hasProperties
    ? changeMessage(withProperty(message, payload, PART, name), { retain: false })
    : changeMessage(message, { payload, topic: `${message.topic}/${PART}-${name}`, retain: false });
}

/** Bytes of gzip, or a part that may end within a character, are not UTF-8 any more: a broker may look. */
function withProperty(message: Message, payload: Uint8Array, name: string, value: string): Message {
  const { payloadFormat, ...properties } = message.properties ?? {};
  const format = payloadFormat === 1 ? [[FORMAT, "utf-8"] as const] : [];
  const userProperties = [...(properties.userProperties ?? []), ...format, [name, value] as const];
  return changeMessage(message, { payload, properties: { ...properties, userProperties } });
}
