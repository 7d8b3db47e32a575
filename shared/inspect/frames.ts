// The frames of a content as events, with their sequences. Payloads and user properties only when they are asked for.
import type { Frame } from "../framing/content.ts";
import type { Message } from "../message.ts";
import { type MessageEvent, type SkipEvent, showTime } from "./event.ts";

export function* listFrames(
  stream: number,
  first: number,
  frames: readonly Frame[],
  withPayloads: boolean,
): Generator<MessageEvent | SkipEvent> {
  let sequence = first;
  for (const frame of frames) {
    if (frame.type === "skip") {
      const { count, reason } = frame;
      yield { type: "skip", stream, first: sequence, count, reason };
      sequence += count;
    } else yield describeMessage(stream, sequence++, frame.message, withPayloads);
  }
}

function describeMessage(
  stream: number,
  sequence: number,
  message: Message,
  withPayloads: boolean,
): MessageEvent {
  const { topic, qos, retain, acceptedMs, payload, properties } = message;
  return {
    type: "message",
    stream,
    sequence,
    topic,
    qos,
    retain,
    accepted: showTime(acceptedMs),
    payloadBytes: payload.length,
    ...(properties ? { properties: describeProperties(properties, withPayloads) } : {}),
    ...(withPayloads ? { payload: Buffer.from(payload).toString("hex") } : {}),
  };
}

function describeProperties(
  properties: NonNullable<Message["properties"]>,
  withPayloads: boolean,
): NonNullable<MessageEvent["properties"]> {
  const { userProperties, ...rest } = properties;
  if (userProperties === undefined) return rest;
  return { ...rest, userProperties: withPayloads ? userProperties : userProperties.length };
}
