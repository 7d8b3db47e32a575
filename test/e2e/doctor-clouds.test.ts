// `doctor` and `policy` for targets at clouds: a probe that is acknowledged, and for each thing that a person gets wrong there,
// one sentence with what to do next.
import { expect, test } from "bun:test";
import { AwsIotFake } from "../fakes/aws-iot.ts";
import { DpsFake } from "../fakes/azure-dps.ts";
import { EventGridFake } from "../fakes/azure-event-grid.ts";
import { IotHubFake } from "../fakes/azure-iot-hub.ts";
import { findProgram, runProgram } from "../support/agents.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { type TomlTable, toToml } from "../support/toml.ts";
import { HUB, KEY, OTHER_KEY, QUICK } from "./azure-stage.ts";

/** The fakes are in this process: it must not wait for the program in one piece. */
async function doctor(site: Site): Promise<{ status: number; lines: string[] }> {
  const child = Bun.spawn([findProgram("recv"), "doctor", "--config", site.recvFile], { stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  return { status: await child.exited, lines: text.split("\n") };
}

requireTools([])("tidegate-recv doctor", () => {
  test("publishes a probe to each cloud, and says for each mistake what to do", async () => {
    await using site = await Site.open();
    site.writeRecv();
    const set = await createCertificateSet(site.workspace.directory);
    const fakes = { certificate: set.server, clientCaFile: set.caFile };
    const aws = site.use(
      await AwsIotFake.start({
        ...fakes,
        quotas: { connectsPerSecond: 1000 },
        policy: { connect: ["plant-*"], publish: ["ok/*"] },
      }),
    );
    const hub = site.use(
      await IotHubFake.start({ ...fakes, hub: HUB, devices: { "plant-7": { keys: [KEY] } } }),
    );
    const grid = site.use(await EventGridFake.start({ ...fakes, clients: ["client"], mayPublish: ["ok/#"] }));
    const dps = site.use(await DpsFake.start({ ...fakes, idScope: "0ne00A", groupKeys: [KEY] }));
    dps.rules.assign = () => "not-found";
    for (const [name, key] of Object.entries({ "device.key": KEY, "other.key": OTHER_KEY }))
      site.workspace.write(`targets.d/${name}`, key, 0o600);
    // Longer than it is warned of.
    const client = await set.authority.issue("client", { usage: "client", validToDays: 90 });
    const own = { ca_file: set.caFile, cert_file: client.certFile, key_file: client.keyFile };
    const stranger = {
      ...own,
      cert_file: set.strangerClient.certFile,
      key_file: set.strangerClient.keyFile,
    };
    const awsBase = { type: "aws-iot", endpoint: `localhost:${aws.mqttPort}`, tls: own };
    const hubBase = {
      type: "azure-iot-hub",
      hub: HUB,
      endpoint: `localhost:${hub.mqttPort}`,
      device_id: "plant-7",
      auth: "sas-key",
      device_key_file: "device.key",
      tls: { ca_file: set.caFile },
      ...QUICK,
    };
    const gridBase = {
      type: "azure-event-grid",
      endpoint: `localhost:${grid.mqttPort}`,
      username: "client",
      tls: own,
    };
    const probe = { topic: "ok/probe" };
    const { hub: _, device_id: __, device_key_file: ___, ...enrolled } = hubBase;
    const cases: Record<string, [profile: TomlTable, says: string]> = {
      aws: [{ ...awsBase, client_id: "plant-1", probe }, "ok    "],
      "aws-policy": [
        { ...awsBase, client_id: "other" },
        "the broker refuses our login (0x87); check that a policy is attached to the certificate and allows this client id",
      ],
      "aws-region": [
        { ...awsBase, client_id: "plant-2", tls: stranger },
        "the broker closed the connection before it answered; AWS does so when it does not know the certificate",
      ],
      "aws-topic": [
        { ...awsBase, client_id: "plant-3", probe: { topic: "secret" } },
        'have it allow publishing to "secret" (tidegate-recv policy says what it needs)',
      ],
      "aws-deep": [
        { ...awsBase, client_id: "plant-4", probe: { topic: "ok/2/3/4/5/6/7/8/9" } },
        "the profile's own rules keep the probe back: its topic has over 7 slashes",
      ],
      "aws-dns": [
        { ...awsBase, endpoint: "abc-ats.iot.invalid", client_id: "plant-5" },
        "the name abc-ats.iot.invalid has no address; check endpoint",
      ],
      "aws-ca": [
        { ...awsBase, client_id: "plant-6", tls: { ...own, ca_file: set.strangerCaFile } },
        "no authority in tls.ca_file signed the broker's certificate",
      ],
      hub: [{ ...hubBase, probe: { topic: "probe" } }, "ok    "],
      "hub-device": [
        { ...hubBase, device_id: "plant-8" },
        "the broker refuses our login (0x05); check device_id, that the device is enabled, its key, and the clock",
      ],
      "hub-key": [
        { ...hubBase, device_id: "plant-9", device_key_file: "other.key" },
        "the broker refuses our login (0x05)",
      ],
      "hub-dns": [
        { ...hubBase, hub: "plant.azure-devices.invalid", endpoint: undefined },
        "the name plant.azure-devices.invalid has no address; check hub",
      ],
      "hub-enrolment": [
        {
          ...enrolled,
          auth: "sas-group",
          group_key_file: "device.key",
          provisioning: {
            id_scope: "0ne00A",
            registration_id: "reg-1",
            endpoint: `localhost:${dps.mqttPort}`,
          },
        },
        "the provisioning service knows no such enrolment; check id_scope and registration_id",
      ],
      grid: [{ ...gridBase, client_id: "a", probe }, "ok    "],
      "grid-name": [
        { ...gridBase, client_id: "b", username: "other" },
        "the broker refuses our login (0x87); check username (the client's authentication name)",
      ],
      "grid-topic": [
        {
          ...gridBase,
          client_id: "a2",
          endpoint: `localhost:${grid.httpsPort}`,
          websocket: true,
          probe: { topic: "no" },
        },
        "the broker refuses the probe: ",
      ],
      "grid-region": [
        { ...gridBase, client_id: "c", endpoint: "plant.nowhere-1.ts.eventgrid.invalid" },
        "the name plant.nowhere-1.ts.eventgrid.invalid has no address; check endpoint",
      ],
    };
    for (const [name, [profile]] of Object.entries(cases))
      site.workspace.write(`targets.d/${name}.toml`, toToml(profile));
    const { status, lines } = await doctor(site);
    expect(status).toBe(1);
    for (const [name, [, says]] of Object.entries(cases)) {
      const found = lines.filter((line) => line.includes(`target ${name}: `));
      expect([name, found]).toEqual([name, [expect.stringContaining(says)]]);
      expect(found[0]).toStartWith(says === "ok    " ? "ok" : "FAIL");
    }
    expect(hub.telemetry.map(({ application }) => application.topic)).toEqual(["probe"]);
    for (const secret of [KEY, OTHER_KEY, "SharedAccessSignature"])
      expect(lines.join("\n")).not.toContain(secret);
  }, 120_000);
});

requireTools([])("tidegate-recv policy", () => {
  test("says what IoT Hub, its provisioning service and Event Grid have to allow", async () => {
    await using site = await Site.open();
    site.writeRecv();
    const set = await createCertificateSet(site.workspace.directory);
    site.workspace.write("targets.d/device.key", KEY, 0o600);
    const tls = { cert_file: set.client.certFile, key_file: set.client.keyFile };
    const write = (name: string, table: TomlTable) =>
      site.workspace.write(`targets.d/${name}.toml`, toToml(table));
    write("device", {
      type: "azure-iot-hub",
      hub: HUB,
      device_id: "plant-7",
      auth: "sas-key",
      device_key_file: "device.key",
    });
    write("devices", {
      type: "azure-iot-hub",
      hub: HUB,
      auth: "sas-policy",
      policy_name: "gateway",
      policy_key_file: "device.key",
      identity: { match: "plant/{line}/#", device_id: "{line}" },
    });
    write("enrolled", {
      type: "azure-iot-hub",
      auth: "x509",
      tls,
      provisioning: { id_scope: "0ne00A", registration_id: "client" },
    });
    write("grid", {
      type: "azure-event-grid",
      endpoint: "plant.westeurope-1.ts.eventgrid.azure.net",
      client_id: "plant-7",
      username: "client",
      tls,
      topics: ["plant/+/t"],
      topic_prefix: "p7/",
    });
    const old = {
      type: "mqtt",
      url: "mqtt://127.0.0.1:1",
      mqtt_version: "3.1.1",
      topics: ["plant/+/t", "alarm/#"],
    };
    write("old", { ...old, client_id: "x", oversize: "split" });
    const { stdout } = runProgram("recv", ["policy", "--config", site.recvFile]);
    for (const line of [
      "An enabled identity in the hub for plant-7;",
      'The shared access policy "gateway" with the permission DeviceConnect only.',
      "An enrolment in the provisioning service for the registration id",
      "A client with the authentication name client,",
      "  p7/plant/+/t\n",
      "topic write plant/+/t\ntopic write alarm/#\ntopic write plant/+/t/+\n",
    ])
      expect(stdout).toContain(line);
    expect(stdout).not.toContain("alarm/#/+");
  });
});
