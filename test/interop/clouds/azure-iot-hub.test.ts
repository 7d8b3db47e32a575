// The fake of Azure IoT Hub driven by azure-iot-device, and what that library sends compared with what our functions make
// of the same message, so that neither the fake nor the product is an invention of ours.
import { afterAll, expect, test } from "bun:test";
import { composeHubMessage } from "../../../agents/recv/targets/azure/property-bag.ts";
import {
  decodeSasKey,
  deviceResource,
  mintSas,
  moduleResource,
} from "../../../agents/recv/targets/azure/sas.ts";
import { IotHubFake, type IotHubOptions } from "../../fakes/azure-iot-hub.ts";
import { createCertificateSet } from "../../support/certificates.ts";
import { requireTools } from "../../support/requirements.ts";
import { Workspace } from "../../support/workspace.ts";
import { type HubPlan, type HubReport, runHubSdk } from "./azure-sdk.ts";

const workspace = new Workspace("hub-sdk");
const certificates = await createCertificateSet(workspace.directory);
afterAll(() => workspace.remove());

const HUB = "contoso.azure-devices.net";
const KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

function start(options: Partial<IotHubOptions> = {}): Promise<IotHubFake> {
  const devices = { MyDevice01: { keys: [KEY], modules: { mod1: [KEY] } }, client: { authority: true } };
  const { server, caFile } = certificates;
  return IotHubFake.start({ certificate: server, clientCaFile: caFile, hub: HUB, devices, ...options });
}

function drive(fake: IotHubFake, plan: HubPlan): Promise<HubReport> {
  return runHubSdk(fake, { hub: HUB, caFile: certificates.caFile, ...plan });
}

const DEVICE = { deviceId: "MyDevice01", key: KEY };
const HELLO = { body: "hello" };

