// The fake of AWS IoT Core, asked for each rule it claims to keep by a client that keeps none. That a client which keeps
// them all gets through is shown with the vendor's own SDK (test/interop/clouds).
import { afterAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync, sign } from "node:crypto";
import type { IConnectPacket, IPublishPacket } from "mqtt-packet";
import { presignWebSocketUrl } from "../../agents/recv/targets/aws/sigv4.ts";
import { AwsIotFake, type AwsIotOptions } from "../fakes/aws-iot.ts";
import { RawClient } from "../fakes/raw-client.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";

const workspace = new Workspace("fake-aws");
const certificates = await createCertificateSet(workspace.directory);
const { caFile } = certificates;
afterAll(() => workspace.remove());

const V5: Partial<IConnectPacket> = { protocolVersion: 5 };

function start(options: Partial<AwsIotOptions> = {}): Promise<AwsIotFake> {
  return AwsIotFake.start({ certificate: certificates.server, clientCaFile: caFile, ...options });
}

function open(fake: AwsIotFake): Promise<RawClient> {
  return RawClient.open({ port: fake.mqttPort, caFile, certificate: certificates.client });
}

async function openSession(fake: AwsIotFake, changes: Partial<IConnectPacket> = {}): Promise<RawClient> {
  const client = await open(fake);
  expect(await client.connect(changes)).toBe(0);
  return client;
}

