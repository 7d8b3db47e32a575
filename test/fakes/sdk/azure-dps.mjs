// Drives azure-iot-provisioning-device as a plan says (JSON on standard input) and prints what it was told (JSON).
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { ProvisioningDeviceClient } = require("azure-iot-provisioning-device");
const { Mqtt } = require("azure-iot-provisioning-device-mqtt");
const { SymmetricKeySecurityClient } = require("azure-iot-security-symmetric-key");
const { X509Security } = require("azure-iot-security-x509");

const plan = JSON.parse(readFileSync(0, "utf8"));
const report = {};
setTimeout(finish, plan.patienceMs ?? 30_000).unref();
const security =
  plan.certFile === undefined
    ? new SymmetricKeySecurityClient(plan.registrationId, plan.key)
    : new X509Security(plan.registrationId, {
        cert: readFileSync(plan.certFile, "utf8"),
        key: readFileSync(plan.keyFile, "utf8"),
      });
const client = ProvisioningDeviceClient.create(`localhost:${plan.port}`, plan.idScope, new Mqtt(), security);
try {
  const { assignedHub, deviceId, status } = await client.register();
  Object.assign(report, { assignedHub, deviceId, status });
} catch (error) {
  report.error = error.name;
  report.message = error.message;
}
await finish();

async function finish() {
  await new Promise((resolve) => process.stdout.write(`${JSON.stringify(report)}\n`, resolve));
  process.exit(0);
}
