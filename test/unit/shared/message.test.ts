import { expect, test } from "bun:test";
import {
  changeMessage,
  copyPayload,
  countPayloadBytes,
  EmbeddedMessage,
  type Message,
} from "../../../shared/message.ts";

const memory = Buffer.from("before|payload|behind");
const properties = { contentType: "text/plain" };
const plain: Message = {
  topic: "plant/a",
  payload: Buffer.from("payload"),
  qos: 1,
  retain: true,
  properties,
  acceptedMs: 12,
};
const embedded = new EmbeddedMessage("plant/a", memory, 7, 7, 1, true, properties, 12);
const empty = new EmbeddedMessage("plant/a", memory, memory.length, 0, 0, false, undefined, 0);

test("an embedded message is the same message as one with a payload of its own", () => {
  expect(Buffer.from(embedded.payload).toString()).toBe("payload");
  expect(changeMessage(embedded, {})).toEqual(plain);
  expect([countPayloadBytes(embedded), countPayloadBytes(plain), countPayloadBytes(empty)]).toEqual([
    7, 7, 0,
  ]);
  expect(empty.payload).toHaveLength(0);
});

test.each([
  ["embedded", embedded],
  ["plain", plain],
])("copyPayload() puts all of an %s one where it is told, and nothing else", (_, message) => {
  const out = Buffer.alloc(11, ".");
  copyPayload(message, out, 2);
  expect(out.toString()).toBe("..payload..");
});

test("changeMessage() changes what it is told to and keeps the rest, the payload too", () => {
  const changed = changeMessage(embedded, { topic: "hq/a", retain: false });
  expect(changed).toEqual({ ...plain, topic: "hq/a", retain: false });
  expect(embedded.topic).toBe("plant/a");
});
