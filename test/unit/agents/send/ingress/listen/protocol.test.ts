// What the server answers, packet by packet: each clause that concerns a server receiving publishes.
import { expect, test } from "bun:test";
import type { IPublishPacket } from "mqtt-packet";
import { Lab } from "./lab.ts";

const publish = (more: Partial<IPublishPacket> = {}): IPublishPacket => ({
  cmd: "publish",
  topic: "plant/a",
  payload: "x",
  qos: 1,
  messageId: 1,
  dup: false,
  retain: false,
  ...more,
});

const hex = (text: string) => Buffer.from(text).toString("hex");
const CONNECT_5 = "10 0f 00044d515454 05 02 003c 00 0002 6331";
const CONNECT_4 = "10 0e 00044d515454 04 02 003c 0002 6331";
const CONNECT_3 = "10 10 00064d514973647003 02 003c 0002 6331";

const CONNECTS: [name: string, bytes: string, answer: string][] = [
  ["MQTT 3.1", CONNECT_3, "20 02 00 00"],
  ["MQTT 3.1.1", CONNECT_4, "20 02 00 00"],
  ["a Mosquitto bridge of 3.1.1 (try_private)", CONNECT_4.replace("04 02", "84 02"), "20 02 00 00"],
  ["a Mosquitto bridge of 3.1 (try_private)", CONNECT_3.replace("7003", "7083"), "20 02 00 00"],
  ["another version of MQTT", CONNECT_4.replace("04 02", "06 02"), "20 4d 00 84"],
  ["MQTT with version 3", CONNECT_4.replace("04 02", "03 02"), "20 02 00 01"],
  ["another protocol name", CONNECT_4.replace("4d515454", "4d515455"), "20 02 00 01"],
  ["a reserved flag in 3.1.1", CONNECT_4.replace("04 02", "04 03"), ""],
  ["a reserved flag in 5", CONNECT_5.replace("05 02", "05 03"), "20 00 81"],
  ["a password without a user in 3.1.1", CONNECT_4.replace("04 02", "04 42"), ""],
  ["will flags without a will", CONNECT_4.replace("04 02", "04 0a"), ""],
  ["an empty client id in 3.1", "10 0e 00064d514973647003 02 003c 0000", "20 02 00 02"],
  ["an empty client id, clean, in 3.1.1", "10 0c 00044d515454 04 02 003c 0000", "20 02 00 00"],
  ["an empty client id, not clean, in 3.1.1", "10 0c 00044d515454 04 00 003c 0000", "20 02 00 02"],
  ["bytes left over", "10 0f 00044d515454 04 02 003c 0002 6331 00", ""],
  ["a client id that is not UTF-8", CONNECT_4.replace("6331", "c328"), ""],
  ["a client id with U+0000", CONNECT_4.replace("6331", "6300"), ""],
  ["a receive maximum of 0", "10 12 00044d515454 05 02 003c 03 210000 0002 6331", "82"],
  ["a receive maximum twice", "10 15 00044d515454 05 02 003c 06 210001 210001 0002 6331", "82"],
  ["a property that PUBLISH has", "10 12 00044d515454 05 02 003c 03 230001 0002 6331", "82"],
  ["a property that does not exist", "10 12 00044d515454 05 02 003c 03 7e0001 0002 6331", "81"],
  ["properties longer than the packet", "10 12 00044d515454 05 02 003c 30 210001 0002 6331", "81"],
  ["an authentication method", "10 13 00044d515454 05 02 003c 04 15000161 0002 6331", "8c"],
  ["authentication data alone", "10 13 00044d515454 05 02 003c 04 16000161 0002 6331", "82"],
  ["a wildcard in its will's topic", "10 16 00044d515454 05 06 003c 00 0002 6331 00 0001 2b 0001 78", "90"],
];

test.each(CONNECTS)("CONNECT of %s is answered as the specification says", async (_, bytes, answer) => {
  const lab = new Lab();
  const dialled = lab.dial();
  dialled.sendHex(bytes);
  await lab.commit();
  const [first] = dialled.wire.chunks;
  const written = Buffer.from(first ?? []).toString("hex");
  if (answer.length <= 2) {
    expect([written.slice(0, 2), written.slice(6, 8)]).toEqual(answer === "" ? ["", ""] : ["20", answer]);
  } else if (answer.startsWith("20 02")) expect(written).toBe(answer.replaceAll(" ", ""));
  else
    expect([written.slice(0, 2), written.slice(4, 8)]).toEqual(["20", answer.replaceAll(" ", "").slice(-4)]);
  expect(dialled.wire.isEnded).toBe(!/20 02 00 00/.test(answer));
});

