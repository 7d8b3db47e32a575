// What an MQTT 5 broker announces in CONNACK and DISCONNECT, obeyed: receive maximum, server keep-alive, server reference. And
// a message that a broker discards without a word. (Packet size, QoS, retain: test/e2e/conformance.)
import { expect, test } from "bun:test";
import { PlainBrokerFake, type PlainBrokerOptions } from "../fakes/plain-broker.ts";
import type { CertificateSet } from "../support/certificates.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import { type TomlTable, toToml } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";
import { openPlant, QUICK, settle, waitToSay } from "./azure-stage.ts";

async function startFake(
  site: Site,
  set: CertificateSet,
  limits: PlainBrokerOptions["limits"] = {},
): Promise<PlainBrokerFake> {
  const fakes = { certificate: set.server, clientCaFile: set.caFile, users: { plant: "secret" } };
  return site.use(await PlainBrokerFake.start({ ...fakes, limits }));
}

function writeTarget(
  site: Site,
  set: CertificateSet,
  { mqttPort }: PlainBrokerFake,
  over: TomlTable = {},
): void {
  site.workspace.write("targets.d/password", "secret", 0o600);
  const usual = {
    type: "mqtt",
    url: `mqtts://localhost:${mqttPort}`,
    client_id: "plant-7",
    username: "plant",
    password_file: "password",
    tls: { ca_file: set.caFile },
    ...QUICK,
  };
  site.workspace.write("targets.d/hq.toml", toToml({ ...usual, ...over }));
}

const numbers = (count: number) => Array.from({ length: count }, (_, number) => String(number));
const payloads = (fake: PlainBrokerFake) => fake.records.taken.map(({ payload }) => payload.toString());

requireTools(["mosquitto"])("a target of type mqtt", () => {
  test("has no more unacknowledged than the broker says, and pings as often as it says", async () => {
    await using site = await Site.open();
    const { near, set } = await openPlant(site);
    const fake = await startFake(site, set, { receiveMaximum: 3, keepAliveSeconds: 1 });
    writeTarget(site, set, fake, { keepalive_seconds: 60 });
    fake.faults.holdAcknowledgements = true;
    const { recv } = await site.startBoth();
    for (const payload of numbers(10)) await near.publish("t", payload, { qos: 1 });
    await waitFor(
      "pings",
      30_000,
      () => fake.records.others("pingreq").length >= 3,
      () => recv.tail(),
    );
    expect(payloads(fake)).toEqual(numbers(3));
    fake.faults.releaseAcknowledgements();
    const { targets } = await settle(recv, 10);
    expect(targets[0]).toMatchObject({ connections: 1, ledger: { forwarded: 10 } });
    expect(payloads(fake)).toEqual(numbers(10));
    expect(fake.records.count("close")).toEqual({});
  }, 60_000);

  test("goes to the server that CONNACK or DISCONNECT names, loses nothing, and home when it leads nowhere", async () => {
    await using site = await Site.open();
    const { near, set } = await openPlant(site);
    const home = await startFake(site, set);
    const away = await startFake(site, set);
    writeTarget(site, set, home);
    const reference = `localhost:${away.mqttPort}`;
    home.faults.refuse = { times: 1, code: 0x9d, serverReference: reference };
    const { recv } = await site.startBoth();
    await near.publish("t", "0", { qos: 1 });
    await settle(recv, 1);
    expect([payloads(home), payloads(away)]).toEqual([[], ["0"]]);
    await waitToSay(recv, `sends us to ${reference} (0x9d); connecting there`);
    const [connect] = away.records.connects;
    expect([connect?.fields.username, connect?.peer.servername]).toEqual(["plant", "localhost"]);
    // Nobody is where it sends us now.
    const nobody = await findFreeTcpPort();
    away.dropAll({ reason: "moved", code: 0x9c, serverReference: `localhost:${nobody}` });
    await near.publish("t", "1", { qos: 1 });
    await settle(recv, 2);
    expect(payloads(home)).toEqual(["1"]);
    await waitToSay(recv, `nothing listens at localhost:${nobody}`);
    home.dropAll({ reason: "moved", code: 0x9c, serverReference: reference });
    await near.publish("t", "2", { qos: 1 });
    await settle(recv, 3);
    expect(payloads(away)).toEqual(["0", "2"]);
  }, 60_000);

  test("stays where its profile says, when that says so", async () => {
    await using site = await Site.open();
    const { near, set } = await openPlant(site);
    const home = await startFake(site, set);
    const away = await startFake(site, set);
    writeTarget(site, set, home, { server_reference: "ignore" });
    home.faults.refuse = { times: 2, code: 0x9c, serverReference: `localhost:${away.mqttPort}` };
    const { recv } = await site.startBoth();
    await near.publish("t", "0", { qos: 1 });
    await settle(recv, 1);
    expect([payloads(home), away.records.connects.length]).toEqual([["0"], 0]);
    await waitToSay(recv, "the broker says that it cannot serve now (0x9c)");
  }, 60_000);

  test("keeps to its rate with what it sends again, and with what came while it was away", async () => {
    await using site = await Site.open();
    const { near, set } = await openPlant(site);
    const fake = await startFake(site, set, { publishesPerSecond: 10, receiveMaximum: 100 });
    writeTarget(site, set, fake, { messages_per_second: 10, reconnect_min_ms: 200, ack_timeout_seconds: 0 });
    fake.faults.holdAcknowledgements = true;
    const { recv } = await site.startBoth();
    const publish = (from: number, to: number) =>
      near.publishAll(
        Array.from({ length: to - from }, (_, index) => ({
          topic: "t",
          payload: String(from + index),
          options: { qos: 1 as const },
        })),
      );
    await publish(0, 30);
    await waitFor(
      "all to be on their way",
      30_000,
      () => fake.records.taken.length === 30,
      () => recv.tail(),
    );
    fake.dropAll();
    fake.faults.releaseAcknowledgements();
    await settle(recv, 30, 30_000);
    // What waits for the rate when the connection ends goes on waiting: three seconds of attempts are not thirty messages.
    await publish(30, 80);
    await waitFor(
      "the first of them",
      30_000,
      () => fake.records.taken.length > 60,
      () => recv.tail(),
    );
    fake.faults.refuse = { times: 15 };
    fake.dropAll();
    const { targets } = await settle(recv, 80, 40_000);
    expect(targets[0]?.ledger).toMatchObject({ forwarded: 80, lost: {} });
    expect(Object.keys(fake.records.count("publish"))).toEqual(["taken"]);
  }, 90_000);

  test("sends again what a broker discards without a word, on a new connection, in order", async () => {
    await using site = await Site.open();
    const { near, set } = await openPlant(site);
    const fake = await startFake(site, set);
    writeTarget(site, set, fake, { ack_timeout_seconds: 1 });
    fake.faults.discardPublishes = 2;
    const { recv } = await site.startBoth();
    for (const payload of numbers(4)) await near.publish("t", payload, { qos: 1 });
    const { targets } = await settle(recv, 4);
    expect(targets[0]).toMatchObject({ ledger: { forwarded: 4, lost: {} } });
    expect(targets[0]?.connections).toBeGreaterThan(1);
    await waitToSay(recv, "target hq: a message was not acknowledged for");
    const seen = payloads(fake).filter((each, index, all) => all.indexOf(each) === index);
    expect(seen.toSorted()).toEqual(numbers(4));
    const status = await recv.readStatus<RecvStatus>();
    expect(status.targets[0]?.problem).toBeNull();
  }, 60_000);
});