describe("AwsIotFake at the door", () => {
  test("takes MQTT with X.509 on both ports, by ALPN on the second", async () => {
    await using fake = await start();
    using plain = await openSession(fake, { clientId: "a" });
    const alpn = ["x-amzn-mqtt-ca"];
    using byAlpn = await RawClient.open({
      port: fake.httpsPort,
      caFile,
      certificate: certificates.client,
      alpn,
    });
    expect(await byAlpn.connect({ clientId: "b" })).toBe(0);
    using without = await RawClient.open({ port: fake.httpsPort, caFile, certificate: certificates.client });
    expect(await without.connect({ clientId: "c" })).toBe("closed");
    expect(fake.records.connects.map(({ peer }) => peer.door)).toEqual(["mqtt", "https"]);
    expect(plain.closed).toBe(false);
  });

  test("breaks off the handshake over any other ALPN", async () => {
    await using fake = await start();
    for (const port of [fake.mqttPort, fake.httpsPort]) {
      const opening = RawClient.open({ port, caFile, certificate: certificates.client, alpn: ["nonsense"] });
      await expect(opening).rejects.toThrow();
    }
  });

  test("closes without a word on no certificate, a stranger's, an inactive one, and a wrong name", async () => {
    await using fake = await start({ inactive: ["client"] });
    const [port, stranger] = [fake.mqttPort, certificates.strangerClient];
    for (const certificate of [undefined, stranger, certificates.client]) {
      using client = await RawClient.open({ port, caFile, certificate });
      expect(await client.connect()).toBe("closed");
    }
    await using open = await start({ endpoints: ["abc-ats.iot.us-east-1.amazonaws.com"] });
    using client = await RawClient.open({ port: open.mqttPort, caFile, certificate: certificates.client });
    expect(await client.connect()).toBe("closed");
    expect(open.records.count("connect")).toEqual({ "wrong SNI": 1 });
  });

  const CONNECTS: [title: string, changes: Partial<IConnectPacket>, mqtt5: number, mqtt3: number][] = [
    ["a client id of 128 bytes", { clientId: "x".repeat(128) }, 0, 0],
    ["a client id of 129 bytes", { clientId: "x".repeat(129) }, 0x85, 2],
    ["a reserved client id", { clientId: "$GEN/1" }, 0x85, 2],
    ["a client id that the policy doesn't grant", { clientId: "other" }, 0x87, 7],
    ["a will", { will: { topic: "a", payload: Buffer.from("x"), qos: 1, retain: false } }, 0x87, 7],
  ];
  for (const [title, changes, mqtt5, mqtt3] of CONNECTS) {
    test(`answers ${title} with 0x${mqtt5.toString(16)} and ${mqtt3}`, async () => {
      await using fake = await start({ policy: { connect: ["x*", "raw", "$*"] } });
      using five = await open(fake);
      expect(await five.connect({ ...V5, ...changes })).toBe(mqtt5);
      fake.clock.advance(1000);
      using four = await open(fake);
      expect(await four.connect(changes)).toBe(mqtt3);
    });
  }

  test("refuses a persistent session unless the policy grants it", async () => {
    await using fake = await start();
    using four = await open(fake);
    expect(await four.connect({ clean: false })).toBe(7);
    using five = await open(fake);
    expect(await five.connect({ ...V5, properties: { sessionExpiryInterval: 60 } })).toBe(0x87);
    fake.rules.policy = { ...fake.rules.policy, persistentConnect: true, lastWill: true };
    using granted = await open(fake);
    expect(await granted.connect({ clean: false })).toBe(0);
  });

  test("gives a nameless MQTT 5 client a name and doesn't take it back", async () => {
    await using fake = await start();
    using first = await openSession(fake, { ...V5, clientId: "" });
    const connack = first.received[0];
    const assigned = connack?.cmd === "connack" ? connack.properties?.assignedClientIdentifier : undefined;
    expect(assigned).toStartWith("$GEN/");
    using again = await open(fake);
    expect(await again.connect({ ...V5, clientId: assigned ?? "" })).toBe(0x85);
  });

  test("takes one CONNECT a second for each client id", async () => {
    await using fake = await start();
    using _first = await openSession(fake, { clientId: "a" });
    using _other = await openSession(fake, { clientId: "b" });
    using soon = await open(fake);
    expect(await soon.connect({ clientId: "a" })).toBe(3);
    fake.clock.advance(1000);
    using later = await open(fake);
    expect(await later.connect({ clientId: "a" })).toBe(0);
  });

  test("ends the older of two connections with one client id", async () => {
    await using fake = await start();
    using five = await openSession(fake, V5);
    fake.clock.advance(1000);
    using four = await openSession(fake);
    expect(await five.farewell()).toBe("closed 0x8e");
    fake.clock.advance(1000);
    using _five = await openSession(fake, V5);
    expect(await four.farewell()).toBe("closed");
  });

  const KEEP_ALIVES: [asked: number, given: number | undefined][] = [
    [0, 1200],
    [1, 30],
    [29, 30],
    [30, undefined],
    [1200, undefined],
    [1201, 1200],
    [65_535, 1200],
  ];
  test("clamps the keep alive and announces what it does", async () => {
    await using fake = await start();
    for (const [asked, given] of KEEP_ALIVES) {
      using client = await openSession(fake, { ...V5, clientId: `k${asked}`, keepalive: asked });
      const connack = client.received[0];
      expect(connack?.cmd === "connack" ? connack.properties : undefined).toMatchObject({
        receiveMaximum: 100,
        maximumQoS: 1,
        maximumPacketSize: 131_072,
        topicAliasMaximum: 8,
        subscriptionIdentifiersAvailable: false,
      });
      expect(connack?.cmd === "connack" ? connack.properties?.serverKeepAlive : 0).toBe(given);
    }
  });

  test("ends a connection after one and a half times the keep alive in silence", async () => {
    await using fake = await start();
    using client = await openSession(fake, { ...V5, keepalive: 1 });
    fake.clock.advance(44_000);
    await client.settle();
    expect(client.closed).toBe(false);
    fake.clock.advance(46_000);
    expect(await client.farewell()).toBe("closed 0x8d");
  });
});

