// Lays out the site in a temporary directory: certificates, link key and the three configuration files, as
// an operator would write them.

import { runProgram } from "../../test/support/agents.ts";
import { CertificateAuthority, type CertificateFiles } from "../../test/support/certificates.ts";
import type { Workspace } from "../../test/support/workspace.ts";
import { FILTER } from "./plant-data.ts";

export type Certificates = {
  readonly caFile: string;
  readonly server: CertificateFiles;
  /** Of the recv agent. */
  readonly agent: CertificateFiles;
  /** Of the subscriber that counts. */
  readonly reader: CertificateFiles;
};

export async function createCertificates(directory: string): Promise<Certificates> {
  const authority = await CertificateAuthority.create(directory, "hq-ca");
  return {
    caFile: authority.caFile,
    server: await authority.issue("hq-broker", { usage: "server" }),
    agent: await authority.issue("demo-plant", { usage: "client" }),
    reader: await authority.issue("dashboard", { usage: "client" }),
  };
}

export type Ports = { readonly plant: number; readonly headquarters: number; readonly link: number };

/** Writes key and configuration; returns the paths of send.toml and recv.toml. */
export function writeSite(workspace: Workspace, ports: Ports): { sendFile: string; recvFile: string } {
  const key = runProgram("send", ["keygen", "--out", workspace.path("link.key")]);
  if (key.status !== 0) throw new Error(`cannot make a link key: ${key.stderr}`);
  const sendFile = workspace.write(
    "send.toml",
    `[link]
id = "demo-plant"
key_file = "link.key"

[[link.path]]
type = "udp"
endpoint = "127.0.0.1:${ports.link}"

[journal]
directory = "journal"

[[source]]
name = "plant-broker"
type = "subscribe"
url = "mqtt://127.0.0.1:${ports.plant}"
mqtt_version = "3.1.1"
topics = ["plant/#"]

[[filter]]
name = "${FILTER.name}"
drop = "${FILTER.drop}"

[admin]
address = "127.0.0.1:0"
`,
  );
  const recvFile = workspace.write(
    "recv.toml",
    `targets = "targets.d"

[link]
id = "demo-plant"
key_file = "link.key"

[[link.path]]
type = "udp"
address = "127.0.0.1:${ports.link}"

[spool]
directory = "spool"

[admin]
address = "127.0.0.1:0"
`,
  );
  workspace.write(
    "targets.d/hq.toml",
    `type = "mqtt"
url = "mqtts://localhost:${ports.headquarters}"
client_id = "demo-plant"
mqtt_version = "3.1.1"

[tls]
ca_file = "../hq-ca.pem"
cert_file = "../demo-plant.pem"
key_file = "../demo-plant.key"
`,
  );
  return { sendFile, recvFile };
}
