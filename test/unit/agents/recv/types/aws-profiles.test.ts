// Each single mistake that a person makes in a profile of AWS IoT or of a plain broker gives one line that says what to do.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { loadRecvConfig } from "../../../../../agents/recv/config.ts";
import { formatFault } from "../../../../../shared/config/fault.ts";
import { encodeLinkKey } from "../../../../../shared/config/link-key.ts";
import { CertificateAuthority, createSelfSigned } from "../../../../support/certificates.ts";
import { Workspace } from "../../../../support/workspace.ts";

const workspace = new Workspace("aws-profiles");

beforeAll(async () => {
  workspace.write("link.key", encodeLinkKey(new Uint8Array(32).fill(7)));
  workspace.write(
    "recv.toml",
    'targets = "targets.d"\n[link]\nid = "p"\nkey_file = "link.key"\n[[link.path]]\ntype = "udp"\naddress = "127.0.0.1:14550"\n[spool]\ndirectory = "spool"\n',
  );
  workspace.write("targets.d/secret", "secret");
  const authority = await CertificateAuthority.create(workspace.path("targets.d"), "ca");
  await authority.issue("own", { usage: "client" });
  await authority.issue("other", { usage: "client" });
  await authority.issue("server", { usage: "server" });
  await authority.issue("old", { usage: "client", validFromDays: -30, validToDays: -1 });
  await createSelfSigned(workspace.path("targets.d"), "itself", false);
});
afterAll(() => workspace.remove());

function check(profile: string): string[] {
  workspace.write("targets.d/t.toml", profile);
  const loaded = loadRecvConfig(workspace.path("recv.toml"), {}, { nowMs: Date.now() });
  if (loaded.ok) return [];
  return loaded.faults.map((fault) => formatFault(fault).replaceAll(`${workspace.directory}/targets.d/`, ""));
}

const X509 = `type = "aws-iot"
endpoint = "abc-ats.iot.eu-central-1.amazonaws.com"
client_id = "plant-7"
tls = { cert_file = "own.pem", key_file = "own.key" }
`;
const SIGV4 = `type = "aws-iot"
endpoint = "abc-ats.iot.eu-central-1.amazonaws.com"
client_id = "plant-7"
auth = "sigv4"
sigv4 = { region = "eu-central-1", source = "static", access_key_id = "AKIDEXAMPLE", secret_access_key_file = "secret" }
`;
const CUSTOM = `type = "aws-iot"
endpoint = "abc-ats.iot.eu-central-1.amazonaws.com"
client_id = "plant-7"
auth = "custom"
custom_authorizer = { name = "gate", token_key = "token", token_file = "secret" }
`;
const PLAIN = `type = "mqtt"
url = "mqtts://broker.example"
client_id = "plant-7"
tls = { cert_file = "own.pem", key_file = "own.key" }
`;
const HIVEMQ = PLAIN.replace('"mqtt"', '"hivemq-cloud"');
const EMQX = PLAIN.replace('"mqtt"', '"emqx-cloud"');

test("loadRecvConfig() takes a profile of each kind of login", () => {
  for (const profile of [X509, SIGV4, CUSTOM, PLAIN, HIVEMQ, EMQX]) expect(check(profile)).toEqual([]);
  // One that vouches for itself is its own authority.
  expect(check(PLAIN.replace("tls = { ", 'tls = { ca_file = "itself.pem", '))).toEqual([]);
});

type Mistake = [name: string, base: string, from: string, to: string, said: string];