describe("AwsIotFake and what is published", () => {
  const deep = (levels: number): string => Array<string>(levels).fill("a").join("/");
  const INGEST = "$aws/rules/rule/";
  const PUBLISHES: [
    title: string,
    changes: Partial<IPublishPacket>,
    mqtt5: number | string,
    mqtt3: number | string,
  ][] = [
    ["131,072 bytes", { payload: Buffer.alloc(131_072) }, "closed 0x97", 0],
    ["a packet of 131,072 bytes", { payload: Buffer.alloc(131_060) }, 0, 0],
    ["a packet of 131,073 bytes", { payload: Buffer.alloc(131_061) }, "closed 0x97", 0],
    ["131,073 bytes", { payload: Buffer.alloc(131_073) }, "closed 0x97", "closed"],
    ["a topic of 256 bytes", { topic: "x".repeat(256) }, 0, 0],
    ["a topic of 257 bytes", { topic: "x".repeat(257) }, "closed 0x90", "closed"],
    ["8 levels", { topic: deep(8) }, 0, 0],
    ["9 levels", { topic: deep(9) }, "closed 0x90", "closed"],
    ["Basic Ingest with 8 levels behind it", { topic: INGEST + deep(8) }, 0, 0],
    ["Basic Ingest with 9 levels behind it", { topic: INGEST + deep(9) }, "closed 0x90", "closed"],
    ["Basic Ingest and retain", { topic: `${INGEST}a`, retain: true }, "closed 0x82", "closed"],
    ["Basic Ingest without a rule", { topic: "$aws/rules//a" }, "closed 0x90", "closed"],
    ["a reserved topic", { topic: "$SYS/a" }, "closed 0x90", "closed"],
    ["a topic that the policy doesn't grant", { topic: "secret" }, "closed 0x87", "closed"],
    ["a retained message that it does", { topic: "state/a", retain: true }, 0, 0],
    ["a retained message that it doesn't", { topic: "a", retain: true }, "closed 0x87", "closed"],
  ];
  for (const [title, changes, mqtt5, mqtt3] of PUBLISHES) {
    test(`answers ${title} with ${mqtt5} and ${mqtt3}`, async () => {
      const publish = ["a*", "x*", "state/*", "$*"];
      await using fake = await start({ policy: { publish, retainPublish: ["state/?"] } });
      using five = await openSession(fake, { ...V5, clientId: "five" });
      expect(await five.publishAndWait(changes)).toBe(mqtt5);
      using four = await openSession(fake, { clientId: "four" });
      expect(await four.publishAndWait(changes)).toBe(mqtt3);
      const taken = fake.records.taken.map(({ topic, payload }) => `${topic} ${payload.length}`);
      const passed = [mqtt5, mqtt3].filter((answer) => answer === 0).length;
      const sent = `${changes.topic ?? "a/b"} ${(changes.payload ?? "x").length}`;
      expect(taken).toEqual(Array<string>(passed).fill(sent));
    });
  }

  test("says no to a topic that the policy doesn't grant when the account is set so", async () => {
    await using fake = await start({ policy: { publish: ["a/*"] }, unauthorizedPublish: "refuse" });
    using client = await openSession(fake, V5);
    expect(await client.publishAndWait({ topic: "secret" })).toBe(0x87);
    expect(await client.publishAndWait()).toBe(0);
  });

  test("closes over QoS 2 with MQTT 5 and never answers it with 3.1.1", async () => {
    await using fake = await start();
    using five = await openSession(fake, { ...V5, clientId: "five" });
    five.publish({ qos: 2 });
    expect(await five.farewell()).toBe("closed 0x9b");
    using four = await openSession(fake, { clientId: "four" });
    four.publish({ qos: 2 });
    await four.settle();
    expect(four.received.map(({ cmd }) => cmd)).toEqual(["connack", "pingresp"]);
    expect(fake.records.taken).toEqual([]);
  });

  test("discards what exceeds 100 a second, without an acknowledgement", async () => {
    await using fake = await start();
    using client = await openSession(fake);
    // Its clock stands still, so that a slow machine is no help.
    const nowMs = fake.clock.now();
    fake.clock.now = () => nowMs;
    for (let count = 0; count < 150; count += 1) client.publish();
    await client.settle();
    expect(client.count("puback")).toBe(100);
    expect(fake.records.count("publish")).toEqual({ taken: 100, THROTTLED: 50 });
    fake.clock.now = () => nowMs + 500;
    for (let count = 0; count < 60; count += 1) client.publish();
    await client.settle();
    expect(client.count("puback")).toBe(150);
  });

  test("delays what exceeds the bytes a second", async () => {
    await using fake = await start({ quotas: { bytesPerSecond: 200_000 } });
    using client = await openSession(fake);
    const startMs = performance.now();
    for (let count = 0; count < 3; count += 1) client.publish({ payload: Buffer.alloc(100_000) });
    await client.settle();
    // 300,000 bytes with 200,000 at once: the rest takes half a second, whatever the machine does.
    expect(performance.now() - startMs).toBeGreaterThan(480);
    expect(client.count("puback")).toBe(3);
  });

  test("ends a connection with more than 100 unacknowledged", async () => {
    await using fake = await start({ quotas: { publishesPerSecond: 1000 } });
    using client = await openSession(fake, V5);
    fake.faults.holdAcknowledgements = true;
    for (let count = 0; count < 100; count += 1) client.publish();
    await client.settle();
    expect(client.closed).toBe(false);
    client.publish();
    expect(await client.farewell()).toBe("closed 0x93");
  });

  test("takes eight topic aliases and no ninth, nor one that has no topic yet", async () => {
    await using fake = await start();
    using client = await openSession(fake, V5);
    expect(await client.publishAndWait({ topic: "a/long", properties: { topicAlias: 8 } })).toBe(0);
    expect(await client.publishAndWait({ topic: "", properties: { topicAlias: 8 } })).toBe(0);
    expect(fake.records.taken.map(({ topic }) => topic)).toEqual(["a/long", "a/long"]);
    expect(await client.publishAndWait({ topic: "", properties: { topicAlias: 7 } })).toBe("closed 0x94");
    using other = await openSession(fake, { ...V5, clientId: "other" });
    expect(await other.publishAndWait({ properties: { topicAlias: 9 } })).toBe("closed 0x94");
  });
});

