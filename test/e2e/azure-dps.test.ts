// An IoT Hub target whose hub and device the provisioning service assigns: by group key, device key and certificate, kept
// for the next start, asked for again when the hub does not know the device any more, and no sooner than it says.
import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { existsSync } from "node:fs";
import type { HubDevice } from "../fakes/azure/hub-rules.ts";
import { DpsFake } from "../fakes/azure-dps.ts";
import { IotHubFake } from "../fakes/azure-iot-hub.ts";
import type { CertificateSet } from "../support/certificates.ts";
import type { Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import { type TomlTable, toToml } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";
import { HUB, KEY, OTHER_KEY, openPlant, QUICK, settle, waitToSay } from "./azure-stage.ts";

const SCOPE = "0ne00ABCDEF";

type Stage = {
  readonly site: Site;
  readonly dps: DpsFake;
  readonly hub: IotHubFake;
  readonly set: CertificateSet;
  readonly near: Publisher;
  readonly devices: Record<string, HubDevice>;
};

async function openStage(site: Site): Promise<Stage> {
  const { near, set } = await openPlant(site);
  const derived = createHmac("sha256", Buffer.from(OTHER_KEY, "base64")).update("reg-1").digest("base64");
  const devices: Record<string, HubDevice> = {
    "device-reg-1": { keys: [derived] },
    "device-reg-2": { keys: [KEY] },
    client: { authority: true },
  };
  const fakes = { certificate: set.server, clientCaFile: set.caFile };
  const dps = site.use(
    await DpsFake.start({ ...fakes, idScope: SCOPE, groupKeys: [OTHER_KEY], deviceKeys: { "reg-2": KEY } }),
  );
  dps.rules.retryAfterSeconds = 1;
  dps.rules.assign = (id) => ({ hub: HUB, deviceId: id === "client" ? id : `device-${id}` });
  const hub = site.use(await IotHubFake.start({ ...fakes, hub: HUB, devices }));
  site.workspace.write("targets.d/group.key", OTHER_KEY, 0o600);
  site.workspace.write("targets.d/device.key", KEY, 0o600);
  return { site, dps, hub, set, near, devices };
}

function writeHub({ site, dps, hub, set }: Stage, name: string, over: TomlTable): void {
  const { registration_id: id = "reg-1", websocket = false, ...rest } = over;
  const [provisioning, connection] = websocket
    ? [dps.httpsPort, hub.httpsPort]
    : [dps.mqttPort, hub.mqttPort];
  const table = {
    type: "azure-iot-hub",
    endpoint: `localhost:${connection}`,
    websocket,
    tls: { ca_file: set.caFile },
    ...QUICK,
    ...rest,
    provisioning: { id_scope: SCOPE, registration_id: id, endpoint: `localhost:${provisioning}` },
  };
  site.workspace.write(`targets.d/${name}.toml`, toToml(table));
}

const GROUP = { auth: "sas-group", group_key_file: "group.key" };

requireTools(["mosquitto"])("azure-iot-hub with provisioning", () => {
  test("is assigned by group key, by device key over a WebSocket and by certificate, and waits as long as it is told", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { dps, hub, near, set } = stage;
    writeHub(stage, "group", GROUP);
    writeHub(stage, "key", {
      auth: "sas-key",
      device_key_file: "device.key",
      registration_id: "reg-2",
      websocket: true,
    });
    const tls = { ca_file: set.caFile, cert_file: set.client.certFile, key_file: set.client.keyFile };
    writeHub(stage, "x509", { auth: "x509", registration_id: "client", tls });
    const { recv } = await site.startBoth();
    await near.publish("plant/x", "1", { qos: 1 });
    await settle(recv, 1);
    const names = hub.telemetry.map(({ deviceId }) => deviceId);
    expect(names.sort()).toEqual(["client", "device-reg-1", "device-reg-2"]);
    expect(dps.rules.impatience).toBe(0);
    expect(dps.records.others("subscribe").map(({ fields }) => fields.subscriptions)).toEqual(
      Array(3).fill([{ topic: "$dps/registrations/res/#", qos: 1 }]),
    );
    expect(hub.records.others("subscribe")).toEqual([]);
    for (const secret of [KEY, OTHER_KEY, "SharedAccessSignature"]) expect(recv.stderr).not.toContain(secret);
  }, 60_000);

  test("keeps the assignment for the next start, while the service is away", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { dps, hub, near } = stage;
    writeHub(stage, "hub", GROUP);
    dps.rules.throttles = 1;
    const { recv: first } = await site.startBoth();
    await near.publish("t", "1", { qos: 1 });
    await settle(first, 1);
    expect(existsSync(site.workspace.path("spool/hub.provisioned.json"))).toBe(true);
    await first.stop();
    for (const door of dps.doors) door.shut = true;
    const again = await waitUntilReady(site.startRecv());
    await near.publish("t", "2", { qos: 1 });
    await settle(again, 2);
    expect(hub.telemetry.map(({ body }) => body.toString())).toEqual(["1", "2"]);
    expect(dps.rules.registrations).toEqual(["reg-1"]);
    expect(dps.rules.impatience).toBe(0);
  }, 60_000);

  test("asks anew when the hub has not known the device for long, and goes on at the other hub", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { dps, hub, near, devices } = stage;
    writeHub(stage, "hub", GROUP);
    // What an earlier run was told: a hub that the device has since been moved from.
    const old = {
      idScope: SCOPE,
      registrationId: "reg-1",
      hub: "old.azure-devices.net",
      deviceId: "device-reg-1",
    };
    site.workspace.write("spool/hub.provisioned.json", JSON.stringify(old), 0o600);
    const { recv } = await site.startBoth();
    await near.publish("t", "1", { qos: 1 });
    await settle(recv, 1);
    expect(hub.records.count("connect")).toEqual({
      "user name has another hub": expect.any(Number),
      accepted: 1,
    });
    expect(dps.rules.registrations).toEqual(["reg-1"]);
    expect(Object.keys(devices)).toContain("device-reg-1");
    await waitToSay(recv, "the hub refuses us again and again; asking the provisioning service anew");
  }, 60_000);

  test("goes on under another name without a restart, with all that was on its way under the old one", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { dps, hub, near, devices } = stage;
    writeHub(stage, "hub", GROUP);
    const known = { idScope: SCOPE, registrationId: "reg-1", hub: HUB, deviceId: "device-reg-1" };
    site.workspace.write("spool/hub.provisioned.json", JSON.stringify(known), 0o600);
    const { recv } = await site.startBoth();
    await near.publish("t", "1", { qos: 1 });
    await settle(recv, 1);
    hub.faults.discardPublishes = 1000;
    for (const number of ["2", "3"]) await near.publish("t", number, { qos: 1 });
    await waitFor(
      "both to be on their way",
      20_000,
      () => hub.records.count("publish")["discard by the test"] === 2,
      () => recv.tail(),
    );
    const { "device-reg-1": device = {} } = devices;
    delete devices["device-reg-1"];
    devices.renamed = device;
    dps.rules.assign = () => ({ hub: HUB, deviceId: "renamed" });
    hub.dropAll();
    hub.faults.discardPublishes = 0;
    await near.publish("t", "4", { qos: 1 });
    const { targets } = await settle(recv, 4);
    expect(targets[0]?.ledger).toMatchObject({ forwarded: 4, lost: {} });
    expect(hub.telemetry.map(({ deviceId, body }) => `${deviceId} ${body}`)).toEqual([
      "device-reg-1 1",
      "renamed 2",
      "renamed 3",
      "renamed 4",
    ]);
  }, 60_000);

  test("says what the provisioning service says: no such enrolment, disabled, a wrong key", async () => {
    await using site = await Site.open();
    const stage = await openStage(site);
    const { dps, near } = stage;
    dps.rules.assign = (id) => (id === "reg-1" ? "not-found" : "disabled");
    writeHub(stage, "unknown", GROUP);
    writeHub(stage, "disabled", { ...GROUP, registration_id: "reg-3" });
    writeHub(stage, "wrong", { ...GROUP, group_key_file: "device.key", registration_id: "reg-4" });
    const { recv } = await site.startBoth();
    await near.publish("t", "1", { qos: 1 });
    await waitToSay(
      recv,
      "the provisioning service knows no such enrolment; check id_scope and registration_id: Enrollment not found",
    );
    await waitToSay(recv, "the enrolment is disabled; have it enabled");
    await waitToSay(recv, "target wrong (provisioning): the broker refuses our login (0x05); check id_scope");
    await waitFor(
      "status",
      10_000,
      async () => {
        const { targets } = await recv.readStatus<RecvStatus>();
        return targets.every(({ problem, ledger }) => problem !== null && ledger.held === 1);
      },
      () => recv.tail(),
    );
    // It has a target that never began to connect, and stops in good order all the same.
    expect(await recv.stop()).toBe(0);
    expect(recv.stderr).not.toContain("TypeError");
  }, 60_000);
});
