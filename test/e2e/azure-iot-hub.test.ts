// The target "azure-iot-hub" against a fake that enforces what IoT Hub enforces, and that Microsoft's own SDK has driven:
// every login, the property bag, tokens that end in mid-stream. What all types have in common: test/e2e/conformance.
import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { HubDevice } from "../fakes/azure/hub-rules.ts";
import { IotHubFake, type IotHubOptions } from "../fakes/azure-iot-hub.ts";
import { runSdk } from "../fakes/run-sdk.ts";
import type { CertificateSet } from "../support/certificates.ts";
import type { Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import { type TomlTable, toToml } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";
import { HUB, KEY, OTHER_KEY, openPlant, QUICK, settle, waitToSay } from "./azure-stage.ts";

type ConnectFields = IotHubFake["records"]["connects"][number]["fields"];

type Stage = {
  readonly site: Site;
  readonly fake: IotHubFake;
  readonly set: CertificateSet;
  readonly near: Publisher;
  /** May be changed while the fake runs. */
  readonly devices: Record<string, HubDevice>;
};

async function openStage(site: Site, options: Partial<IotHubOptions> = {}): Promise<Stage> {
  const { near, set } = await openPlant(site);
  const devices = { "plant-7": { keys: [KEY] }, ...options.devices };
  const fake = site.use(
    await IotHubFake.start({
      certificate: set.server,
      clientCaFile: set.caFile,
      hub: HUB,
      ...options,
      devices,
    }),
  );
  site.workspace.write("targets.d/device.key", `${KEY}\n`, 0o600);
  return { site, fake, set, near, devices };
}

function profile({ fake, set }: Stage, over: TomlTable = {}): TomlTable {
  return {
    type: "azure-iot-hub",
    hub: HUB,
    endpoint: `localhost:${fake.mqttPort}`,
    device_id: "plant-7",
    auth: "sas-key",
    device_key_file: "device.key",
    messages_per_second: 0,
    tls: { ca_file: set.caFile },
    ...QUICK,
    ...over,
  };
}

function writeHub(stage: Stage, name: string, over: TomlTable = {}): void {
  const { device_key_file: file, ...rest } = profile(stage, over);
  const table = rest.auth === "sas-key" ? { ...rest, device_key_file: file } : rest;
  stage.site.workspace.write(`targets.d/${name}.toml`, toToml(table));
}

requireTools(["mosquitto", "node", "cloud sdks"])("azure-iot-hub", () => {
  test("says what the SDK says: CONNECT, and each message field by field", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { fake, near, set } = stage;
    writeHub(stage, "hub");
    const { recv } = await site.startBoth();
    const topic = "plant/line 2/größe";
    await near.publish(topic, '{"t":20}', {
      qos: 2,
      retain: true,
      properties: {
        contentType: "application/json",
        payloadFormatIndicator: true,
        userProperties: { unit: "°C", "a&b": "c=d" },
      },
    });
    await settle(recv, 1);
    const [ours] = fake.telemetry;
    expect(ours).toMatchObject({ deviceId: "plant-7", moduleId: undefined, retain: false });
    expect(ours?.system).toEqual({ "$.ct": "application/json", "$.ce": "utf-8" });
    const { "iothub-creation-time-utc": time, ...application } = ours?.application ?? {};
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(
      Object.fromEntries(Object.entries(application).map(([k, v]) => [k, decodeURIComponent(v)])),
    ).toEqual({ topic, unit: "°C", "a&b": "c=d" });
    const plan = {
      hub: HUB,
      caFile: set.caFile,
      port: fake.mqttPort,
      deviceId: "plant-7",
      key: KEY,
      messages: [
        {
          body: '{"t":20}',
          system: { contentType: "application/json", contentEncoding: "utf-8" },
          properties: Object.entries(ours?.application ?? {}),
        },
      ],
    };
    const report = await runSdk<{ opened: string; sent: string[] }>("azure-device", plan);
    expect(report).toEqual({ opened: "connected", sent: ["MessageEnqueued"] });
    const [ourPublish, theirPublish] = fake.records.taken;
    expect(ourPublish?.fields).toEqual({ ...theirPublish?.fields });
    const [first, second] = fake.records.connects;
    const { password, username, keepalive, clean, ...same }: Partial<ConnectFields> = first?.fields ?? {};
    // The SDK adds its own name to the user name, keeps a session for subscriptions and pings less often.
    expect(second?.fields).toMatchObject(same);
    expect(String(second?.fields.username)).toStartWith(String(username));
    expect(username).toBe(`${HUB}/plant-7/?api-version=2021-04-12`);
    expect([keepalive, clean]).toEqual([30, true]);
    const shape = (token: unknown) => String(token).replace(/(sig|se)=[^&]+/g, "$1");
    expect(shape(password)).toBe(shape(second?.fields.password));
    expect(first?.fields).not.toHaveProperty("will");
    expect(recv.stderr).not.toContain(KEY);
  }, 60_000);

  test("logs in by policy, by group key, by certificate, as a module, over a WebSocket", async () => {
    await using site = await Site.open();
    const stage = await openStage(site, {
      devices: {
        one: {},
        client: { authority: true },
        four: { modules: { edge: [KEY] } },
        five: { keys: [KEY] },
      },
      policies: { device: { key: OTHER_KEY, deviceConnect: true } },
    });
    const { fake, near, set } = stage;
    const derived = createHmac("sha256", Buffer.from(OTHER_KEY, "base64")).update("two").digest("base64");
    stage.devices.two = { keys: [derived] };
    site.workspace.write("targets.d/other.key", `${OTHER_KEY}\n`, 0o600);
    writeHub(stage, "policy", {
      device_id: "one",
      auth: "sas-policy",
      policy_name: "device",
      policy_key_file: "other.key",
    });
    writeHub(stage, "group", { device_id: "two", auth: "sas-group", group_key_env: "GROUP_KEY" });
    const { certFile, keyFile } = set.client;
    writeHub(stage, "x509", {
      device_id: "client",
      auth: "x509",
      tls: { ca_file: set.caFile, cert_file: certFile, key_file: keyFile },
    });
    writeHub(stage, "module", { device_id: "four", module_id: "edge" });
    writeHub(stage, "websocket", {
      device_id: "five",
      websocket: true,
      endpoint: `localhost:${fake.httpsPort}`,
    });
    const recv = await waitUntilReady(site.startRecv({ env: { GROUP_KEY: OTHER_KEY } }));
    await waitUntilReady(site.startSend());
    await near.publish("plant/x", "1", { qos: 1 });
    await settle(recv, 1);
    expect(fake.telemetry.map(({ deviceId, moduleId = "" }) => deviceId + moduleId).sort()).toEqual([
      "client",
      "five",
      "fouredge",
      "one",
      "two",
    ]);
    for (const secret of [KEY, OTHER_KEY, derived, "SharedAccessSignature"])
      expect(recv.stderr).not.toContain(secret);
  }, 60_000);

  test("replaces its token before it ends, without losing, doubling or reordering a message", async () => {
    await using site = await Site.open();
    const stage = await openStage(site, { quotas: { sendsPerSecond: 1_000_000 } });
    const { fake, near } = stage;
    writeHub(stage, "hub", { sas_seconds: 10 });
    const { recv } = await site.startBoth();
    let count = 0;
    await waitFor(
      "two renewals",
      60_000,
      async () => {
        for (let burst = 0; burst < 20; burst++) await near.publish("t", String(count++), { qos: 1 });
        return fake.records.count("connect").accepted === 3;
      },
      () => recv.tail(),
    );
    const status = await settle(recv, count);
    expect(status.targets[0]?.ledger).toMatchObject({ forwarded: count, lost: {} });
    expect(fake.telemetry.map(({ body }) => Number(body.toString()))).toEqual(
      Array.from({ length: count }, (_, number) => number),
    );
    expect(fake.records.count("close")).toEqual({ "client DISCONNECT": 2 });
    const tokens = new Set(fake.records.connects.map(({ fields }) => fields.password));
    expect(tokens.size).toBe(3);
  }, 90_000);

  test("takes another token when the hub ends the connection over the old one, and another key without a restart", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { fake, near } = stage;
    writeHub(stage, "hub");
    const { recv } = await site.startBoth();
    await near.publish("t", "before", { qos: 1 });
    await settle(recv, 1);
    // The device gets another key, and the token of the old one ends.
    stage.devices["plant-7"] = { keys: [OTHER_KEY] };
    fake.dropAll({ reason: "401003 IoTHubUnauthorized" });
    await waitToSay(recv, "the broker refuses our login (0x05); check device_id, that the device is enabled");
    await near.publish("t", "after", { qos: 1 });
    writeFileSync(site.workspace.path("targets.d/device.key"), `${OTHER_KEY}\n`);
    await settle(recv, 2);
    expect(fake.telemetry.map(({ body }) => body.toString())).toEqual(["before", "after"]);
  }, 60_000);

  test("names what is wrong: an unknown device, a wrong key, a certificate of another device", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { set } = stage;
    writeHub(stage, "unknown", { device_id: "plant-8" });
    site.workspace.write("targets.d/other.key", OTHER_KEY, 0o600);
    writeHub(stage, "wrong-policy", {
      device_id: "plant-7",
      auth: "sas-policy",
      policy_name: "device",
      policy_key_file: "other.key",
    });
    const { certFile, keyFile } = set.client;
    writeHub(stage, "certificate", {
      device_id: "plant-9",
      auth: "x509",
      tls: { ca_file: set.caFile, cert_file: certFile, key_file: keyFile },
    });
    const recv = site.startRecv();
    await waitToSay(
      recv,
      "cannot connect target unknown: the broker refuses our login (0x05); check device_id",
    );
    await waitToSay(
      recv,
      "cannot connect target wrong-policy: the broker refuses our login (0x05); check that the device is there",
    );
    await waitToSay(
      recv,
      "cannot connect target certificate: the broker refuses our login (0x05); check device_id, that the device is enabled, and that the hub knows this certificate",
    );
    const status = await recv.readStatus<RecvStatus>();
    expect(status.targets.map(({ state }) => state)).toEqual(["down", "down", "down"]);
  }, 60_000);
});