describe("AwsIotFake and faults that a test asks for", () => {
  test("refuses, closes at the n-th publish, discards, loses an acknowledgement, holds them, drops all", async () => {
    await using fake = await start({ quotas: { connectsPerSecond: 100 } });
    const { faults } = fake;
    faults.refuse = { times: 1, code: 0x97 };
    using refused = await open(fake);
    expect(await refused.connect(V5)).toBe(0x97);
    using client = await openSession(fake);
    faults.discardPublishes = 1;
    client.publish();
    expect(await client.publishAndWait()).toBe(0);
    faults.holdAcknowledgements = true;
    client.publish();
    await client.settle();
    expect(client.count("puback")).toBe(1);
    faults.releaseAcknowledgements();
    await waitFor("the acknowledgement", 5000, () => client.count("puback") === 2);
    faults.closeAtPublish = 2;
    expect(await client.publishAndWait()).toBe(0);
    expect(await client.publishAndWait()).toBe("closed");
    faults.loseAcknowledgements = 1;
    using again = await openSession(fake);
    expect(await again.publishAndWait()).toBe("closed");
    expect(fake.records.count("publish")).toEqual({
      taken: 4,
      "discard by the test": 1,
      "close by the test": 1,
    });
    using last = await openSession(fake);
    fake.dropAll();
    expect(await last.farewell()).toBe("closed");
    for (const door of fake.doors) door.shut = true;
    await expect(open(fake).then((client) => client.connect())).resolves.toBe("closed");
  });

  test("shows another certificate when told", async () => {
    await using fake = await start();
    fake.changeCertificate(certificates.expiredServer);
    await expect(open(fake)).rejects.toThrow(/expired/i);
    fake.changeCertificate(certificates.server);
    using client = await openSession(fake);
    expect(client.closed).toBe(false);
  });
});