test("CONNACK tells an MQTT 5 client the limits, the id it got and the keep-alive it must use", async () => {
  const lab = new Lab({ keepaliveSecondsMax: 100, sessionExpirySecondsMax: 50 });
  const dialled = lab.dial();
  dialled.connect({ clientId: "", keepalive: 0, properties: { sessionExpiryInterval: 0xffff_ffff } });
  await lab.commit();
  const [connack] = dialled.readPackets();
  expect(connack).toMatchObject({
    cmd: "connack",
    reasonCode: 0,
    properties: {
      receiveMaximum: 10,
      topicAliasMaximum: 5,
      serverKeepAlive: 100,
      sessionExpiryInterval: 50,
      maximumPacketSize: lab.hub.publishBytesMax,
    },
  });
  expect(JSON.stringify(connack)).toContain("tidegate-");
});

test.each([3, 4, 5])(
  "PUBLISH is acknowledged after the commit, never before, in MQTT level %d",
  async (protocolVersion) => {
    const lab = new Lab();
    const dialled = await lab.join({ protocolVersion });
    expect(dialled.read()).toEqual(["connack 0"]);
    dialled.send(publish({ messageId: 1 }), publish({ messageId: 2, qos: 2 }), publish({ qos: 0 }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(dialled.read()).toEqual([]);
    await lab.commit();
    expect(dialled.read()).toEqual(["puback 1 0", "pubrec 2 0"]);
    dialled.send({ cmd: "pubrel", messageId: 2 });
    await lab.commit();
    expect(dialled.read()).toEqual(["pubcomp 2 0"]);
    expect(lab.keeper.kept).toHaveLength(3);
  },
);

test("PUBLISH at QoS 2 that comes again is one message, before and after the commit", async () => {
  const lab = new Lab();
  const dialled = await lab.join();
  dialled.read();
  dialled.send(publish({ qos: 2 }), publish({ qos: 2, dup: true }));
  await lab.commit();
  dialled.send(publish({ qos: 2, dup: true }));
  await lab.commit();
  expect(dialled.read()).toEqual(["pubrec 1 0", "pubrec 1 0"]);
  expect(lab.keeper.kept).toHaveLength(1);
});

const PROPERTIES = {
  payloadFormatIndicator: true,
  messageExpiryInterval: 60,
  contentType: "text/plain",
  responseTopic: "answer/here",
  correlationData: Buffer.from([1]),
  userProperties: { a: ["1", "2"] },
};

test("PUBLISH brings its payload, flags and the properties that may cross", async () => {
  const lab = new Lab();
  const dialled = await lab.join();
  dialled.send(publish({ retain: true, qos: 2, payload: "hello", properties: PROPERTIES }));
  await lab.commit();
  const [message] = lab.keeper.kept;
  expect(message).toMatchObject({ topic: "plant/a", qos: 2, retain: true, acceptedMs: lab.wallMs });
  expect(Buffer.from(message?.payload ?? []).toString()).toBe("hello");
  expect(message?.properties).toEqual({
    payloadFormat: 1,
    messageExpirySeconds: 60,
    contentType: "text/plain",
    userProperties: [
      ["a", "1"],
      ["a", "2"],
    ],
  });
});

const ALIAS = (topic: string, topicAlias: number) => publish({ topic, qos: 0, properties: { topicAlias } });

test("a topic alias stands for the topic it was last given, on its connection alone", async () => {
  const lab = new Lab();
  const dialled = await lab.join();
  dialled.send(ALIAS("a", 1), ALIAS("b", 5), ALIAS("", 1), ALIAS("", 5), ALIAS("c", 1), ALIAS("", 1));
  await lab.commit();
  expect(lab.keeper.kept.map(({ topic }) => topic)).toEqual(["a", "b", "a", "b", "c", "c"]);
  const other = await lab.join({ clientId: "c2" });
  other.read();
  other.send(ALIAS("", 1));
  expect(other.read()).toEqual(["disconnect 82"]);
});

const AFTER: [what: string, version: 4 | 5, bytes: string, answer: string, counted: string][] = [
  ["a second CONNECT", 5, CONNECT_5, "disconnect 82", "protocol-error"],
  ["a second CONNECT", 4, CONNECT_4, "", "protocol-error"],
  ["QoS 3", 5, "36 04 0001 61 00", "disconnect 81", "malformed"],
  ["DUP at QoS 0", 5, "38 04 0001 61 00", "disconnect 81", "malformed"],
  ["packet identifier 0", 5, "32 06 0001 61 0000 00", "disconnect 82", "protocol-error"],
  ["packet identifier 0", 4, "32 05 0001 61 0000", "", "protocol-error"],
  ["a wildcard in the topic", 5, "30 05 0002 612b 00", "disconnect 81", "malformed"],
  ["a wildcard in the topic", 4, "30 04 0002 6123", "", "malformed"],
  ["an empty topic", 4, "30 02 0000", "", "malformed"],
  ["an empty topic without an alias", 5, "30 03 0000 00", "disconnect 82", "protocol-error"],
  ["a topic that is not UTF-8", 5, "30 05 0002 c328 00", "disconnect 81", "malformed"],
  ["a topic with U+0000", 4, "30 04 0002 6100", "", "malformed"],
  ["a topic with half a surrogate pair", 4, "30 05 0003 eda080", "", "malformed"],
  ["a topic longer than the packet", 4, "30 04 0005 6161", "", "malformed"],
  ["a topic alias of 0", 5, "30 07 0001 61 03 230000", "disconnect 94", "topic-alias"],
  ["a topic alias over the maximum", 5, "30 07 0001 61 03 230006", "disconnect 94", "topic-alias"],
  ["a topic alias that was never set", 5, "30 06 0000 03 230002", "disconnect 82", "protocol-error"],
  ["a payload format of 2", 5, "30 06 0001 61 02 0102", "disconnect 82", "protocol-error"],
  ["a property twice", 5, "30 08 0001 61 04 0101 0101", "disconnect 82", "protocol-error"],
  ["a subscription identifier", 5, "30 06 0001 61 02 0b01", "disconnect 82", "protocol-error"],
  ["a wildcard in the response topic", 5, "30 08 0001 61 04 0800012b", "disconnect 82", "protocol-error"],
  ["a property length that is too long", 5, "30 05 0001 61 8000", "disconnect 81", "malformed"],
  ["a remaining length over four bytes", 5, "30 ffffffff01", "disconnect 81", "malformed"],
  ["a remaining length longer than needed", 5, "c0 8000", "disconnect 81", "malformed"],
  ["CONNACK", 5, "20 03 000000", "disconnect 82", "protocol-error"],
  ["packet type 0", 5, "00 00", "disconnect 81", "malformed"],
  ["AUTH without a method", 5, "f0 00", "disconnect 82", "protocol-error"],
  ["AUTH", 4, "f0 00", "", "malformed"],
  ["SUBSCRIBE with wrong flags", 5, "80 07 0001 00 0001 61 00", "disconnect 81", "malformed"],
  ["SUBSCRIBE without a filter", 5, "82 03 0001 00", "disconnect 82", "protocol-error"],
  ["SUBSCRIBE without a filter", 4, "82 02 0001", "", "protocol-error"],
  ["SUBSCRIBE with reserved options", 4, "82 06 0001 0001 61 04", "", "malformed"],
  ["SUBSCRIBE with reserved options", 5, "82 07 0001 00 0001 61 40", "disconnect 81", "malformed"],
  ["SUBSCRIBE with retain handling 3", 5, "82 07 0001 00 0001 61 30", "disconnect 82", "protocol-error"],
  [
    "a shared subscription with No Local",
    5,
    `82 10 0001 00 000a ${hex("$share/g/a")} 04`,
    "disconnect 82",
    "protocol-error",
  ],
  ["UNSUBSCRIBE without a filter", 5, "a2 03 0001 00", "disconnect 82", "protocol-error"],
  ["PINGREQ with a body", 4, "c0 01 00", "", "malformed"],
  ["PUBREL before PUBREC", 5, "34 06 0001 61 0001 00 62 02 0001", "disconnect 82", "protocol-error"],
  ["PUBREL with a reason code of PUBACK", 5, "62 03 0001 10", "disconnect 82", "protocol-error"],
  ["PUBACK with a reason code of PUBREL", 5, "40 03 0001 92", "disconnect 82", "protocol-error"],
  ["PUBREL with wrong flags", 5, "60 02 0001", "disconnect 81", "malformed"],
  ["DISCONNECT with a code that servers have", 5, "e0 01 8d", "disconnect 82", "protocol-error"],
  [
    "DISCONNECT that wants a session after all",
    5,
    "e0 07 00 05 11 00000001",
    "disconnect 82",
    "protocol-error",
  ],
  ["DISCONNECT with a body", 4, "e0 01 00", "", "malformed"],
];

test.each(AFTER)(
  "%s (level %d) ends the connection with the reason for it",
  async (_, version, bytes, answer, counted) => {
    const lab = new Lab();
    const dialled = await lab.join({ protocolVersion: version });
    dialled.read();
    dialled.sendHex(bytes);
    expect(dialled.read()).toEqual(answer === "" ? [] : [answer]);
    expect(dialled.wire.isEnded).toBe(true);
    expect(Object.fromEntries(lab.hub.refusals)).toEqual({ [counted]: 1 });
    expect(lab.hub.clients.size).toBe(0);
  },
);

test.each([
  [4, "30 04 0002 612b", 0],
  [4, "32 06 0002 612b 0001", 1],
  [5, "34 07 0002 612b 0001 00", 2],
] as const)(
  "a topic that is none (level %d, %s) is booked with its QoS",
  async (protocolVersion, bytes, qos) => {
    const lab = new Lab();
    const dialled = await lab.join({ protocolVersion });
    dialled.sendHex(bytes);
    await lab.commit();
    expect(lab.keeper.lost).toHaveLength(1);
    expect(lab.keeper.lostQos).toEqual([qos]);
  },
);

test("a first packet that is not CONNECT ends the connection without an answer", () => {
  const lab = new Lab();
  const dialled = lab.dial();
  dialled.sendHex("c0 00");
  expect(dialled.wire.chunks).toEqual([]);
  expect(dialled.wire.isEnded).toBe(true);
});

test("a message over the limit is booked and refused; a packet over it ends an MQTT 5 connection", async () => {
  const lab = new Lab();
  const dialled = await lab.join();
  dialled.read();
  dialled.send(publish({ payload: Buffer.alloc(1001), messageId: 1 }));
  dialled.send(publish({ payload: Buffer.alloc(1001), messageId: 2, qos: 2 }));
  await lab.commit();
  expect(dialled.read()).toEqual(["puback 1 97", "pubrec 2 97"]);
  dialled.send(publish({ payload: Buffer.alloc(1000), messageId: 2, qos: 2 }));
  await lab.commit();
  expect(dialled.read()).toEqual(["pubrec 2 0"]);
  dialled.send(publish({ payload: Buffer.alloc(lab.hub.publishBytesMax) }));
  await lab.commit();
  expect(dialled.read()).toEqual(["disconnect 95"]);
  expect(lab.keeper.lost).toEqual(["oversize plant/a", "oversize plant/a", "oversize"]);
  expect(lab.keeper.lostQos).toEqual([1, 2, 1]);
});

test("a packet over the limit is passed over in MQTT 3.1.1, booked and acknowledged", async () => {
  const lab = new Lab();
  const dialled = await lab.join({ protocolVersion: 4 });
  dialled.read();
  dialled.send(
    publish({ payload: Buffer.alloc(lab.hub.publishBytesMax), messageId: 9 }),
    publish({ messageId: 10 }),
  );
  await lab.commit();
  expect(dialled.read()).toEqual(["puback 9 0", "puback 10 0"]);
  expect(lab.keeper.lost).toEqual(["oversize plant/a"]);
  expect(lab.keeper.kept).toHaveLength(1);
  expect(lab.hub.partials.bytes).toBe(0);
});

test("over the receive maximum an MQTT 5 client is cut off; an MQTT 3.1.1 client is not read from", async () => {
  const lab = new Lab();
  const dialled = await lab.join();
  dialled.read();
  for (let messageId = 1; messageId <= 10; messageId++) dialled.send(publish({ messageId, qos: 2 }));
  await lab.commit();
  expect(dialled.read()).toHaveLength(10);
  dialled.send(publish({ messageId: 11 }));
  expect(dialled.read()).toEqual(["disconnect 93"]);
  const old = await lab.join({ protocolVersion: 4, clientId: "old" });
  old.read();
  for (let messageId = 1; messageId <= 11; messageId++) old.send(publish({ messageId }));
  expect(old.wire.isResting).toBe(true);
  await lab.commit();
  expect(old.wire.isResting).toBe(false);
  expect(old.read()).toHaveLength(11);
});

test("topics that begin with a dollar sign are kept back by name, or sent across where that is wanted", async () => {
  const lab = new Lab();
  const state = publish({ topic: "$SYS/broker/connection/x/state", retain: true });
  (await lab.join()).send(state);
  await lab.commit();
  expect(lab.keeper.aside).toEqual(["dollar-topics"]);
  const open = new Lab({ dollarTopics: "forward" });
  (await open.join()).send(state);
  await open.commit();
  expect(open.keeper.kept).toHaveLength(1);
});

test("SUBSCRIBE is granted or refused filter by filter, and UNSUBSCRIBE knows which there were", async () => {
  const lab = new Lab();
  const dialled = await lab.join();
  dialled.read();
  const subscriptions = [
    { topic: "a/#", qos: 2 as const },
    { topic: "a/#/b", qos: 0 as const },
  ];
  dialled.send({ cmd: "subscribe", messageId: 3, subscriptions });
  dialled.send({ cmd: "unsubscribe", messageId: 4, unsubscriptions: ["a/#", "b", "a/#/b"] });
  await lab.commit();
  expect(dialled.read()).toEqual(["suback 3 2,8f", "unsuback 4 0,11,8f"]);
  const strict = new Lab({ subscriptions: "refuse" });
  for (const [protocolVersion, answer] of [
    [5, "suback 3 87,8f"],
    [4, "suback 3 80,80"],
  ] as const) {
    const client = await strict.join({ protocolVersion });
    client.read();
    client.send({ cmd: "subscribe", messageId: 3, subscriptions });
    await strict.commit();
    expect(client.read()).toEqual([answer]);
  }
});

test("a client that is silent for one and a half times its keep-alive is cut off; one that pings is not", async () => {
  const lab = new Lab();
  const silent = await lab.join({ clientId: "silent", keepalive: 10 });
  const lively = await lab.join({ clientId: "lively", keepalive: 10 });
  silent.read();
  lively.read();
  for (let i = 0; i < 3; i++) {
    lab.pass(5001);
    lively.send({ cmd: "pingreq" });
  }
  expect(silent.read()).toEqual(["disconnect 8d"]);
  expect(lively.read()).toEqual(["pingresp", "pingresp", "pingresp"]);
  expect(lively.wire.isEnded).toBe(false);
});

test("a connection that does not send CONNECT in time is closed, half a CONNECT included", () => {
  const lab = new Lab();
  const dialled = lab.dial();
  dialled.sendHex(CONNECT_4.slice(0, 20));
  for (let i = 0; i < 3; i++) {
    lab.pass(4000);
    dialled.sendHex("00");
  }
  expect(dialled.wire.isEnded).toBe(true);
  expect(lab.hub.refusals.get("connect-timeout")).toBe(1);
  expect(lab.hub.partials.bytes).toBe(0);
});

test("reason strings are left out where the client does not want them or the packet would be too large", async () => {
  const lab = new Lab();
  const wordy = await lab.join({ clientId: "wordy" });
  wordy.read();
  wordy.sendHex("30 05 0002 612b 00");
  expect(wordy.readPackets()[0]).toMatchObject({ properties: { reasonString: expect.any(String) } });
  for (const properties of [{ requestProblemInformation: false }, { maximumPacketSize: 35 }]) {
    const terse = await lab.join({ clientId: "terse", properties });
    terse.read();
    terse.sendHex("30 05 0002 612b 00");
    expect(Buffer.concat(terse.wire.chunks).toString("hex")).toMatch(/^e00181$/);
  }
});
