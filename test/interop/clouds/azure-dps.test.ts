// The fake of Azure's provisioning service driven by azure-iot-provisioning-device, and what that library sends compared
// with what our side of the exchange sends.
import { afterAll, expect, test } from "bun:test";
import { DpsRegistration, dpsUsername } from "../../../agents/recv/targets/azure/dps-protocol.ts";
import { decodeSasKey, deriveDeviceKey } from "../../../agents/recv/targets/azure/sas.ts";
import type { Assignment } from "../../fakes/azure/dps-rules.ts";
import { DpsFake } from "../../fakes/azure-dps.ts";
import { createCertificateSet } from "../../support/certificates.ts";
import { requireTools } from "../../support/requirements.ts";
import { Workspace } from "../../support/workspace.ts";
import { type DpsPlan, type DpsReport, runDpsSdk } from "./azure-sdk.ts";

const workspace = new Workspace("dps-sdk");
const certificates = await createCertificateSet(workspace.directory);
afterAll(() => workspace.remove());

const SCOPE = "0ne00ABCDEF";
const GROUP_KEY = "Z3JvdXAga2V5";
const ASSIGNED = { hub: "contoso.azure-devices.net", deviceId: "plant-7" };
const KEY = deriveDeviceKey(decodeSasKey(GROUP_KEY) ?? Buffer.alloc(0), "plant-7").toString("base64");

async function start(assignment: Assignment = ASSIGNED): Promise<DpsFake> {
  const { server, caFile } = certificates;
  const fake = await DpsFake.start({
    certificate: server,
    clientCaFile: caFile,
    idScope: SCOPE,
    groupKeys: [GROUP_KEY],
  });
  fake.rules.assign = () => assignment;
  fake.rules.retryAfterSeconds = 1;
  return fake;
}

function drive(fake: DpsFake, plan: DpsPlan): Promise<DpsReport> {
  return runDpsSdk(fake, { idScope: SCOPE, caFile: certificates.caFile, registrationId: "plant-7", ...plan });
}

requireTools(["node", "cloud sdks"])("azure-iot-provisioning-device and DpsFake", () => {
  test("the SDK is provisioned with the derived key and with a certificate, and waits as it is told", async () => {
    await using fake = await start();
    const expected = { assignedHub: ASSIGNED.hub, deviceId: ASSIGNED.deviceId, status: "assigned" };
    expect(await drive(fake, { key: KEY })).toEqual(expected);
    expect(await drive(fake, { registrationId: "client", ...certificates.client })).toEqual(expected);
    expect(fake.rules.registrations).toEqual(["plant-7", "client"]);
    expect(fake.rules.impatience).toBe(0);
  });

  test("the SDK comes through 429", async () => {
    await using fake = await start();
    fake.rules.throttles = 1;
    expect(await drive(fake, { key: KEY })).toMatchObject({ status: "assigned" });
  });

  test("the SDK reports a wrong key, an unknown enrolment, a failed and a disabled one", async () => {
    const outcomes: unknown[] = [];
    for (const [assignment, key] of [
      [ASSIGNED, "AAAA"],
      ["not-found", KEY],
      ["failed", KEY],
      ["disabled", KEY],
    ] as const) {
      await using fake = await start(assignment);
      fake.rules.retryAfterSeconds = 0;
      const { error, message } = await drive(fake, { key });
      outcomes.push(`${error}: ${message}`);
    }
    // What the SDK makes of it: "disabled" is a status that it doesn't know.
    expect(outcomes).toEqual([
      expect.stringMatching(/not authorized/i),
      expect.stringMatching(/^DeviceNotFoundError/),
      expect.stringMatching(/^ProvisioningRegistrationFailedError/),
      expect.stringMatching(/disabled/),
    ]);
  });

  test("DpsRegistration asks what the SDK asks", async () => {
    await using fake = await start();
    fake.rules.pollsPerAssignment = 1;
    await drive(fake, { key: KEY });
    const fields = fake.records.connects[0]?.fields;
    expect(fields).toMatchObject({ clientId: "plant-7", clean: true, protocolVersion: 4 });
    expect(String(fields?.username)).toStartWith(dpsUsername(SCOPE, "plant-7"));
    expect(fake.records.others("subscribe")[0]?.fields).toMatchObject({
      subscriptions: [{ topic: "$dps/registrations/res/#", qos: 1 }],
    });
    const theirs = fake.records.taken.map(({ topic, payload }) => [unnumber(topic), payload.toString()]);
    const registration = new DpsRegistration("plant-7");
    const begun = registration.begin();
    const answer = Buffer.from('{"operationId":"o","status":"assigning"}');
    const polled = registration.answer("$dps/registrations/res/202/?$rid=1", answer);
    const ours = [begun, polled].map((step) => {
      return step.step === "send" ? [unnumber(step.request.topic), step.request.payload] : [];
    });
    expect(ours).toEqual(theirs);
  });
});

/** Numbers of requests and operations differ each time. */
function unnumber(topic: string): string {
  return topic.replace(/\$rid=[^&]+/, "$rid=R").replace(/operationId=.+/, "operationId=O");
}