/** Those that every type with a certificate can have. */
const FILES = Object.entries({ X509, PLAIN, HIVEMQ, EMQX }).flatMap(([name, base]): Mistake[] => [
  [
    `a key file that is not there (${name})`,
    base,
    '"own.key"',
    '"gone.key"',
    "tls.key_file: gone.key does not exist",
  ],
  [
    `a certificate file that is not there (${name})`,
    base,
    '"own.pem"',
    '"gone.pem"',
    "tls.cert_file: gone.pem does not exist",
  ],
  [
    `the key of another certificate (${name})`,
    base,
    '"own.key"',
    '"other.key"',
    "tls.key_file: other.key is not the key of the certificate in cert_file",
  ],
  [
    `a certificate that has expired (${name})`,
    base,
    '"own.pem", key_file = "own.key"',
    '"old.pem", key_file = "old.key"',
    "tls.cert_file: old.pem expired at",
  ],
  [
    `a CA file that is a leaf (${name})`,
    base,
    "tls = { ",
    'tls = { ca_file = "server.pem", ',
    'tls.ca_file: server.pem holds the certificate of "server", which is no authority; "ca" has signed it; must be a PEM file of the authority',
  ],
]);
const MISTAKES: Mistake[] = [
  ...FILES,
  [
    "another region",
    SIGV4,
    'region = "eu-central-1"',
    'region = "us-east-1"',
    'sigv4.region: is "us-east-1", and endpoint is in eu-central-1; must be the same region',
  ],
  [
    "the old endpoint",
    X509,
    "abc-ats.iot",
    "abc.iot",
    "is the old endpoint, whose certificate nobody trusts any more",
  ],
  [
    "an endpoint of another service",
    X509,
    "abc-ats.iot.eu-central-1",
    "abc.s3",
    "is no data endpoint of AWS IoT",
  ],
  [
    "no certificate",
    X509,
    'tls = { cert_file = "own.pem", key_file = "own.key" }',
    "",
    'tls: has no cert_file, which auth = "x509" needs',
  ],
  [
    "a token that is not there",
    CUSTOM,
    '"secret"',
    '"gone"',
    "custom_authorizer.token_file: gone does not exist",
  ],
  [
    "a secret that is not there",
    SIGV4,
    '_file = "secret"',
    '_file = "gone"',
    "sigv4.secret_access_key_file: gone does not exist",
  ],
  ["a client id that is reserved", X509, '"plant-7"', '"$plant"', 'client_id: begins with "$"'],
  ["QoS 2", X509, "client_id", "qos_max = 2\nclient_id", "qos_max: "],
  [
    "a topic that the rewriting makes too deep",
    X509,
    "client_id",
    'rule = [{ match = "plant/{line}/#", topic = "a/b/c/d/e/f/g/{line}/{#}" }]\nclient_id',
    "rule[0].topic: makes topics of at least 9 levels; must make topics of at most 8, for AWS IoT takes no deeper ones",
  ],
  [
    "a topic that the prefix makes too deep",
    X509,
    "client_id",
    'topic_prefix = "a/b/c/d/"\ntopics = ["plant/+/+/+/+/#"]\nclient_id',
    "topics[0]: makes topics of at least 9 levels",
  ],
  [
    "a rule that keeps topics that are too deep",
    X509,
    "client_id",
    'rule = [{ match = "1/2/3/4/5/6/7/8/9" }]\nclient_id',
    "rule[0].match: makes topics of at least 9 levels",
  ],
  [
    "a reserved topic",
    X509,
    "client_id",
    'topic_prefix = "$aws/"\nclient_id',
    't.toml:3:1: topic_prefix: makes topics like "$aws/"; must not begin with "$", which AWS IoT reserves',
  ],
  [
    "no TLS at a cloud",
    HIVEMQ,
    HIVEMQ.slice(HIVEMQ.indexOf('"mqtts')),
    '"mqtt://broker.example"\nclient_id = "x"\n',
    "url: has no TLS, which this cloud demands",
  ],
  [
    "an oversize policy that there is not",
    PLAIN,
    "client_id",
    'oversize = "zip"\nclient_id',
    'oversize: is "zip"; must be "dead-letter", "compress" or "split"',
  ],
];
for (const [name, base, from, to, said] of MISTAKES) {
  test(`loadRecvConfig() says one line of ${name}`, () => {
    expect(base).toContain(from);
    const faults = check(base.replace(from, to));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(said);
  });
}

test("loadRecvConfig() lets topics pass that fit, if only just, and those that nobody can know", () => {
  const fine = [
    'rule = [{ match = "plant/{line}/#", topic = "a/b/c/d/e/f/{line}/{#}" }]',
    'rule = [{ match = "1/2/3/4/5/6/7/8/9/#", action = "drop" }]',
    'topics = ["1/2/3/4/5/6/7/#", "+/+/+/+/+/+/+/+"]',
    'topic_prefix = "$x/"\nbasic_ingest_rule = "to_store"',
    'topics = ["1/2/3/4/5/6/7/8/9"]\nlimits = { topic_slashes_max = 8 }',
    'topics = ["1/2/3/4/5/6/7/8/9"]\nrule = [{ match = "#", topic = "flat" }]',
  ];
  for (const lines of fine)
    expect([lines, check(X509.replace("client_id", `${lines}\nclient_id`))]).toEqual([lines, []]);
});
