import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { loadRecvConfig } from "../../../agents/recv/config.ts";
import { loadSendConfig } from "../../../agents/send/config.ts";
import { setPassword } from "../../../agents/send/passwd-command.ts";
import { formatFault } from "../../../shared/config/fault.ts";
import { encodeLinkKey } from "../../../shared/config/link-key.ts";
import { CertificateAuthority } from "../../support/certificates.ts";
import { Workspace } from "../../support/workspace.ts";

// The examples name keys and certificates that each site makes itself; here they are made for the test.
const workspace = new Workspace("examples");
beforeAll(async () => {
  cpSync(join(import.meta.dir, "../../../examples"), workspace.directory, { recursive: true });
  workspace.write("link.key", encodeLinkKey(new Uint8Array(32).fill(7)));
  const authority = await CertificateAuthority.create(workspace.path("targets.d"), "hq-ca");
  for (const name of ["plant-7", "plant-7-aws", "plant-7-grid"])
    await authority.issue(name, { usage: "client" });
  workspace.write("targets.d/hub-policy.key", Buffer.alloc(32, 7).toString("base64"));
  workspace.write("targets.d/enrolment.key", Buffer.alloc(32, 8).toString("base64"));
});
afterAll(() => workspace.remove());

test("loadSendConfig() takes examples/send-listen.toml", async () => {
  const authority = await CertificateAuthority.create(workspace.directory, "hq-ca");
  await authority.issue("plant-7", { usage: "server" });
  await setPassword({ file: workspace.path("users"), user: "bridge" }, "example");
  const loaded = loadSendConfig(workspace.path("send-listen.toml"), {});
  expect(loaded.ok ? [] : loaded.faults.map(formatFault)).toEqual([]);
});

test.each(["send.toml", "send-sparkplug.toml"])("loadSendConfig() takes examples/%s", (name) => {
  const loaded = loadSendConfig(workspace.path(name), {});
  expect(loaded.ok ? [] : loaded.faults.map(formatFault)).toEqual([]);
});

test("loadRecvConfig() takes examples/recv.toml and its profiles", () => {
  const loaded = loadRecvConfig(workspace.path("recv.toml"), {});
  expect(loaded.ok ? [] : loaded.faults.map(formatFault)).toEqual([]);
  expect(loaded.ok && loaded.config.profiles.map(({ name }) => name)).toEqual([
    "aws-iot",
    "azure-dps",
    "azure-event-grid",
    "azure-iot-hub",
    "dashboard",
    "hq",
    "sparkplug",
  ]);
});
