// The fake of Event Grid's MQTT broker, asked for each rule it claims to keep by a client that keeps none. That other
// people's clients get through is shown in test/interop/clouds.
import { afterAll, describe, expect, test } from "bun:test";
import type { IConnectPacket, IPublishPacket } from "mqtt-packet";
import { EventGridFake, type EventGridFakeOptions } from "../fakes/azure-event-grid.ts";
import { RawClient } from "../fakes/raw-client.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";

const workspace = new Workspace("fake-grid");
const certificates = await createCertificateSet(workspace.directory);
const { caFile } = certificates;
afterAll(() => workspace.remove());

const V5: Partial<IConnectPacket> = { protocolVersion: 5, username: "client", clientId: "session-1" };
const V3: Partial<IConnectPacket> = { username: "client", clientId: "session-1" };

function start(options: Partial<EventGridFakeOptions> = {}): Promise<EventGridFake> {
  const { server } = certificates;
  return EventGridFake.start({ certificate: server, clientCaFile: caFile, clients: ["client"], ...options });
}

function open(fake: EventGridFake, certificate = true): Promise<RawClient> {
  return RawClient.open({
    port: fake.mqttPort,
    caFile,
    certificate: certificate ? certificates.client : undefined,
  });
}

async function openSession(fake: EventGridFake, changes: Partial<IConnectPacket> = V5): Promise<RawClient> {
  const client = await open(fake);
  expect(await client.connect(changes)).toBe(0);
  return client;
}

function withToken(token: string, method = "OAUTH2-JWT"): Partial<IConnectPacket> {
  const properties = { authenticationMethod: method, authenticationData: Buffer.from(token) };
  return { protocolVersion: 5, clientId: "session-1", keepalive: 0, properties };
}

describe("EventGridFake at the door", () => {
  const CONNECTS: [title: string, changes: Partial<IConnectPacket>, mqtt5: number, mqtt3: number][] = [
    ["a certificate's name", {}, 0, 0],
    ["another name", { username: "other" }, 0x87, 5],
    ["no client id", { clientId: "" }, 0x85, 2],
  ];
  for (const [title, changes, mqtt5, mqtt3] of CONNECTS) {
    test(`answers ${title} with 0x${mqtt5.toString(16)} and ${mqtt3}`, async () => {
      await using fake = await start();
      using five = await open(fake);
      expect(await five.connect({ ...V5, ...changes })).toBe(mqtt5);
      fake.clock.advance(1000);
      using four = await open(fake);
      expect(await four.connect({ ...V3, ...changes })).toBe(mqtt3);
    });
  }

  test("refuses a stranger's certificate, one that is not registered, and none", async () => {
    await using fake = await start({ clients: ["stranger-client"] });
    const { strangerClient, client } = certificates;
    for (const certificate of [strangerClient, client, undefined]) {
      using raw = await RawClient.open({ port: fake.mqttPort, caFile, certificate });
      expect(await raw.connect(V5)).toBe(0x87);
    }
  });

  test("refuses a CONNECT with user properties", async () => {
    await using fake = await start();
    using client = await open(fake);
    expect(await client.connect({ ...V5, properties: { userProperties: { a: "b" } } })).toBe(0x82);
  });

  test("announces its limits", async () => {
    await using fake = await start();
    using client = await openSession(fake, { ...V5, keepalive: 2000 });
    const connack = client.received[0];
    expect(connack?.cmd === "connack" ? connack.properties : undefined).toMatchObject({
      maximumQoS: 1,
      maximumPacketSize: 524_288,
      topicAliasMaximum: 10,
      serverKeepAlive: 1160,
      retainAvailable: true,
    });
  });

  test("takes one CONNECT a second for each session, and the newer takes over", async () => {
    await using fake = await start();
    using first = await openSession(fake);
    using soon = await open(fake);
    expect(await soon.connect(V5)).toBe(0x9f);
    fake.clock.advance(1000);
    using _later = await openSession(fake);
    expect(await first.farewell()).toBe("closed 0x8e");
  });

  test("counts sessions that are kept while nobody is connected", async () => {
    await using fake = await start();
    const kept = await openSession(fake, { ...V5, properties: { sessionExpiryInterval: 60 } });
    kept.send({ cmd: "disconnect", reasonCode: 0 });
    await kept.farewell();
    using second = await open(fake);
    expect(await second.connect({ ...V5, clientId: "session-2" })).toBe(0x97);
    fake.clock.advance(1000);
    const clean = await openSession(fake);
    clean.send({ cmd: "disconnect", reasonCode: 0 });
    await clean.farewell();
    fake.clock.advance(1000);
    using _third = await openSession(fake, { ...V5, clientId: "session-2" });
  });
});