describe("AwsIotFake and custom authorizers", () => {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const authorizers = {
    "My Auth": {
      tokenKeyName: "tok",
      publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
      allow: ({ user, password }: { user: string; password: string }) => user === "bob" && password === "pw",
      disconnectAfterSeconds: 300,
    },
  };
  const signature = encodeURIComponent(sign("sha256", Buffer.from("a b"), privateKey).toString("base64"));
  const username = `bob?x-amz-customauthorizer-name=My%20Auth&tok=a%20b&x-amz-customauthorizer-signature=${signature}`;
  const good = { username, password: Buffer.from("pw") };

  const TRIES: [title: string, changes: Partial<IConnectPacket>, code: number][] = [
    ["all right", good, 0],
    ["a wrong password", { ...good, password: Buffer.from("pv") }, 7],
    ["another token", { ...good, username: username.replace("a%20b", "a%20c") }, 7],
    ["no signature", { ...good, username: username.replace(/&x-amz-customauthorizer-signature.*/, "") }, 7],
    ["an unknown authorizer", { ...good, username: username.replace("My%20Auth", "Other") }, 7],
    ["no authorizer", { ...good, username: "bob" }, 7],
  ];
  for (const [title, changes, code] of TRIES) {
    test(`answers ${title} with ${code}`, async () => {
      await using fake = await start({ authorizers });
      using client = await RawClient.open({ port: fake.httpsPort, caFile, alpn: ["mqtt"] });
      expect(await client.connect(changes)).toBe(code);
    });
  }

  test("ends the connection when the authorizer's time is up", async () => {
    await using fake = await start({ authorizers });
    using client = await RawClient.open({ port: fake.httpsPort, caFile, alpn: ["mqtt"] });
    expect(await client.connect({ ...V5, ...good, keepalive: 1200 })).toBe(0);
    fake.clock.advance(301_000);
    expect(await client.farewell()).toBe("closed 0x87");
    expect(fake.records.count("close")).toEqual({ CUSTOMAUTH_TTL_EXPIRATION: 1 });
  });
});

describe("AwsIotFake and signed requests", () => {
  const keys = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret", sessionToken: "tok+/=en" };
  const account = { region: "us-east-1", keys: { AKIDEXAMPLE: { secret: "secret", token: "tok+/=en" } } };
  const request = { host: "localhost", region: "us-east-1", keys };

  const TRIES: [title: string, edit: (url: string) => string, atMs: number, status: string][] = [
    ["all right", (url) => url, 0, "101"],
    [
      "the fields in another order",
      (url) => url.replace(/\?(X-Amz-Algorithm=[^&]+)&(.*)/, "?$2&$1"),
      0,
      "101",
    ],
    ["a date six minutes old", (url) => url, -360_000, "403"],
    ["a date six minutes ahead", (url) => url, 360_000, "403"],
    ["another token", (url) => url.replace("tok", "tik"), 0, "403"],
    ["no token", (url) => url.replace(/&X-Amz-Security-Token=.*/, ""), 0, "403"],
    [
      "another signature",
      (url) => url.replace(/(Signature=)(.)/, (_, name, first) => name + (first === "0" ? "1" : "0")),
      0,
      "403",
    ],
    ["no signature", (url) => url.replace(/&X-Amz-Signature=\w+/, ""), 0, "403"],
    ["another region", (url) => url.replace("us-east-1", "us-west-1"), 0, "403"],
    ["another key", (url) => url.replace("AKIDEXAMPLE", "AKIDEXAMPLF"), 0, "403"],
    ["another path", (url) => url.replace("/mqtt?", "/mqtx?"), 0, "404"],
  ];
  for (const [title, edit, offsetMs, status] of TRIES) {
    test(`answers ${title} with ${status}`, async () => {
      await using fake = await start({ account });
      const atMs = Date.now() + offsetMs;
      const url = edit(presignWebSocketUrl({ ...request, port: fake.httpsPort, atMs }));
      const { host, pathname, search } = new URL(url);
      expect(await askForWebSocket(fake.httpsPort, host, pathname + search)).toBe(status);
    });
  }

  async function askForWebSocket(port: number, host: string, target: string): Promise<string> {
    using client = await RawClient.open({ port, caFile });
    const answer = client.readText();
    const key = Buffer.alloc(16).toString("base64");
    client.write(
      Buffer.from(
        `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`,
      ),
    );
    return (await answer).split(" ")[1] ?? "";
  }
});
