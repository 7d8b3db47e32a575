import { expect, test } from "bun:test";
import { parser } from "mqtt-packet";
import type { Message, MessageProperties, Qos } from "../../../../shared/message.ts";
import {
  countPacketBytes,
  encodePublishHead,
  measurePublish,
  type PublishSending,
} from "../../../../shared/mqtt/publish-encode.ts";
import { decodePublish } from "../../../../shared/mqtt/publish-packet.ts";
import { seededRandom } from "./fake-socket.ts";

type Version = 4 | 5;

function encode(version: Version, message: Message, sending: PublishSending): Buffer {
  const sizes = measurePublish(version, message);
  if (sizes === undefined) throw new Error("a text is too long");
  const packetBytes = countPacketBytes(sizes, sending.qos);
  // Some bytes before and after, which must stay as they are.
  const out = Buffer.alloc(packetBytes + 20, 0xee);
  const end = encodePublishHead(version, message, sizes, sending, out, 10);
  expect(end - 10 + message.payload.length).toBe(packetBytes);
  expect(out.subarray(0, 10).equals(Buffer.alloc(10, 0xee))).toBe(true);
  expect(out.subarray(end).every((byte) => byte === 0xee)).toBe(true);
  return Buffer.concat([out.subarray(10, end), message.payload]);
}

function randomMessage(random: () => number, i: number): { message: Message; sending: PublishSending } {
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T;
  const text = () =>
    pick(["a", "", "größe", "温度", "😀", "x".repeat(130), "\ufffd", "\ufeffbom", "a b", "7"]);
  const qos = pick([0, 1, 2] as const);
  const properties: MessageProperties = {
    ...(random() < 0.5 ? { payloadFormat: pick([0, 1] as const) } : {}),
    ...(random() < 0.5 ? { messageExpirySeconds: pick([0, 1, 255, 65_536, 4_294_967_295]) } : {}),
    ...(random() < 0.5 ? { contentType: text() } : {}),
    ...(random() < 0.6
      ? { userProperties: Array.from({ length: 1 + below(6) }, () => [text(), text() || "-"] as const) }
      : {}),
  };
  const message: Message = {
    topic: `t${i}/${text()}/${"y".repeat(pick([0, 1, 110, 127, 16_300]))}`,
    payload: Buffer.alloc(pick([0, 1, 100, 127, 128, 300, 16_384, 70_000]), below(256)),
    qos,
    retain: random() < 0.5,
    properties: random() < 0.2 ? undefined : properties,
    acceptedMs: 0,
  };
  const sending = {
    qos,
    retain: message.retain,
    dup: random() < 0.5,
    packetId: 1 + below(65_535),
    expirySeconds: message.properties?.messageExpirySeconds ?? 0,
  };
  return { message, sending };
}

/** What both the message and a decoder's finding are brought to. */
function describe(
  version: Version,
  message: Message,
  { qos, dup, packetId, retain }: PublishSending,
): unknown {
  const { topic, payload, properties } = message;
  const given = version === 5 ? properties : undefined;
  return {
    ...{ topic, payload: Buffer.from(payload).toString("hex"), qos, retain, dup: qos > 0 && dup },
    packetId: qos > 0 ? packetId : 0,
    payloadFormat: given?.payloadFormat,
    messageExpirySeconds: given?.messageExpirySeconds,
    contentType: given?.contentType,
    userProperties: given?.userProperties?.map((pair) => [...pair]) ?? [],
  };
}

/** The naive twin. It groups user properties by name, and forgets an empty value when its name comes again. */
function parseWithTwin(version: Version, bytes: Buffer): unknown[] {
  const found: unknown[] = [];
  const twin = parser({ protocolVersion: version });
  twin.on("error", (error) => {
    throw error;
  });
  twin.on("packet", (packet) => {
    if (packet.cmd !== "publish") throw new Error(`is ${packet.cmd}`);
    const given = packet.properties ?? {};
    const format = given.payloadFormatIndicator;
    found.push({
      topic: packet.topic,
      payload: Buffer.from(packet.payload).toString("hex"),
      ...{ qos: packet.qos, retain: packet.retain, dup: packet.dup },
      packetId: packet.qos > 0 ? packet.messageId : 0,
      payloadFormat: format === undefined ? undefined : Number(format),
      messageExpirySeconds: given.messageExpiryInterval,
      contentType: given.contentType,
      userProperties: Object.entries(given.userProperties ?? {})
        .flatMap(([name, value]) => [value].flat().map((one) => `${name}=${one}`))
        .sort(),
    });
  });
  twin.parse(bytes);
  return found;
}

