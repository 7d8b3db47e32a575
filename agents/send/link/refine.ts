// What has become pointless while it waited: messages whose expiry has passed, and values that a newer one of the same
// topic has overtaken ("latest only"). They give way to skip frames, so that the receiver books them under their reason.
import { ContentWriter, decodeContent } from "../../../shared/framing/content.ts";
import type { SkipReason } from "../../../shared/framing/reasons.ts";
import type { Message } from "../../../shared/message.ts";
import type { JournalRow, RowLosses } from "../journal.ts";

/** Topics whose latest value is remembered; beyond, a topic is not conflated. */
const TOPICS_MAX = 100_000;

/** The sequence of the newest message of each topic that is conflated, by stream. */
export class LatestValues {
  readonly #latest = new Map<string, number>();

  get size(): number {
    return this.#latest.size;
  }

  note(stream: number, topic: string, sequence: number): void {
    const key = `${stream}/${topic}`;
    if (this.#latest.has(key) || this.#latest.size < TOPICS_MAX) this.#latest.set(key, sequence);
  }

  /** True when a newer message of the topic is in the journal. */
  isOvertaken(stream: number, topic: string, sequence: number): boolean {
    return (this.#latest.get(`${stream}/${topic}`) ?? -1) > sequence;
  }
}

export type Refined = { readonly content: Uint8Array; readonly losses: RowLosses | undefined };

/** The row's content without what is pointless at `nowMs`; the same content when nothing is. */
export function refineRow(row: JournalRow, nowMs: number, latest: LatestValues): Refined {
  const frames = decodeContent(row.content, row.count) ?? [];
  const losses = new Map<SkipReason, number>();
  const writer = new ContentWriter();
  let sequence = row.first;
  for (const frame of frames) {
    if (frame.type === "skip") {
      writer.addSkip(frame.count, frame.reason);
      sequence += frame.count;
      continue;
    }
    const reason = judge(frame.message, row.stream, sequence, nowMs, latest);
    if (reason === undefined) writer.addMessage(frame.message);
    else {
      writer.addSkip(1, reason);
      losses.set(reason, (losses.get(reason) ?? 0) + 1);
    }
    sequence++;
  }
  return losses.size === 0 ? { content: row.content, losses: undefined } : { content: writer.take(), losses };
}

function judge(
  { topic, properties, acceptedMs }: Message,
  stream: number,
  sequence: number,
  nowMs: number,
  latest: LatestValues,
): SkipReason | undefined {
  const lifetime = properties?.messageExpirySeconds;
  if (lifetime !== undefined && nowMs - acceptedMs >= lifetime * 1000) return "expired";
  return latest.isOvertaken(stream, topic, sequence) ? "conflated" : undefined;
}
