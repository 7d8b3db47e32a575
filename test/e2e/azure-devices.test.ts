// Identity translation to IoT Hub: each source is a device of its own, with a connection of its own, in a bounded pool. A
// device that the hub does not know holds nobody up, and nothing is lost while none can log in.
import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { HubDevice } from "../fakes/azure/hub-rules.ts";
import { IotHubFake, type IotHubOptions } from "../fakes/azure-iot-hub.ts";
import { waitForLetters } from "../support/letters.ts";
import type { Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import { type TomlTable, toToml } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";
import { HUB, KEY, OTHER_KEY, openPlant, QUICK, settle, waitToSay } from "./azure-stage.ts";

type Stage = {
  readonly fake: IotHubFake;
  readonly near: Publisher;
  readonly devices: Record<string, HubDevice>;
};

const POLICY = { auth: "sas-policy", policy_name: "device", policy_key_file: "policy.key" };

async function openStage(
  site: Site,
  names: readonly string[],
  over: TomlTable = {},
  options: Partial<IotHubOptions> = {},
): Promise<Stage> {
  const { near, set } = await openPlant(site);
  const devices: Record<string, HubDevice> = Object.fromEntries(names.map((name) => [name, {}]));
  const fake = site.use(
    await IotHubFake.start({
      certificate: set.server,
      clientCaFile: set.caFile,
      hub: HUB,
      devices,
      policies: { device: { key: KEY, deviceConnect: true } },
      quotas: { sendsPerSecond: 100_000, connectsPerSecond: 10_000 },
      ...options,
    }),
  );
  site.workspace.write("targets.d/policy.key", KEY, 0o600);
  const { identity, ...rest } = over;
  const table = {
    type: "azure-iot-hub",
    hub: HUB,
    endpoint: `localhost:${fake.mqttPort}`,
    messages_per_second: 0,
    tls: { ca_file: set.caFile },
    ...QUICK,
    ...(rest.auth === undefined ? POLICY : {}),
    ...rest,
    identity: {
      match: "plant/{line}/{sensor}/#",
      device_id: "{line}-{sensor}",
      ...(identity as TomlTable | undefined),
    },
  };
  site.workspace.write("targets.d/hub.toml", toToml(table));
  return { fake, near, devices };
}

/** What each device has sent, in order. */
function sentBy(fake: IotHubFake): Record<string, number[]> {
  const sent: Record<string, number[]> = {};
  for (const { deviceId, body } of fake.telemetry) {
    sent[deviceId] ??= [];
    sent[deviceId].push(Number(body.toString()));
  }
  return sent;
}

requireTools(["mosquitto"])("azure-iot-hub with identity", () => {
  test("sends as the device that the topic names, in order, and says of topics that name none", async () => {
    await using site = await Site.open();
    const { fake, near } = await openStage(site, ["a-1", "a-2", "b-1"]);
    const { recv } = await site.startBoth();
    for (let number = 0; number < 30; number++)
      for (const place of ["a/1", "a/2", "b/1"])
        await near.publish(`plant/${place}/t`, String(number), { qos: 1 });
    await near.publish("other/x", "1", { qos: 1 });
    await near.publish("plant/ä/1/t", "1", { qos: 1 });
    const status = await settle(recv, 92);
    const numbers = Array.from({ length: 30 }, (_, number) => number);
    expect(sentBy(fake)).toEqual({ "a-1": numbers, "a-2": numbers, "b-1": numbers });
    expect(status.targets[0]).toMatchObject({
      state: "connected",
      connections: 3,
      ledger: { forwarded: 90, lost: { "no-identity": 2 } },
    });
    expect(fake.telemetry[0]?.application.topic).toBe("plant/a/1/t");
    const letters = await waitForLetters(site, (text) => text.includes("\n2 dead letters\n"));
    expect(letters).toContain("its topic does not match identity.match, so it names no device");
    expect(letters).toContain("cannot be a device id");
  }, 60_000);

  test("derives a key for each device, and disconnects those that are idle", async () => {
    await using site = await Site.open();
    const key = (id: string) =>
      createHmac("sha256", Buffer.from(OTHER_KEY, "base64")).update(id).digest("base64");
    const { fake, near, devices } = await openStage(site, [], {
      auth: "sas-group",
      group_key_file: "group.key",
      identity: { idle_seconds: 1 },
    });
    for (const id of ["a-1", "a-2"]) devices[id] = { keys: [key(id)] };
    site.workspace.write("targets.d/group.key", OTHER_KEY, 0o600);
    const { recv } = await site.startBoth();
    for (const place of ["a/1", "a/2"]) await near.publish(`plant/${place}`, "1", { qos: 1 });
    await settle(recv, 2);
    await waitFor(
      "all to be idle",
      20_000,
      () => fake.sessions.length === 0,
      () => recv.tail(),
    );
    await near.publish("plant/a/1", "2", { qos: 1 });
    const { targets } = await settle(recv, 3);
    expect(targets[0]?.ledger).toMatchObject({ forwarded: 3, lost: {} });
    expect(sentBy(fake)).toEqual({ "a-1": [1, 2], "a-2": [1] });
    expect(fake.records.count("close")).toMatchObject({ "client DISCONNECT": expect.any(Number) });
  }, 60_000);

  test("has no more connections than it may, whatever the number of devices", async () => {
    await using site = await Site.open();
    const names = Array.from({ length: 12 }, (_, n) => `l-${n}`);
    const { fake, near } = await openStage(site, names, { identity: { connections_max: 3 } });
    const { recv } = await site.startBoth();
    let most = 0;
    const timer = setInterval(() => {
      most = Math.max(most, fake.sessions.length);
    }, 1);
    for (let number = 0; number < 20; number++)
      for (let n = 0; n < 12; n++) await near.publish(`plant/l/${n}`, String(number), { qos: 1 });
    await settle(recv, 240, 60_000);
    clearInterval(timer);
    const numbers = Array.from({ length: 20 }, (_, number) => number);
    expect(sentBy(fake)).toEqual(Object.fromEntries(names.map((name) => [name, numbers])));
    expect(most).toBe(3);
  }, 90_000);

  test("lets no unknown device hold up the others: its messages become dead letters until it is admitted", async () => {
    await using site = await Site.open();
    const { fake, near, devices } = await openStage(site, ["a-1"], {
      identity: { device_timeout_seconds: 2 },
    });
    const { recv } = await site.startBoth();
    for (let number = 0; number < 10; number++)
      for (const place of ["a/9", "a/1"]) await near.publish(`plant/${place}`, String(number), { qos: 1 });
    const status = await settle(recv, 20);
    expect(status.targets[0]?.ledger).toMatchObject({ forwarded: 10, lost: { refused: 10 } });
    await waitToSay(recv, "target hub: device a-9 is refused for 2 s; its messages become dead letters");
    const letters = await waitForLetters(site, (text) => text.includes("\n10 dead letters\n"));
    expect(letters.match(/device a-9 cannot log in/g)).toHaveLength(10);
    devices["a-9"] = {};
    let number = 100;
    await waitFor(
      "the device to be admitted",
      30_000,
      async () => {
        await near.publish("plant/a/9", String(number++), { qos: 1 });
        return (sentBy(fake)["a-9"] ?? []).length > 0;
      },
      () => recv.tail(),
    );
  }, 60_000);

  test("loses nothing while no device can log in, because of the key or the network", async () => {
    await using site = await Site.open();
    const { fake, near } = await openStage(site, ["a-1", "a-2"], { identity: { device_timeout_seconds: 1 } });
    const file = site.workspace.path("targets.d/policy.key");
    writeFileSync(file, OTHER_KEY);
    const { recv } = await site.startBoth();
    for (const place of ["a/1", "a/2"]) await near.publish(`plant/${place}`, "1", { qos: 1 });
    await waitFor(
      "ten refusals",
      30_000,
      () => fake.records.connects.length >= 20,
      () => recv.tail(),
    );
    const status = await recv.readStatus<RecvStatus>();
    expect(status.targets[0]).toMatchObject({ state: "down", ledger: { held: 2, lost: {} } });
    expect(status.targets[0]?.problem).toContain("the broker refuses our login");
    writeFileSync(file, KEY);
    await settle(recv, 2);
    for (const door of fake.doors) door.shut = true;
    fake.dropAll();
    for (const place of ["a/1", "a/2"]) await near.publish(`plant/${place}`, "2", { qos: 1 });
    await waitToSay(recv, "lost the connection of target hub (device a-1)");
    await recv.waitForStatus<RecvStatus>("down", ({ targets }) => targets[0]?.state === "down");
    for (const door of fake.doors) door.shut = false;
    const after = await settle(recv, 4);
    expect(after.targets[0]?.ledger).toMatchObject({ forwarded: 4, lost: {} });
    expect(sentBy(fake)).toEqual({ "a-1": [1, 2], "a-2": [1, 2] });
  }, 60_000);
});
