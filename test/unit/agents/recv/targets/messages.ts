// Messages for the tests of the targets' rules.
import type { Message, MessageProperties } from "../../../../../shared/message.ts";

export const ACCEPTED_MS = Date.UTC(2030, 0, 2, 3, 4, 5, 678);

export function makeMessage(changes: Partial<Message> = {}): Message {
  return {
    topic: "plant/line1/temperature",
    payload: new Uint8Array(),
    qos: 1,
    retain: false,
    properties: undefined,
    acceptedMs: ACCEPTED_MS,
    ...changes,
  };
}

export function withProperties(properties: MessageProperties): Message {
  return makeMessage({ properties });
}

/** `a/a/…`, with that many levels. */
export function deepTopic(levels: number): string {
  return Array<string>(levels).fill("a").join("/");
}
