// The in-place PUBLISH codec against a twin of another code base (mqtt-packet, packet by packet, with copies), fed at every split
// point, byte by byte, and with messages made at random.
import { expect, test } from "bun:test";
import { generate, type IPublishPacket, parser } from "mqtt-packet";
import type { Message } from "../../../../../../shared/message.ts";
import { Lab } from "./lab.ts";

type Version = 3 | 4 | 5;

const USER = { line: ["7", "8"], größe: "µ", "": "" };
const MESSAGES: Partial<IPublishPacket>[] = [
  { topic: "a", payload: "" },
  { topic: "plant/größe/°C", payload: "µ", qos: 1, messageId: 1 },
  { topic: "x".repeat(200), payload: Buffer.alloc(127, 1), qos: 2, messageId: 65_535, retain: true },
  { topic: "/", payload: Buffer.alloc(128, 0x30), retain: true },
  {
    topic: "with/properties",
    payload: Buffer.from([0x30, 0, 0xff]),
    qos: 1,
    messageId: 256,
    dup: true,
    properties: {
      payloadFormatIndicator: true,
      messageExpiryInterval: 0xffff_ffff,
      contentType: "application/json",
      responseTopic: "answer",
      correlationData: Buffer.from([0, 1]),
      userProperties: USER,
    },
  },
  { topic: "alias/1", payload: "one", properties: { topicAlias: 1 } },
  { topic: "", payload: "one again", properties: { topicAlias: 1 } },
  { topic: "big", payload: Buffer.alloc(900, 7), qos: 2, messageId: 9 },
];

function encode(version: Version, messages: readonly Partial<IPublishPacket>[]): Buffer {
  return Buffer.concat(
    messages.map((more) => {
      const { properties, ...rest } = more;
      const packet = { cmd: "publish", topic: "", payload: "", qos: 0, dup: false, retain: false, ...rest };
      const whole = version === 5 && properties !== undefined ? { ...packet, properties } : packet;
      return generate(whole as IPublishPacket, { protocolVersion: version });
    }),
  );
}

/** What both must find: one line a message. */
function describe(
  topic: string,
  payload: Uint8Array,
  qos: number,
  retain: boolean,
  properties: object,
): string {
  return JSON.stringify([topic, Buffer.from(payload).toString("hex"), qos, retain, properties]);
}

function readTwin(version: Version, bytes: Buffer): string[] {
  const found: string[] = [];
  const aliases = new Map<number, string>();
  const reader = parser({ protocolVersion: version });
  reader.on("packet", (packet) => {
    const { topic, payload, qos, retain, properties = {} } = packet as IPublishPacket;
    const { topicAlias, payloadFormatIndicator, messageExpiryInterval, contentType, userProperties } =
      properties;
    if (topicAlias !== undefined && topic !== "") aliases.set(topicAlias, topic);
    const name = topic === "" ? (aliases.get(topicAlias ?? 0) ?? "") : topic;
    const pairs = Object.entries(userProperties ?? {}).flatMap(([key, value]) =>
      [value].flat().map((each) => [key, each]),
    );
    const crossing = {
      format: payloadFormatIndicator === undefined ? null : Number(payloadFormatIndicator),
      expiry: messageExpiryInterval ?? null,
      type: contentType ?? null,
      pairs,
    };
    found.push(describe(name, Buffer.from(payload), qos, retain, crossing));
  });
  reader.on("error", (error) => found.push(`error: ${error.message}`));
  reader.parse(bytes);
  return found;
}

async function readOurs(version: Version, chunks: readonly Buffer[]): Promise<string[]> {
  const lab = new Lab();
  const dialled = await lab.join({ protocolVersion: version });
  for (const chunk of chunks) {
    // The socket's memory is used again.
    const lent = Buffer.from(chunk);
    dialled.client.receive(lent);
    lent.fill(0xff);
  }
  lab.keeper.commit();
  expect(dialled.wire.isEnded).toBe(false);
  return lab.keeper.kept.map(({ topic, payload, qos, retain, properties }: Message) => {
    const crossing = {
      format: properties?.payloadFormat ?? null,
      expiry: properties?.messageExpirySeconds ?? null,
      type: properties?.contentType ?? null,
      pairs: properties?.userProperties ?? [],
    };
    return describe(topic, payload, qos, retain, crossing);
  });
}

test.each([3, 4, 5] as const)(
  "PUBLISH of level %d is read as the twin reads it, at every split point and byte by byte",
  async (version) => {
    const messages = version === 5 ? MESSAGES : MESSAGES.filter(({ topic }) => topic !== "");
    const bytes = encode(version, messages);
    const wanted = readTwin(version, bytes);
    expect(wanted).toHaveLength(messages.length);
    expect(await readOurs(version, [bytes])).toEqual(wanted);
    for (let at = 1; at < bytes.length; at++)
      expect(await readOurs(version, [bytes.subarray(0, at), bytes.subarray(at)])).toEqual(wanted);
    expect(
      await readOurs(
        version,
        Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
      ),
    ).toEqual(wanted);
  },
  30_000,
);

test("PUBLISH made at random is read as the twin reads it", async () => {
  const seed = Number(process.env.TIDEGATE_SEED ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  process.stderr.write(`publish twin: TIDEGATE_SEED=${seed}\n`);
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const text = (most: number) => Array.from({ length: random(most) }, () => "ab/µ°漢😀 "[random(8)]).join("");
  for (let round = 0; round < 400; round++) {
    const version = ([3, 4, 5] as const)[random(3)] as Version;
    const messages = Array.from({ length: 1 + random(8) }, (_, index): Partial<IPublishPacket> => {
      const qos = random(3) as 0 | 1 | 2;
      return {
        topic: `t${text(20)}`.toWellFormed(),
        payload: Buffer.alloc(random(200), random(256)),
        qos,
        retain: random(2) === 0,
        dup: qos > 0 && random(2) === 0,
        ...(qos === 0 ? {} : { messageId: index + 1 }),
        ...(random(2) === 0
          ? {}
          : { properties: { messageExpiryInterval: random(1000), contentType: text(9).toWellFormed() } }),
      };
    });
    const bytes = encode(version, messages);
    const at = random(bytes.length);
    const parts = [bytes.subarray(0, at), bytes.subarray(at)];
    expect(await readOurs(version, parts)).toEqual(readTwin(version, bytes));
  }
});
