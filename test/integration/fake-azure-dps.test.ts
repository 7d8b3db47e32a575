// The fake of Azure's provisioning service, asked for each rule it claims to keep, and our side of the exchange against
// it. That the vendor's own SDK is provisioned by it is shown in test/interop/clouds.
import { afterAll, describe, expect, test } from "bun:test";
import type { IConnectPacket } from "mqtt-packet";
import {
  DPS_ANSWERS,
  DpsRegistration,
  type DpsStep,
  dpsUsername,
} from "../../agents/recv/targets/azure/dps-protocol.ts";
import {
  decodeSasKey,
  deriveDeviceKey,
  mintSas,
  REGISTRATION_POLICY,
  registrationResource,
} from "../../agents/recv/targets/azure/sas.ts";
import type { Assignment } from "../fakes/azure/dps-rules.ts";
import { DpsFake } from "../fakes/azure-dps.ts";
import { RawClient } from "../fakes/raw-client.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";

const workspace = new Workspace("fake-dps");
const certificates = await createCertificateSet(workspace.directory);
const { caFile } = certificates;
afterAll(() => workspace.remove());

const SCOPE = "0ne00ABCDEF";
const GROUP_KEY = "Z3JvdXA=";
const ASSIGNED = { hub: "contoso.azure-devices.net", deviceId: "plant-7" };

function start(): Promise<DpsFake> {
  return DpsFake.start({
    certificate: certificates.server,
    clientCaFile: caFile,
    idScope: SCOPE,
    groupKeys: [GROUP_KEY],
  });
}

type Token = { id?: string; resource?: string; seconds?: number; policy?: string; groupKey?: string };

function mint({
  id = "plant-7",
  resource,
  seconds = 3600,
  policy = REGISTRATION_POLICY,
  groupKey = GROUP_KEY,
}: Token): Buffer {
  const key = deriveDeviceKey(decodeSasKey(groupKey) ?? Buffer.alloc(0), id);
  const expirySeconds = Math.floor(Date.now() / 1000) + seconds;
  return Buffer.from(
    mintSas({ resource: resource ?? registrationResource(SCOPE, id), key, expirySeconds, policy }),
  );
}

const GOOD: Partial<IConnectPacket> = {
  clientId: "plant-7",
  username: dpsUsername(SCOPE, "plant-7"),
  password: mint({}),
};

async function openSession(fake: DpsFake): Promise<RawClient> {
  const client = await RawClient.open({ port: fake.mqttPort, caFile });
  expect(await client.connect(GOOD)).toBe(0);
  return client;
}

/** Follows the exchange to its end; time passes at the fake alone. */
async function register(fake: DpsFake, client: RawClient, patience = true): Promise<DpsStep> {
  client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: DPS_ANSWERS, qos: 1 }] });
  const registration = new DpsRegistration("plant-7");
  let step = registration.begin();
  for (let answers = 0; step.step === "send"; answers += 1) {
    if (patience) fake.clock.advance(step.afterSeconds * 1000);
    client.publish(step.request);
    await waitFor("an answer", 5000, () => client.count("publish") > answers);
    const answer = client.received.filter(({ cmd }) => cmd === "publish")[answers];
    if (answer?.cmd !== "publish") break;
    step = registration.answer(answer.topic, answer.payload as Buffer);
  }
  return step;
}

describe("DpsFake at the door", () => {
  const CONNECTS: [title: string, changes: Partial<IConnectPacket>, code: number | "closed"][] = [
    ["a token of a group's device", {}, 0],
    ["a token with another group's key", { password: mint({ groupKey: "b3RoZXI=" }) }, 5],
    [
      "a token for another registration",
      { password: mint({ resource: registrationResource(SCOPE, "x") }) },
      5,
    ],
    ["a token without its policy", { password: mint({ policy: "device" }) }, 5],
    ["an expired token", { password: mint({ seconds: -360 }) }, 5],
    ["another id scope", { username: dpsUsername("0ne00000000", "plant-7") }, 5],
    ["a client id that differs", { clientId: "plant-8" }, 2],
    [
      "the hub's kind of user name",
      { username: `${SCOPE}/registrations/plant-7/?api-version=2019-03-31` },
      4,
    ],
    ["neither token nor certificate", { password: Buffer.alloc(0) }, 5],
    ["MQTT 5", { protocolVersion: 5 }, "closed"],
  ];
  for (const [title, changes, code] of CONNECTS) {
    test(`answers ${title} with ${code}`, async () => {
      await using fake = await start();
      using client = await RawClient.open({ port: fake.mqttPort, caFile });
      expect(await client.connect({ ...GOOD, ...changes })).toBe(code);
    });
  }

  test("takes a certificate whose name is the registration", async () => {
    await using fake = await start();
    const codes: unknown[] = [];
    for (const [certificate, id] of [
      [certificates.client, "client"],
      [certificates.client, "other"],
      [certificates.strangerClient, "stranger-client"],
    ] as const) {
      using client = await RawClient.open({ port: fake.mqttPort, caFile, certificate });
      codes.push(await client.connect({ clientId: id, username: dpsUsername(SCOPE, id) }));
    }
    expect(codes).toEqual([0, 5, 5]);
  });
});

describe("DpsFake and DpsRegistration", () => {
  test("come to an assignment, with the waiting that was asked for", async () => {
    await using fake = await start();
    fake.rules.assign = () => ASSIGNED;
    fake.rules.pollsPerAssignment = 3;
    using client = await openSession(fake);
    expect(await register(fake, client)).toEqual({ step: "assigned", ...ASSIGNED });
    expect(fake.rules.registrations).toEqual(["plant-7"]);
    expect(fake.records.taken).toHaveLength(4);
    expect(fake.rules.impatience).toBe(0);
  });

  test("notices who does not wait", async () => {
    await using fake = await start();
    fake.rules.assign = () => ASSIGNED;
    using client = await openSession(fake);
    await register(fake, client, false);
    expect(fake.rules.impatience).toBe(2);
  });

  test("come through 429", async () => {
    await using fake = await start();
    fake.rules.assign = () => ASSIGNED;
    fake.rules.throttles = 2;
    using client = await openSession(fake);
    expect(await register(fake, client)).toMatchObject({ step: "assigned" });
    expect(fake.rules.impatience).toBe(0);
  });

  const FAILURES: [assignment: Assignment, failure: string][] = [
    ["not-found", "not-found"],
    ["disabled", "disabled"],
    ["failed", "assignment-failed"],
  ];
  for (const [assignment, failure] of FAILURES) {
    test(`come to ${failure}`, async () => {
      await using fake = await start();
      fake.rules.assign = () => assignment;
      using client = await openSession(fake);
      expect(await register(fake, client)).toMatchObject({ step: "failed", failure });
    });
  }

  test("says nothing to who has not subscribed, and closes over anything but its requests", async () => {
    await using fake = await start();
    using client = await openSession(fake);
    client.publish({
      topic: "$dps/registrations/PUT/iotdps-register/?$rid=1",
      payload: '{"registrationId":"plant-7"}',
    });
    await client.settle();
    expect(client.count("publish")).toBe(0);
    expect(await client.publishAndWait({ topic: "a" })).toBe("closed");
  });
});