describe("EventGridFake and tokens", () => {
  test("takes a token, ends at its expiry, and takes no expired or foreign one", async () => {
    await using fake = await start();
    using client = await open(fake, false);
    expect(await client.connect(withToken(fake.issueToken("app", 600)))).toBe(0);
    fake.clock.advance(601_000);
    expect(await client.farewell()).toBe("closed 0x87");
    await using other = await start();
    const tries: [changes: Partial<IConnectPacket>, code: number][] = [
      [withToken(fake.issueToken("app", -1)), 0x87],
      [withToken(fake.issueToken("app", 600, "https://other.example/")), 0x87],
      [withToken(other.issueToken("app", 600)), 0x87],
      [withToken(`${fake.issueToken("app", 600)}x`), 0x87],
      [withToken("nonsense"), 0x87],
      [withToken(fake.issueToken("app", 600), "CUSTOM-JWT"), 0x8c],
    ];
    for (const [changes, code] of tries) {
      using stranger = await open(fake, false);
      expect(await stranger.connect(changes)).toBe(code);
    }
  });

  test("takes a new token in the middle of a session", async () => {
    await using fake = await start();
    using client = await open(fake, false);
    expect(await client.connect(withToken(fake.issueToken("app", 600)))).toBe(0);
    renew(client, fake.issueToken("app", 1200));
    await waitFor("AUTH", 5000, () => client.count("auth") === 1);
    fake.clock.advance(601_000);
    await client.settle();
    expect(client.closed).toBe(false);
    fake.clock.advance(600_000);
    expect(await client.farewell()).toBe("closed 0x87");
  });

  test("ends a session over a bad new token, or another client's", async () => {
    for (const subject of ["expired", "other"]) {
      await using fake = await start();
      using client = await open(fake, false);
      expect(await client.connect(withToken(fake.issueToken("app", 600)))).toBe(0);
      renew(
        client,
        fake.issueToken(subject === "expired" ? "app" : subject, subject === "expired" ? -1 : 600),
      );
      expect(await client.farewell()).toBe("closed 0x87");
    }
  });

  function renew(client: RawClient, token: string): void {
    const properties = { authenticationMethod: "OAUTH2-JWT", authenticationData: Buffer.from(token) };
    client.send({ cmd: "auth", reasonCode: 0x19, properties });
  }
});

