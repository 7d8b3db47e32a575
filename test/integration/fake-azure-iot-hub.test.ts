// The fake of Azure IoT Hub, asked for each rule it claims to keep by a client that keeps none. That a client which keeps
// them all gets through is shown with the vendor's own SDK (test/interop/clouds).
import { afterAll, describe, expect, test } from "bun:test";
import type { IConnectPacket, IPublishPacket } from "mqtt-packet";
import {
  allDevicesResource,
  decodeSasKey,
  deviceResource,
  mintSas,
  moduleResource,
} from "../../agents/recv/targets/azure/sas.ts";
import { IotHubFake, type IotHubOptions } from "../fakes/azure-iot-hub.ts";
import { RawClient } from "../fakes/raw-client.ts";
import { type CertificateFiles, createCertificateSet } from "../support/certificates.ts";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";

const workspace = new Workspace("fake-hub");
const certificates = await createCertificateSet(workspace.directory);
const { caFile } = certificates;
afterAll(() => workspace.remove());

const HUB = "contoso.azure-devices.net";
const [KEY, OTHER_KEY] = ["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "b3RoZXI="];
const EVENTS = "devices/dev/messages/events/";

function start(options: Partial<IotHubOptions> = {}): Promise<IotHubFake> {
  return IotHubFake.start({
    certificate: certificates.server,
    clientCaFile: caFile,
    hub: HUB,
    devices: {
      dev: { keys: [OTHER_KEY, KEY], modules: { mod: [KEY] } },
      off: { keys: [KEY], disabled: true },
      client: { authority: true },
    },
    policies: { device: { key: KEY, deviceConnect: true }, reader: { key: KEY, deviceConnect: false } },
    ...options,
  });
}

type Token = { resource?: string; key?: string; seconds?: number; policy?: string };

function mint({
  resource = deviceResource(HUB, "dev"),
  key = KEY,
  seconds = 3600,
  policy,
}: Token = {}): Buffer {
  const expirySeconds = Math.floor(Date.now() / 1000) + seconds;
  const wishes = { resource, key: decodeSasKey(key) ?? Buffer.alloc(0), expirySeconds };
  return Buffer.from(mintSas(policy === undefined ? wishes : { ...wishes, policy }));
}

const GOOD: Partial<IConnectPacket> = {
  clientId: "dev",
  username: `${HUB}/dev/?api-version=2021-04-12`,
  password: mint(),
};

async function open(fake: IotHubFake, certificate?: CertificateFiles): Promise<RawClient> {
  return RawClient.open({ port: fake.mqttPort, caFile, certificate });
}

async function openSession(fake: IotHubFake, changes: Partial<IConnectPacket> = {}): Promise<RawClient> {
  const client = await open(fake);
  expect(await client.connect({ ...GOOD, ...changes })).toBe(0);
  return client;
}

describe("IotHubFake at the door", () => {
  const module = { clientId: "dev/mod", username: `${HUB}/dev/mod/?api-version=2021-04-12` };
  const policy = { resource: allDevicesResource(HUB), policy: "device" };
  const CONNECTS: [title: string, changes: Partial<IConnectPacket>, code: number | "closed"][] = [
    ["a device's token", {}, 0],
    ["an expiry four minutes ago, which clocks may differ by", { password: mint({ seconds: -240 }) }, 0],
    ["an expiry six minutes ago", { password: mint({ seconds: -360 }) }, 5],
    ["a wrong key", { password: mint({ key: "AAAA" }) }, 5],
    ["another device's resource", { password: mint({ resource: deviceResource(HUB, "dex") }) }, 5],
    ["a device's key for all devices", { password: mint({ resource: allDevicesResource(HUB) }) }, 5],
    ["no token and no certificate", { password: Buffer.alloc(0) }, 5],
    ["a token cut short", { password: mint().subarray(0, 60) }, 5],
    ["a policy's token for all devices", { password: mint(policy) }, 0],
    ["a policy without DeviceConnect", { password: mint({ ...policy, policy: "reader" }) }, 5],
    ["an unknown policy", { password: mint({ ...policy, policy: "x" }) }, 5],
    ["a module's token", { ...module, password: mint({ resource: moduleResource(HUB, "dev", "mod") }) }, 0],
    ["a device's token for a module", module, 5],
    [
      "an unknown device",
      { clientId: "dex", username: `${HUB}/dex/?api-version=2021-04-12`, password: mint(policy) },
      5,
    ],
    [
      "a disabled device",
      { clientId: "off", username: `${HUB}/off/?api-version=2021-04-12`, password: mint(policy) },
      5,
    ],
    ["a client id that differs", { clientId: "dex" }, 2],
    ["another hub", { username: "x.azure-devices.net/dev/?api-version=2021-04-12" }, 5],
    ["no api-version", { username: `${HUB}/dev/` }, 4],
    ["a user name without the slash", { username: `${HUB}/dev?api-version=2021-04-12` }, 4],
    ["MQTT 5", { protocolVersion: 5 }, "closed"],
    ["a will to a topic of one's own", { will: { topic: "a", payload: Buffer.from("x"), qos: 1 } }, "closed"],
    ["a will that is telemetry", { will: { topic: EVENTS, payload: Buffer.from("x"), qos: 1 } }, 0],
  ];
  for (const [title, changes, code] of CONNECTS) {
    test(`answers ${title} with ${code}`, async () => {
      await using fake = await start();
      using client = await open(fake);
      expect(await client.connect({ ...GOOD, ...changes })).toBe(code);
    });
  }

  test("takes a certificate by authority and name, or by thumbprint, and no other", async () => {
    const x509 = { clientId: "client", username: `${HUB}/client/?api-version=2021-04-12` };
    await using fake = await start();
    using byAuthority = await open(fake, certificates.client);
    expect(await byAuthority.connect(x509)).toBe(0);
    const { fingerprint = "" } = fake.records.connects[0]?.peer.certificate ?? {};
    using stranger = await open(fake, certificates.strangerClient);
    expect(await stranger.connect(x509)).toBe(5);
    using another = await open(fake, certificates.client);
    expect(
      await another.connect({ ...x509, clientId: "dev", username: `${HUB}/dev/?api-version=2021-04-12` }),
    ).toBe(5);
    await using second = await start({ devices: { dev: { thumbprints: [fingerprint] } } });
    using byThumbprint = await open(second, certificates.client);
    expect(await byThumbprint.connect({ ...GOOD, password: Buffer.alloc(0) })).toBe(0);
  });

  test("ends the older of two connections of one device", async () => {
    await using fake = await start();
    using older = await openSession(fake);
    using newer = await openSession(fake);
    expect(await older.farewell()).toBe("closed");
    expect(fake.records.count("close")).toEqual({ "400027 ConnectionForcefullyClosedOnNewConnection": 1 });
    expect(newer.closed).toBe(false);
  });

  test("severs a connection when its token expires, not before", async () => {
    await using fake = await start();
    using client = await openSession(fake, { keepalive: 0 });
    using other = await open(fake);
    const password = mint({ resource: moduleResource(HUB, "dev", "mod"), seconds: 7200 });
    expect(await other.connect({ ...module, password, keepalive: 0 })).toBe(0);
    // In steps, each with a sign of life: the hub lets nobody be silent for longer than half an hour.
    for (let step = 0; step < 3; step += 1) {
      fake.clock.advance(1_196_000);
      await client.settle();
      await other.settle();
    }
    expect(client.closed).toBe(false);
    fake.clock.advance(20_000);
    expect(await client.farewell()).toBe("closed");
    await other.settle();
    expect(other.closed).toBe(false);
    using again = await open(fake);
    fake.clock.advance(400_000);
    expect(await again.connect(GOOD)).toBe(5);
  });

  test("severs what has a token, and nothing else, when a test says that tokens have expired", async () => {
    await using fake = await start();
    using client = await openSession(fake);
    using other = await open(fake, certificates.client);
    expect(
      await other.connect({ clientId: "client", username: `${HUB}/client/?api-version=2021-04-12` }),
    ).toBe(0);
    fake.expireCredentials();
    expect(await client.farewell()).toBe("closed");
    await other.settle();
    expect(other.closed).toBe(false);
    using _again = await openSession(fake);
  });

  test("takes so many connections a second", async () => {
    await using fake = await start({ quotas: { connectsPerSecond: 2 } });
    using _first = await openSession(fake);
    using _second = await openSession(fake);
    using third = await open(fake);
    expect(await third.connect(GOOD)).toBe("closed");
    fake.clock.advance(500);
    using _fourth = await openSession(fake);
  });

  test("grants the documented subscriptions and no other", async () => {
    await using fake = await start();
    using client = await openSession(fake);
    client.send({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [{ topic: "devices/dev/messages/devicebound/#", qos: 2 }],
    });
    await waitFor("SUBACK", 5000, () =>
      client.received.some((packet) => packet.cmd === "suback" && packet.granted[0] === 1),
    );
    client.send({ cmd: "subscribe", messageId: 2, subscriptions: [{ topic: "#", qos: 0 }] });
    expect(await client.farewell()).toBe("closed");
  });
});

describe("IotHubFake and what is published", () => {
  const bag = "%24.ct=application%2Fjson&topic=a%2Fb";
  const counted = "application/json".length + "topic".length + "a/b".length;
  const PUBLISHES: [title: string, changes: Partial<IPublishPacket>, answer: number | string][] = [
    ["an empty bag", { topic: EVENTS }, 0],
    ["a bag", { topic: EVENTS + bag }, 0],
    ["262,144 bytes as the hub counts", { topic: EVENTS + bag, payload: Buffer.alloc(262_144 - counted) }, 0],
    [
      "262,145 bytes as the hub counts",
      { topic: EVENTS + bag, payload: Buffer.alloc(262_145 - counted) },
      "closed",
    ],
    ["a retained message", { topic: EVENTS, retain: true }, 0],
    ["QoS 2", { topic: EVENTS, qos: 2 }, "closed"],
    ["no slash at the end", { topic: "devices/dev/messages/events" }, "closed"],
    ["a slash at the start", { topic: `/${EVENTS}` }, "closed"],
    ["a topic of one's own", { topic: "a/b" }, "closed"],
    ["another device's telemetry", { topic: "devices/dex/messages/events/" }, "closed"],
    ["its module's telemetry", { topic: "devices/dev/modules/mod/messages/events/" }, "closed"],
    ["a property beyond ASCII", { topic: `${EVENTS}a=%C3%A4` }, "closed"],
    ["a property with a stray equals sign", { topic: `${EVENTS}a=b=c` }, "closed"],
    ["a property with a broken escape", { topic: `${EVENTS}a=%4` }, "closed"],
  ];
  for (const [title, changes, answer] of PUBLISHES) {
    test(`answers ${title} with ${answer}`, async () => {
      await using fake = await start();
      using client = await openSession(fake);
      expect(await client.publishAndWait(changes)).toBe(answer);
      expect(fake.telemetry).toHaveLength(answer === 0 ? 1 : 0);
    });
  }

  test("reads the property bag", async () => {
    await using fake = await start();
    using client = await openSession(fake);
    await client.publishAndWait({ topic: `${EVENTS + bag}&empty=&p%20q=%26`, payload: "hi", retain: true });
    expect(fake.telemetry).toEqual([
      {
        deviceId: "dev",
        moduleId: undefined,
        system: { "$.ct": "application/json" },
        application: { topic: "a/b", empty: "", "p q": "&" },
        bytes: 2 + counted + "empty".length + "p q&".length,
        body: Buffer.from("hi"),
        retain: true,
      },
    ]);
  });

  test("acknowledges late past its rate, then not at all", async () => {
    await using fake = await start({ quotas: { sendsPerSecond: 10, shapingSeconds: 0.5 } });
    using client = await openSession(fake);
    const nowMs = fake.clock.now();
    fake.clock.now = () => nowMs;
    for (let count = 0; count < 20; count += 1) client.publish({ topic: EVENTS });
    await client.settle();
    expect(client.count("puback")).toBe(10);
    expect(fake.records.count("publish")).toEqual({ taken: 15, "429 ThrottlingException": 5 });
    await waitFor("late acknowledgements", 5000, () => client.count("puback") === 15);
    expect(client.closed).toBe(false);
  });
});
