// Each single mistake that a person makes in a profile of Azure's types gives one line that says what to do.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { loadRecvConfig } from "../../../../../agents/recv/config.ts";
import { formatFault } from "../../../../../shared/config/fault.ts";
import { encodeLinkKey } from "../../../../../shared/config/link-key.ts";
import { CertificateAuthority } from "../../../../support/certificates.ts";
import { Workspace } from "../../../../support/workspace.ts";

const workspace = new Workspace("azure-profiles");
const KEY = Buffer.alloc(32, 7).toString("base64");
const NOW_SECONDS = Math.floor(Date.now() / 1000);

function token(claims: object): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${encode({ alg: "RS256" })}.${encode(claims)}.AAAA`;
}

beforeAll(async () => {
  workspace.write("link.key", encodeLinkKey(new Uint8Array(32).fill(7)));
  workspace.write(
    "recv.toml",
    '[link]\nid = "p"\nkey_file = "link.key"\n[[link.path]]\ntype = "udp"\naddress = "127.0.0.1:14550"\n[spool]\ndirectory = "spool"\n'.replace(
      /^/,
      'targets = "targets.d"\n',
    ),
  );
  workspace.write("targets.d/good.key", KEY);
  workspace.write("targets.d/string.key", `HostName=h.azure-devices.net;DeviceId=d;SharedAccessKey=${KEY}`);
  workspace.write("targets.d/bad.key", "not base64!");
  workspace.write("targets.d/open.key", KEY, 0o644);
  workspace.write("targets.d/good.jwt", token({ exp: NOW_SECONDS + 3600 }));
  workspace.write("targets.d/old.jwt", token({ exp: 1_700_000_000 }));
  workspace.write("targets.d/none.jwt", "hello");
  const authority = await CertificateAuthority.create(workspace.path("targets.d"), "ca");
  await authority.issue("own", { usage: "client" });
  await authority.issue("other", { usage: "client" });
  await authority.issue("server", { usage: "server" });
});
afterAll(() => workspace.remove());

function check(profile: string): string[] {
  workspace.write("targets.d/t.toml", profile);
  const loaded = loadRecvConfig(workspace.path("recv.toml"), { EMPTY: "" }, { nowMs: Date.now() });
  if (loaded.ok) return [];
  return loaded.faults.map((fault) => formatFault(fault).replaceAll(`${workspace.directory}/targets.d/`, ""));
}

const HUB = `type = "azure-iot-hub"
hub = "plant.azure-devices.net"
device_id = "plant-7"
auth = "sas-key"
device_key_file = "good.key"
`;
const X509 = `type = "azure-iot-hub"
hub = "plant.azure-devices.net"
device_id = "own"
auth = "x509"
tls = { cert_file = "own.pem", key_file = "own.key" }
`;
const DPS = `type = "azure-iot-hub"
auth = "sas-group"
group_key_file = "good.key"
provisioning = { id_scope = "0ne00AB", registration_id = "own" }
`;
const DEVICES = `type = "azure-iot-hub"
hub = "plant.azure-devices.net"
auth = "sas-policy"
policy_name = "device"
policy_key_file = "good.key"
identity = { match = "plant/{line}/#", device_id = "{line}" }
`;
const GRID = `type = "azure-event-grid"
endpoint = "plant.westeurope-1.ts.eventgrid.azure.net"
client_id = "plant-7"
username = "plant-7"
tls = { cert_file = "own.pem", key_file = "own.key" }
`;
const JWT = `type = "azure-event-grid"
endpoint = "plant.westeurope-1.ts.eventgrid.azure.net"
client_id = "plant-7"
auth = "jwt"
jwt_file = "good.jwt"
`;

test("loadRecvConfig() takes a profile of each kind of login", () => {
  for (const profile of [HUB, X509, DPS, DEVICES, GRID, JWT]) expect(check(profile)).toEqual([]);
});

const MISTAKES: [name: string, base: string, from: string, to: string, said: string][] = [
  ["a URL for the hub", HUB, '"plant.azure', '"mqtts://plant.azure', "hub: "],
  [
    "a connection string for the hub",
    HUB,
    '"plant.azure-devices.net"',
    `"HostName=x;SharedAccessKey=${KEY}"`,
    "hub: is a connection string",
  ],
  ["no device", HUB, 'device_id = "plant-7"\n', "", "device_id: is missing"],
  ["a topic for a device", HUB, '"plant-7"', '"plant/7"', 'device_id: "plant/7"; must be 1 to 128'],
  ["no key", HUB, 'device_key_file = "good.key"\n', "", "device_key_file: is missing"],
  ["a key file that is not there", HUB, "good.key", "gone.key", "gone.key does not exist"],
  [
    "a connection string for a key",
    HUB,
    "good.key",
    "string.key",
    "holds a connection string; must be the base64 key alone",
  ],
  ["a key that is none", HUB, "good.key", "bad.key", "holds no base64 key"],
  ["a key for all to read", HUB, "good.key", "open.key", "chmod 600"],
  [
    "a variable that is empty",
    HUB,
    'device_key_file = "good.key"',
    'device_key_env = "EMPTY"',
    "names a variable that is empty",
  ],
  [
    "a policy's key beside a device's",
    HUB,
    "auth",
    'policy_name = "x"\nauth',
    'policy_name: is given beside auth = "sas-key"',
  ],
  ["QoS 2", HUB, "auth", "qos_max = 2\nauth", "qos_max: "],
  [
    "a keep-alive that the hub does not take",
    HUB,
    "auth",
    "keepalive_seconds = 1178\nauth",
    "must be a whole number from 5 to 1177",
  ],
  [
    "a last will",
    HUB,
    "auth",
    'status = { topic = "s", will = true }\nauth',
    "status.will: is true, and this type leaves no will",
  ],
  ["MQTT 5", HUB, "auth", 'mqtt_version = "5"\nauth', "mqtt_version: "],
  [
    "a certificate without its key",
    X509,
    ', key_file = "own.key"',
    "",
    "tls.cert_file: has no key_file beside it",
  ],
  [
    "no certificate",
    X509,
    'tls = { cert_file = "own.pem", key_file = "own.key" }',
    "",
    'tls: has no cert_file, which auth = "x509" needs',
  ],
  [
    "a hub beside provisioning",
    DPS,
    "auth",
    'hub = "a.azure-devices.net"\nauth',
    "hub: is given beside [provisioning]",
  ],
  ["a scope with a space", DPS, "0ne00AB", "0ne 00AB", "provisioning.id_scope: "],
  [
    "a device id beside devices",
    DEVICES,
    "auth",
    'device_id = "x"\nauth',
    "device_id: is given beside [identity]",
  ],
  [
    "a name that the pattern has not",
    DEVICES,
    '"{line}"',
    '"{sensor}"',
    "which the topics it is for have no name for",
  ],
  [
    "one device's key for many",
    DEVICES,
    'auth = "sas-policy"\npolicy_name = "device"\npolicy_key_file',
    'auth = "sas-key"\ndevice_key_file',
    'auth: is "sas-key", which is of one device',
  ],
  ["a slash in the device's name", DEVICES, '"{line}"', '"{line}/x"', "makes no device id; must be 1 to 128"],
  ...[X509, GRID].flatMap((base, index): [string, string, string, string, string][] => [
    [
      `a key file that is not there (${index})`,
      base,
      '"own.key"',
      '"gone.key"',
      "tls.key_file: gone.key does not exist",
    ],
    [
      `the key of another certificate (${index})`,
      base,
      '"own.key"',
      '"other.key"',
      "tls.key_file: other.key is not the key of the certificate in cert_file",
    ],
    [
      `a CA file that is a leaf (${index})`,
      base,
      "tls = { ",
      'tls = { ca_file = "server.pem", ',
      'tls.ca_file: server.pem holds the certificate of "server", which is no authority; "ca" has signed it',
    ],
  ]),
  [
    "a topic that the rewriting makes too deep",
    GRID,
    "username",
    'rule = [{ match = "a/{b}/#", topic = "1/2/3/4/5/6/7/8/9/10/11/12/13/14/{b}/{#}/x" }]\nusername',
    "rule[0].topic: makes topics of at least 17 levels; must make topics of at most 15, for Event Grid takes no deeper ones",
  ],
  [
    "a topic that the rewriting makes too long",
    GRID,
    "username",
    `topic_prefix = "${"p".repeat(250)}/"\nrule = [{ match = "a/{b}", topic = "{topic}/12345" }]\nusername`,
    "rule[0].topic: makes topics of at least 259 bytes; must make topics of at most 256, for Event Grid takes no longer ones",
  ],
  [
    "a topic that is reserved",
    GRID,
    "username",
    'topics = ["$SYS/#"]\nusername',
    'topics[0]: makes topics like "$SYS"; must not begin with "$"',
  ],
  ["the HTTP hostname", GRID, "westeurope-1.ts.", "westeurope-1.", "is the HTTP hostname of the namespace"],
  [
    "no authentication name",
    GRID,
    'username = "plant-7"\n',
    "",
    "username: is missing; must be the authentication name",
  ],
  [
    "a token beside a certificate",
    GRID,
    "username",
    'jwt_file = "good.jwt"\nusername',
    'jwt_file: is given beside auth = "x509"',
  ],
  ["no token", JWT, 'jwt_file = "good.jwt"\n', "", "jwt_file: is missing"],
  [
    "a token that has ended",
    JWT,
    "good.jwt",
    "old.jwt",
    "ended at 2023-11-14T22:13:20.000Z; have it renewed",
  ],
  ["a file that holds no token", JWT, "good.jwt", "none.jwt", "none.jwt holds no JSON Web Token"],
  [
    "a reconnect that is too quick",
    JWT,
    "auth",
    "reconnect_min_ms = 500\nauth",
    "must be a whole number from 1000 to 600000",
  ],
];
for (const [name, base, from, to, said] of MISTAKES) {
  test(`loadRecvConfig() says one line of ${name}`, () => {
    expect(base).toContain(from);
    const faults = check(base.replace(from, to));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(said);
    expect(faults[0]).not.toContain(KEY);
  });
}

test("loadRecvConfig() says that the registration has another name than the certificate", () => {
  const profile = X509.replace(/hub.*\ndevice_id.*\n/, "").concat(
    '[provisioning]\nid_scope = "0ne00AB"\nregistration_id = "other"\n',
  );
  expect(check(profile)).toEqual([
    't.toml:6:1: provisioning.registration_id: is "other", and the certificate is of "own"; must be the common name of the certificate',
  ]);
});
