// Takes the messages of QoS 0 out of a content that still waits for the journal: what nobody can be asked to hold back makes
// room for what is newer. The rest stays as it is, in its order.
import { ContentWriter, decodeContent } from "../../shared/framing/content.ts";

/** A content that waits, and what is known of its messages. */
export type Waiting = {
  content: Buffer | undefined;
  count: number;
  /** The places of the messages that a later one of their topic can overtake. */
  latest: { readonly topic: string; readonly index: number }[];
  /** Messages by source, and those of QoS 0 among them. */
  readonly sources: Map<string, number>;
  readonly qos0: Map<string, number>;
};

export type Dropped = {
  readonly messages: number;
  /** By which the content is smaller now. */
  readonly bytes: number;
  readonly bySource: ReadonlyMap<string, number>;
  /** Of the first one, and payload bytes of all, for the log. */
  readonly topic: string;
  readonly payloadBytes: number;
};

/** Undefined when there is nothing to take out. */
export function dropQos0(waiting: Waiting): Dropped | undefined {
  const { content, count } = waiting;
  if (content === undefined || waiting.qos0.size === 0) return undefined;
  const writer = new ContentWriter();
  const places: (number | undefined)[] = [];
  let topic: string | undefined;
  let payloadBytes = 0;
  // What was encoded here always parses, and is messages alone.
  for (const frame of decodeContent(content, count) ?? []) {
    if (frame.type !== "message") continue;
    const isKept = frame.message.qos > 0;
    places.push(isKept ? writer.count : undefined);
    if (isKept) writer.addMessage(frame.message);
    else {
      topic ??= frame.message.topic;
      payloadBytes += frame.message.payload.length;
    }
  }
  const bySource = new Map(waiting.qos0);
  for (const [source, messages] of bySource)
    waiting.sources.set(source, (waiting.sources.get(source) ?? 0) - messages);
  waiting.qos0.clear();
  waiting.latest = waiting.latest.flatMap(({ topic, index }) => {
    const place = places[index];
    return place === undefined ? [] : [{ topic, index: place }];
  });
  waiting.count = writer.count;
  waiting.content = writer.take();
  const messages = count - waiting.count;
  return {
    messages,
    bytes: content.length - waiting.content.length,
    bySource,
    topic: topic ?? "",
    payloadBytes,
  };
}