requireTools(["node", "cloud sdks"])("azure-iot-device and IotHubFake", () => {
  test("the SDK connects and sends as a device and as a module, over TLS and over WebSocket, and by certificate", async () => {
    await using fake = await start();
    const plans: HubPlan[] = [
      DEVICE,
      { ...DEVICE, moduleId: "mod1" },
      { ...DEVICE, webSocket: true },
      { deviceId: "client", ...certificates.client },
    ];
    for (const plan of plans) {
      expect(await drive(fake, { ...plan, messages: [HELLO] })).toEqual({
        opened: "connected",
        sent: ["MessageEnqueued"],
      });
    }
    expect(
      fake.telemetry.map(({ deviceId, moduleId, body }) => [deviceId, moduleId, body.toString()]),
    ).toEqual([
      ["MyDevice01", undefined, "hello"],
      ["MyDevice01", "mod1", "hello"],
      ["MyDevice01", undefined, "hello"],
      ["client", undefined, "hello"],
    ]);
    expect(fake.records.connects.map(({ peer }) => peer.upgrade?.path)).toEqual([
      undefined,
      undefined,
      "/$iothub/websocket",
      undefined,
    ]);
  });

  test("the SDK is told that it is not authorised, with a wrong key and as an unknown device", async () => {
    await using fake = await start();
    for (const plan of [
      { ...DEVICE, key: "AAAA" },
      { ...DEVICE, deviceId: "other" },
      { ...DEVICE, webSocket: true, key: "AAAA" },
    ]) {
      expect(await drive(fake, plan)).toMatchObject({ opened: "UnauthorizedError" });
    }
    fake.clock.advance(2 * 3_600_000);
    expect(await drive(fake, DEVICE)).toMatchObject({ opened: "UnauthorizedError" });
    expect(fake.records.count("connect")).toEqual({
      "wrong signature": 2,
      "unknown device": 1,
      "401003 IoTHubUnauthorized: token expired": 1,
    });
  });

  test("the SDK loses the connection over a message that is too large", async () => {
    await using fake = await start();
    const report = await drive(fake, { ...DEVICE, messages: [{ size: 262_144, properties: [["a", "b"]] }] });
    expect(report.sent[0]).not.toBe("MessageEnqueued");
    expect(fake.records.count("publish")).toEqual({ "message too large": 1 });
  });

  test("the SDK's CONNECT is what we would send: names, and a token that mintSas() makes, too", async () => {
    await using fake = await start();
    await drive(fake, DEVICE);
    await drive(fake, { ...DEVICE, moduleId: "mod1" });
    const [device, module] = fake.records.connects.map(({ fields }) => fields);
    const resources = [deviceResource(HUB, "MyDevice01"), moduleResource(HUB, "MyDevice01", "mod1")];
    const names = ["MyDevice01", "MyDevice01/mod1"];
    for (const [at, fields] of [device, module].entries()) {
      const [username, password] = [String(fields?.username), String(fields?.password)];
      expect(fields).toEqual({
        protocolId: "MQTT",
        protocolVersion: 4,
        clean: false,
        keepalive: 180,
        clientId: names[at] ?? "",
        username,
        password,
      });
      expect(username).toStartWith(`${HUB}/${names[at]}/?api-version=2021-04-12`);
      const expirySeconds = Number(/&se=(\d+)/.exec(password)?.[1]);
      const wishes = {
        resource: resources[at] ?? "",
        key: decodeSasKey(KEY) ?? Buffer.alloc(0),
        expirySeconds,
      };
      expect(mintSas(wishes)).toBe(password);
    }
  });

  test("composeHubMessage() makes the topic that the SDK makes of the same message", async () => {
    await using fake = await start();
    // No "%" and nothing beyond ASCII: there the SDK sends what IoT Hub's documentation forbids, and we don't.
    const topics = [
      "plant/line1/temperature",
      "site1/line 2/a=b&c",
      "q'()*!~/\"\\^`|{}<>",
      "a?b;c:d@e,f$g[h]",
    ];
    const messages = topics.map((topic, at) => ({
      body: "x",
      system: { contentType: "application/json", contentEncoding: "utf-8" },
      properties: [
        ["topic", topic],
        ["iothub-creation-time-utc", "2030-01-02T03:04:05.678Z"],
        ["empty", ""],
        [`na me${at}/&=`, topic],
      ] as const,
    }));
    await drive(fake, { ...DEVICE, messages });
    const ours = topics.map((topic, at) => {
      const userProperties = [
        ["empty", ""],
        [`na me${at}/&=`, topic],
      ] as const;
      const message = {
        topic,
        payload: Buffer.from("x"),
        qos: 1,
        retain: false,
        properties: { contentType: "application/json", payloadFormat: 1, userProperties },
        acceptedMs: Date.UTC(2030, 0, 2, 3, 4, 5, 678),
      } as const;
      const rules = {
        topicProperty: "topic",
        eventTime: true,
        contentType: undefined,
        contentEncoding: undefined,
      };
      return composeHubMessage(message, { deviceId: "MyDevice01" }, rules);
    });
    expect(ours).toEqual(
      fake.records.taken.map(({ topic }, at) => ({ topic, bytes: fake.telemetry[at]?.bytes ?? Number.NaN })),
    );
    expect(fake.telemetry.map(({ application }) => application.topic)).toEqual(topics);
  });

  test("the SDK's PUBLISH is QoS 1 without retain", async () => {
    await using fake = await start();
    await drive(fake, { ...DEVICE, messages: [HELLO] });
    const capture = fake.records.capture();
    expect(JSON.parse(JSON.stringify(capture))).toEqual(capture);
    expect(capture.map(({ command }) => command)).toEqual(["connect", "publish", "disconnect", "close"]);
    expect(fake.records.taken.map(({ fields }) => fields)).toEqual([
      { topic: "devices/MyDevice01/messages/events/", payload: "hello", qos: 1, retain: false, dup: false },
    ]);
  });
});
