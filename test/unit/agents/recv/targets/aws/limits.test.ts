// AWS IoT Core's limits, at each limit and one past it.
import { expect, test } from "bun:test";
import {
  AWS_LIMITS,
  type AwsRefusal,
  checkAwsClientId,
  judgeForAws,
} from "../../../../../../agents/recv/targets/aws/limits.ts";
import type { Message } from "../../../../../../shared/message.ts";
import { deepTopic, makeMessage } from "../messages.ts";

const INGEST = "$aws/rules/to_kinesis/";

const CASES: [title: string, changes: Partial<Message>, verdict: AwsRefusal | undefined][] = [
  ["nothing special", {}, undefined],
  ["131,072 bytes", { payload: new Uint8Array(131_072) }, undefined],
  ["131,073 bytes", { payload: new Uint8Array(131_073) }, "oversize"],
  ["a topic of 256 bytes", { topic: "x".repeat(256) }, undefined],
  ["a topic of 257 bytes", { topic: "x".repeat(257) }, "topic-too-long"],
  ["a topic of 129 two-byte characters", { topic: "ä".repeat(129) }, "topic-too-long"],
  ["7 slashes", { topic: deepTopic(8) }, undefined],
  ["8 slashes", { topic: deepTopic(9) }, "topic-too-deep"],
  ["8 slashes and empty levels", { topic: "////////" }, "topic-too-deep"],
  ["QoS 2", { qos: 2 }, "qos-too-high"],
  ["retain", { retain: true }, undefined],
  ["a reserved topic", { topic: "$SYS/broker" }, "topic-reserved"],
  ["a shadow", { topic: "$aws/things/a/shadow/update" }, "topic-reserved"],
  ["an empty topic", { topic: "" }, "invalid-topic"],
  ["a wildcard", { topic: "a/+" }, "invalid-topic"],
  ["Basic Ingest with 256 bytes behind it", { topic: INGEST + "x".repeat(256) }, undefined],
  ["Basic Ingest with 257 bytes behind it", { topic: INGEST + "x".repeat(257) }, "topic-too-long"],
  ["Basic Ingest with 7 slashes behind it", { topic: INGEST + deepTopic(8) }, undefined],
  ["Basic Ingest with 8 slashes behind it", { topic: INGEST + deepTopic(9) }, "topic-too-deep"],
  ["Basic Ingest with $ behind it", { topic: `${INGEST}$x` }, undefined],
  ["Basic Ingest with nothing behind it", { topic: INGEST }, "topic-reserved"],
  ["Basic Ingest without a rule", { topic: "$aws/rules//a" }, "topic-reserved"],
  ["Basic Ingest and retain", { topic: `${INGEST}a`, retain: true }, "retain-with-basic-ingest"],
];

for (const [title, changes, verdict] of CASES) {
  test(`judgeForAws() ${verdict === undefined ? "takes" : `refuses as ${verdict}:`} ${title}`, () => {
    expect(judgeForAws(makeMessage(changes))).toBe(verdict);
  });
}

test("judgeForAws() obeys numbers of a profile", () => {
  const limits = { ...AWS_LIMITS, retainAllowed: false, topicSlashesMax: 9 };
  expect(judgeForAws(makeMessage({ retain: true }), limits)).toBe("retain-not-allowed");
  expect(judgeForAws(makeMessage({ topic: deepTopic(10) }), limits)).toBeUndefined();
});

test("checkAwsClientId() takes 128 bytes and refuses 129, none, and a reserved one", () => {
  expect(checkAwsClientId("x".repeat(128))).toBeUndefined();
  expect(checkAwsClientId("ä".repeat(65))).toBe("too-long");
  expect(checkAwsClientId("")).toBe("empty");
  expect(checkAwsClientId("$GEN/1")).toBe("reserved");
});