describe("EventGridFake and what is published", () => {
  const deep = (levels: number): string => Array<string>(levels).fill("a").join("/");
  // "a/b", its length, packet id, an empty list of properties, and a fixed header of four bytes.
  const HEADER_BYTES = 12;
  const PUBLISHES: [title: string, changes: Partial<IPublishPacket>, answer: number | string][] = [
    ["524,288 bytes", { payload: Buffer.alloc(524_288 - HEADER_BYTES) }, 0],
    ["524,289 bytes", { payload: Buffer.alloc(524_289 - HEADER_BYTES) }, "closed 0x95"],
    ["a topic of 256 bytes", { topic: "x".repeat(256) }, 0],
    ["a topic of 257 bytes", { topic: "x".repeat(257) }, "closed 0x90"],
    ["15 segments", { topic: deep(15) }, 0],
    ["16 segments", { topic: deep(16) }, "closed 0x90"],
    ["QoS 2", { qos: 2 }, "closed 0x9b"],
    ["a content type of 256 bytes", { properties: { contentType: "x".repeat(256) } }, 0],
    ["a content type of 257 bytes", { properties: { contentType: "x".repeat(257) } }, "closed 0x97"],
    ["user properties of 32,768 bytes", { properties: { userProperties: { a: "x".repeat(32_767) } } }, 0],
    [
      "user properties of 32,769 bytes",
      { properties: { userProperties: { a: "x".repeat(32_768) } } },
      "closed 0x97",
    ],
    ["a retained message", { retain: true }, 0],
    [
      "a retained message of more than 65,536 bytes",
      { retain: true, payload: Buffer.alloc(65_536) },
      "closed 0x97",
    ],
    ["a topic that no binding grants", { topic: "secret" }, 0x87],
    ["topic alias 10", { properties: { topicAlias: 10 } }, 0],
    ["topic alias 11", { properties: { topicAlias: 11 } }, "closed 0x94"],
  ];
  for (const [title, changes, answer] of PUBLISHES) {
    test(`answers ${title} with ${answer}`, async () => {
      await using fake = await start({
        mayPublish: ["a/#", "+"].filter((filter) => changes.topic !== "secret" || filter !== "+"),
      });
      using client = await openSession(fake);
      expect(await client.publishAndWait(changes)).toBe(answer);
      expect(fake.records.taken).toHaveLength(answer === 0 ? 1 : 0);
    });
  }

  test("ends a connection over retain where retain is unknown", async () => {
    await using fake = await start({ retain: false });
    using five = await openSession(fake);
    expect(await five.publishAndWait({ retain: true })).toBe("closed 0x9a");
    fake.clock.advance(1000);
    using four = await openSession(fake, V3);
    expect(await four.publishAndWait({ retain: true })).toBe("closed");
  });

  test("ends a connection over more than 1,000 messages or 64 KB in flight, and lets one large message be alone", async () => {
    await using fake = await start({ quotas: { publishesPerSecond: 5000, sessionsPerName: 3 } });
    fake.faults.holdAcknowledgements = true;
    using many = await openSession(fake, { ...V5, clientId: "many" });
    for (let count = 0; count < 1000; count += 1) many.publish();
    await many.settle();
    expect(many.closed).toBe(false);
    many.publish();
    expect(await many.farewell()).toBe("closed 0x93");
    using large = await openSession(fake, { ...V5, clientId: "large" });
    large.publish({ payload: Buffer.alloc(100_000) });
    await large.settle();
    expect(large.closed).toBe(false);
    large.publish();
    expect(await large.farewell()).toBe("closed 0x97");
    using exact = await openSession(fake, { ...V5, clientId: "exact" });
    // A header of three bytes holds a length below 16,384 … and each of these packets is 16,384 bytes in all.
    for (let count = 0; count < 4; count += 1) exact.publish({ payload: Buffer.alloc(16_384 - 11) });
    await exact.settle();
    expect(exact.closed).toBe(false);
    exact.publish();
    expect(await exact.farewell()).toBe("closed 0x97");
  });

  test("ends a connection that publishes more than 1,000 a second, or more than a megabyte", async () => {
    await using fake = await start({ quotas: { sessionsPerName: 2 } });
    const nowMs = fake.clock.now();
    fake.clock.now = () => nowMs;
    using many = await openSession(fake, { ...V5, clientId: "many" });
    for (let count = 0; count < 1001; count += 1) many.publish({ qos: 0 });
    expect(await many.farewell()).toBe("closed 0x97");
    expect(fake.records.taken).toHaveLength(1000);
    using large = await openSession(fake, { ...V5, clientId: "large" });
    for (let count = 0; count < 3; count += 1) large.publish({ qos: 0, payload: Buffer.alloc(400_000) });
    expect(await large.farewell()).toBe("closed 0x97");
    expect(fake.records.taken).toHaveLength(1002);
  });
});
