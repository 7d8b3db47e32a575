// Event Grid's limits, at each limit and one past it.
import { expect, test } from "bun:test";
import {
  EVENT_GRID_LIMITS,
  type EventGridRefusal,
  judgeForEventGrid,
} from "../../../../../../agents/recv/targets/azure/event-grid-limits.ts";
import type { Message } from "../../../../../../shared/message.ts";
import { deepTopic, makeMessage } from "../messages.ts";

/** Of a PUBLISH of this size, without properties: fixed header 4, topic length 2, packet id if any, property length 1. */
const HEADER_BYTES = 4 + 2 + 2 + 1;
const payloadFor = (packetBytes: number): Uint8Array => new Uint8Array(packetBytes - HEADER_BYTES - 1);
const contentType = (length: number): Partial<Message> => ({
  properties: { contentType: "x".repeat(length) },
});
const userProperties = (...lengths: number[]): Partial<Message> => ({
  properties: { userProperties: lengths.map((length) => ["", "x".repeat(length)] as const) },
});

const CASES: [title: string, changes: Partial<Message>, verdict: EventGridRefusal | undefined][] = [
  ["nothing special", {}, undefined],
  ["524,288 bytes", { topic: "a", payload: payloadFor(524_288) }, undefined],
  ["524,289 bytes", { topic: "a", payload: payloadFor(524_289) }, "oversize"],
  ["a topic of 256 bytes", { topic: "x".repeat(256) }, undefined],
  ["a topic of 257 bytes", { topic: "x".repeat(257) }, "topic-too-long"],
  ["a topic of 129 two-byte characters", { topic: "ä".repeat(129) }, "topic-too-long"],
  ["15 segments", { topic: deepTopic(15) }, undefined],
  ["16 segments", { topic: deepTopic(16) }, "topic-too-deep"],
  ["a reserved topic", { topic: "$SYS/a" }, "topic-reserved"],
  ["a wildcard", { topic: "a/#" }, "invalid-topic"],
  ["a content type of 256 bytes", contentType(256), undefined],
  ["a content type of 257 bytes", contentType(257), "content-type-too-long"],
  ["user properties of 32,768 bytes", userProperties(32_000, 768), undefined],
  ["user properties of 32,769 bytes", userProperties(32_000, 769), "user-properties-too-long"],
  ["QoS 2", { qos: 2 }, "qos-too-high"],
  ["retain", { retain: true }, "retain-not-allowed"],
];

for (const [title, changes, verdict] of CASES) {
  test(`judgeForEventGrid() ${verdict === undefined ? "takes" : `refuses as ${verdict}:`} ${title}`, () => {
    expect(judgeForEventGrid(makeMessage(changes))).toBe(verdict);
  });
}

test("judgeForEventGrid() takes retained messages of 65,536 bytes when a profile allows them", () => {
  const limits = { ...EVENT_GRID_LIMITS, retainAllowed: true };
  const retained = (bytes: number): Message =>
    makeMessage({ topic: "a", payload: payloadFor(bytes), retain: true });
  expect(judgeForEventGrid(retained(65_536), limits)).toBeUndefined();
  expect(judgeForEventGrid(retained(65_537), limits)).toBe("retain-oversize");
});