test.each([4, 5] as const)(
  "encodePublishHead() writes what mqtt-packet and our own decoder read, MQTT %p",
  (version) => {
    const random = seededRandom(version);
    for (let i = 0; i < 1500; i++) {
      const { message, sending } = randomMessage(random, i);
      const bytes = encode(version, message, sending);
      const expected = describe(version, message, sending) as { userProperties: string[][] };
      const grouped = expected.userProperties.map((pair) => pair.join("=")).sort();
      expect(parseWithTwin(version, bytes)).toEqual([{ ...expected, userProperties: grouped }]);

      let bodyStart = 1;
      while ((bytes[bodyStart++] as number) >= 0x80);
      const decoding = decodePublish(version, bytes[0] as number, bytes, bodyStart, bytes.length);
      if (decoding.kind !== "publish") throw new Error(JSON.stringify(decoding));
      const { topic, payload, qos, retain, dup, packetId, properties } = decoding.fields;
      const read = { topic, payload, qos, retain, properties, acceptedMs: 0 };
      const found = describe(version, read, { qos, retain, dup, packetId, expirySeconds: 0 });
      expect(found).toEqual(expected);
    }
  },
);

const message: Message = {
  topic: "a/b",
  payload: Buffer.from("x"),
  qos: 1,
  retain: true,
  properties: {
    payloadFormat: 1,
    messageExpirySeconds: 600,
    contentType: "j",
    userProperties: [
      ["b", "1"],
      ["a", "2"],
      ["b", "3"],
    ],
  },
  acceptedMs: 0,
};
const sending = { qos: 1, retain: true, dup: false, packetId: 0x0102, expirySeconds: 7 } as const;

test("encodePublishHead() keeps user properties in the publisher's order and takes the expiry it is given", () => {
  const spec = [
    "33 29", // PUBLISH, QoS 1, retain; 41 bytes follow
    "0003 612f62 0102", // topic, packet identifier
    "20", // 32 bytes of properties
    "01 01", // payload format
    "02 00000007", // message expiry
    "03 0001 6a", // content type
    "26 0001 62 0001 31  26 0001 61 0001 32  26 0001 62 0001 33",
    "78", // payload
  ].join("");
  expect(encode(5, message, sending).toString("hex")).toBe(spec.replaceAll(" ", ""));
});

test("encodePublishHead() drops properties in MQTT 3.1.1, and DUP and packet identifier at QoS 0", () => {
  expect(encode(4, message, sending).toString("hex")).toBe("33080003612f62010278");
  expect(encode(4, message, { ...sending, dup: true }).toString("hex")).toBe("3b080003612f62010278");
  const bare = { ...message, properties: undefined };
  expect(encode(5, bare, { ...sending, qos: 0, dup: true }).toString("hex")).toBe("31070003612f620078");
});

test("measurePublish() refuses a text over 65,535 bytes of UTF-8, and takes one of that length", () => {
  const long = "ü".repeat(32_768);
  const fits = `${"ü".repeat(32_767)}x`;
  const variants = (text: string): Message[] => [
    { ...message, topic: text },
    { ...message, properties: { contentType: text } },
    { ...message, properties: { userProperties: [[text, ""]] } },
    { ...message, properties: { userProperties: [["", text]] } },
  ];
  for (const variant of variants(long)) expect(measurePublish(5, variant)).toBeUndefined();
  for (const variant of variants(fits)) expect(parseWithTwin(5, encode(5, variant, sending)).length).toBe(1);
  expect(measurePublish(4, { ...message, properties: { contentType: long } })).toBeDefined();
});

test("countPacketBytes() is right at every border of the remaining length", () => {
  for (const bodyBytes of [127, 128, 16_383, 16_384, 2_097_151, 2_097_152]) {
    for (const qos of [0, 1] as readonly Qos[]) {
      const payload = Buffer.alloc(bodyBytes - 5 - (qos === 0 ? 0 : 2));
      const bytes = encode(4, { ...message, payload }, { ...sending, qos });
      expect(parseWithTwin(4, bytes).length).toBe(1);
    }
  }
});
