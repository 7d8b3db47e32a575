import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { loadSendConfig } from "../../../../agents/send/config.ts";
import { formatFault } from "../../../../shared/config/fault.ts";
import { encodeLinkKey } from "../../../../shared/config/link-key.ts";
import { type CertificateSet, createCertificateSet } from "../../../support/certificates.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("send-config");
let certificates: CertificateSet;
beforeAll(async () => {
  certificates = await createCertificateSet(workspace.directory);
  workspace.write("link.key", encodeLinkKey(new Uint8Array(32).fill(7)));
  workspace.write("password", "hunter2\n");
  workspace.write("token", "0123456789abcdef\n");
});
afterAll(() => workspace.remove());

const LINK = `[link]
id = "plant-7"
key_file = "link.key"
[[link.path]]
type = "udp"
endpoint = "10.10.0.2:14550"
[journal]
directory = "journal"
`;
const SOURCE = `[[source]]
name = "a"
type = "subscribe"
url = "mqtt://127.0.0.1"
topics = ["plant/#"]
`;
const GOOD = LINK + SOURCE;

function load(text: string, environment: Record<string, string> = {}, nowMs?: number) {
  const file = workspace.write("send.toml", text);
  return loadSendConfig(file, environment, nowMs === undefined ? {} : { nowMs });
}

/** The faults as they are printed, the directory left out. */
function faults(text: string, environment: Record<string, string> = {}): string[] {
  const loaded = load(text, environment);
  if (loaded.ok) return [];
  return loaded.faults.map((fault) => formatFault(fault).replaceAll(`${workspace.directory}/`, ""));
}

function config(text: string, environment: Record<string, string> = {}) {
  const loaded = load(text, environment);
  if (!loaded.ok) throw new Error(loaded.faults.map(formatFault).join("\n"));
  return loaded.config;
}

test("loadSendConfig() fills in every default of the smallest file", () => {
  const { link, ...rest } = config(GOOD);
  expect({ ...link, keys: link.keys.map((key) => [...key.reveal()]) }).toEqual({
    id: "plant-7",
    sealing: "aes-256-gcm",
    keys: [Array(32).fill(7)],
    datagramBytes: 1400,
    lingerMs: 1,
    heartbeatMs: 1000,
    blockBytes: 49_152,
    repairPercent: 10,
    repairSymbolsMin: 1,
    interleaveBlocks: 1,
    compression: "zstd",
    repeatAfterSeconds: 0,
    paths: [
      {
        name: "path-1",
        type: "udp",
        endpoint: { host: "10.10.0.2", port: 14_550 },
        interface: undefined,
        localAddress: undefined,
        multicastTtl: 1,
        multicastLoop: false,
        rateMbitPerSecond: 100,
        queueBytesMax: 4_194_304,
        bestEffort: false,
      },
    ],
  });
  expect(rest).toEqual({
    journal: {
      directory: workspace.path("journal"),
      bytesMax: 1_073_741_824,
      ageHoursMax: 0,
      durability: "fsync",
      waitingBytesMax: 33_554_432,
      qos0Overflow: "drop-newest",
    },
    limits: { messageBytesMax: 1_048_576 },
    admin: undefined,
    log: { level: "info", file: undefined },
    stop: { graceSeconds: 10 },
    filters: [],
    priorities: [],
    latestOnly: [],
    sources: [
      {
        name: "a",
        type: "subscribe",
        url: { scheme: "mqtt", host: "127.0.0.1", port: 1883, path: "" },
        clientId: "tidegate-send-plant-7-a",
        mqttVersion: "5",
        username: undefined,
        password: undefined,
        proxy: undefined,
        keepaliveSeconds: 30,
        connectTimeoutSeconds: 10,
        reconnectMinMs: 500,
        reconnectMaxMs: 30_000,
        tls: undefined,
        topics: [{ filter: "plant/#", qos: 2 }],
        cleanStart: false,
        sessionExpirySeconds: 86_400,
        receiveMaximum: 1000,
        sparkplug: undefined,
      },
    ],
  });
});

test("loadSendConfig() reads secrets, certificates and topics of every form", () => {
  const loaded = config(
    `${LINK}${SOURCE.replace("mqtt:", "mqtts:").replace('["plant/#"]', '["a/#", { filter = "b", qos = 2 }, "$share/g/c"]')}
qos = 0
username = "joe"
password_file = "password"
[source.tls]
ca_file = "ca.pem"
cert_file = "client.pem"
key_file = "client.key"
server_name = "broker.example"
alpn = ["mqtt"]
[[source]]
name = "b"
type = "subscribe"
url = "wss://[::1]:9001/mqtt"
topics = ["x"]
client_id = "mine"
password_env = "PASSWORD"
[[filter]]
name = "one"
drop = "a/b"
[[filter]]
name = "many"
drop = ["c/#", "d/+"]
[admin]
address = "0.0.0.0:0"
allow_remote = true
token_file = "token"
[log]
file = "logs/send.log"
`,
    { PASSWORD: "swordfish" },
  );
  const [first, second] = loaded.sources.filter((source) => source.type === "subscribe");
  expect(first?.topics).toEqual([
    { filter: "a/#", qos: 0 },
    { filter: "b", qos: 2 },
    { filter: "$share/g/c", qos: 0 },
  ]);
  expect(first?.password?.reveal()).toBe("hunter2");
  expect(first?.tls?.caPem).toContain("BEGIN CERTIFICATE");
  expect(first?.tls?.certPem).toContain("BEGIN CERTIFICATE");
  expect(first?.tls?.keyPem?.reveal()).toContain("PRIVATE KEY");
  expect(first?.tls).toMatchObject({ serverName: "broker.example", alpn: ["mqtt"] });
  expect(first?.tls?.certFile).toBe(workspace.path("client.pem"));
  expect(second?.url).toEqual({ scheme: "wss", host: "::1", port: 9001, path: "/mqtt" });
  expect(second?.clientId).toBe("mine");
  expect(second?.password?.reveal()).toBe("swordfish");
  expect(second?.tls).toMatchObject({ caPem: undefined, keyPem: undefined, alpn: [] });
  expect(loaded.filters).toEqual([
    { name: "one", drop: ["a/b"] },
    { name: "many", drop: ["c/#", "d/+"] },
  ]);
  expect(loaded.admin?.address).toEqual({ host: "0.0.0.0", port: 0 });
  expect(loaded.admin?.token?.reveal()).toBe("0123456789abcdef");
  expect(loaded.log.file).toBe(workspace.path("logs/send.log"));
  expect(JSON.stringify(loaded)).not.toMatch(/hunter2|swordfish|PRIVATE KEY|0123456789abcdef/);
});

/** One fault a row: what is put in place of what in the good file, and the line that is printed. */
const ONE_FAULT: [from: string, to: string, line: string][] = [
  [
    'id = "plant-7"\n',
    "",
    'send.toml:1:1: link.id: is missing; must be 1 to 64 of the characters A-Z a-z 0-9 . _ - (and not only ".")',
  ],
  [
    '"plant-7"',
    '".."',
    'send.toml:2:1: link.id: is ".."; must be 1 to 64 of the characters A-Z a-z 0-9 . _ - (and not only ".")',
  ],
  [
    '"plant-7"',
    '"plant-7"\nlingerms = 5',
    'send.toml:3:1: link.lingerms: is not a known key; did you mean "linger_ms"?',
  ],
  [
    '"plant-7"',
    '"plant-7"\n__proto__ = 5',
    "send.toml:3:1: link.__proto__: is not a known key; must be one of id, sealing, key_file, next_key_file, datagram_bytes, linger_ms, heartbeat_ms, block_bytes, repair_percent, repair_symbols_min, interleave_blocks, compression, repeat_after_seconds, path",
  ],
  [
    '"plant-7"',
    '"plant-7"\ndatagram_bytes = 199',
    "send.toml:3:1: link.datagram_bytes: is 199; must be a whole number from 200 to 65000",
  ],
  [
    '"plant-7"',
    '"plant-7"\ndatagram_bytes = 1400.5',
    "send.toml:3:1: link.datagram_bytes: is 1400.5; must be a whole number from 200 to 65000",
  ],
  [
    '"plant-7"',
    '"plant-7"\nheartbeat_ms = "1s"',
    'send.toml:3:1: link.heartbeat_ms: is "1s"; must be a whole number from 100 to 1000',
  ],
  [
    '"plant-7"',
    '"plant-7"\nheartbeat_ms = true',
    "send.toml:3:1: link.heartbeat_ms: is true; must be a whole number from 100 to 1000",
  ],
  [
    '"plant-7"',
    '"plant-7"\nheartbeat_ms = [1, 2]',
    "send.toml:3:1: link.heartbeat_ms: is a list of 2; must be a whole number from 100 to 1000",
  ],
  [
    '"plant-7"',
    '"plant-7"\nheartbeat_ms = { x = 1 }',
    "send.toml:3:1: link.heartbeat_ms: is a table; must be a whole number from 100 to 1000",
  ],
  [
    '"plant-7"',
    '"plant-7"\nheartbeat_ms = 1979-05-27',
    "send.toml:3:1: link.heartbeat_ms: is a date or time; must be a whole number from 100 to 1000",
  ],
  [
    '"plant-7"',
    '"plant-7"\nblock_bytes = 9223372036854775807',
    "send.toml:3:1: link.block_bytes: is 9223372036854775807; must be a whole number from 1024 to 262144",
  ],
  [
    '"10.10.0.2:14550"',
    '"10.10.0.2"',
    'send.toml:6:1: link.path[0].endpoint: "10.10.0.2" has no port; must be HOST:PORT, such as "10.10.0.2:14550", "[fd00::2]:14550" or "gate.example:14550"',
  ],
  [
    'type = "udp"',
    'type = "upd"',
    'send.toml:5:1: link.path[0].type: is "upd"; must be "udp", "tcp", "pipe" or "directory" (did you mean "udp"?)',
  ],
  [
    'type = "udp"\n',
    "",
    'send.toml:4:1: link.path[0].type: is missing; must be "udp", "tcp", "pipe" or "directory"',
  ],
  [
    "[[link.path]]",
    "[link.path]",
    "send.toml:4:1: link.path: is a table; must be 1 to 16 tables, each written [[link.path]]",
  ],
  [
    "[journal]",
    "rate_mbit_per_second = nan\n[journal]",
    "send.toml:7:1: link.path[0].rate_mbit_per_second: is NaN; must be a number from 0.0096 to 10000",
  ],
  ['"journal"', '""', 'send.toml:8:1: journal.directory: is ""; must be a path of 1 to 4096 characters'],
  [
    '"journal"',
    '"journal"\ndurability = "fsnyc"',
    'send.toml:9:1: journal.durability: is "fsnyc"; must be "fsync", "os" or "memory" (did you mean "fsync"?)',
  ],
  [
    '"journal"',
    '"journal"\nqos0_overflow = "drop-odlest"',
    'send.toml:9:1: journal.qos0_overflow: is "drop-odlest"; must be "drop-newest" or "drop-oldest" (did you mean "drop-oldest"?)',
  ],
  [
    '"mqtt://127.0.0.1"',
    '"http://h"',
    'send.toml:12:1: source[0].url: "http://h" has the scheme "http"; must be mqtt, mqtts, ws or wss://HOST[:PORT], with the user in username and password_file',
  ],
  [
    '"mqtt://127.0.0.1"',
    '"mqtt://joe:hunter2@h"',
    "send.toml:12:1: source[0].url: has a user name or password in it; must be mqtt, mqtts, ws or wss://HOST[:PORT], with the user in username and password_file",
  ],
  [
    '["plant/#"]',
    '"plant/#"',
    'send.toml:13:1: source[0].topics: is "plant/#"; must be a list of 1 to 256 topic filters',
  ],
  [
    '["plant/#"]',
    "[]",
    "send.toml:13:1: source[0].topics: is an empty list; must be a list of 1 to 256 topic filters",
  ],
  [
    '["plant/#"]',
    '["a/#/b"]',
    'send.toml:13:11: source[0].topics[0]: "a/#/b" has "#" before its last level; must be a topic filter, such as "plant/+/temperature" or "plant/#"',
  ],
  [
    '["plant/#"]',
    '["a", 7]',
    "send.toml:13:16: source[0].topics[1]: is 7; must be a topic filter in quotes, or a table { filter = …, qos = … }",
  ],
  [
    '["plant/#"]',
    '[{ filter = "a", qos = 3 }]',
    "send.toml:13:27: source[0].topics[0].qos: is 3; must be 0, 1 or 2",
  ],
  [
    '["plant/#"]',
    '["a", { filter = "a" }]',
    'send.toml:13:16: source[0].topics[1]: is "a", as in line 13 already; must be unique',
  ],
  [
    '["plant/#"]',
    '["a"]\nreconnect_min_ms = 31000',
    "send.toml:14:1: source[0].reconnect_min_ms: is 31000, over source[0].reconnect_max_ms; must be at most 30000",
  ],
  [
    '["plant/#"]',
    '["a"]\npassword_env = "NONE"',
    "send.toml:14:1: source[0].password_env: names a variable that is not set; must name a variable that the service sets",
  ],
  [
    '["plant/#"]',
    '["a"]\npassword_env = "hunter 2"',
    "send.toml:14:1: source[0].password_env: is not a name; must be the name of an environment variable",
  ],
  [
    '["plant/#"]',
    '["a"]\npassword_file = "none"',
    "send.toml:14:1: source[0].password_file: none does not exist; must be a file of 1 to 65536 bytes that only its owner can read",
  ],
  [
    '["plant/#"]',
    '["a"]\npassword_file = "password"\nmqtt_version = "3.1.1"',
    'send.toml:14:1: source[0].password_file: has no username beside it; must have one with mqtt_version "3.1.1"',
  ],
  [
    '["plant/#"]',
    '["a"]\npassword_file = "password"\npassword_env = "P"',
    "send.toml:15:1: source[0].password_env: is given beside password_file; must be only one of the two",
  ],
  [
    '["plant/#"]',
    '["a"]\n[source.tls]',
    "send.toml:14:1: source[0].tls: is for mqtts and wss, but url has neither; must be left out, or url must be changed",
  ],
  [
    '["plant/#"]',
    '["a"]\n[[filter]]\nname = "f"\ndrop = "$share/g/a"',
    'send.toml:16:1: filter[0].drop: "$share/g/a" has a share group; must be a topic filter without "$share", such as "plant/+/temperature" or "plant/#"',
  ],
  [
    '["plant/#"]',
    '["a"]\n[[filter]]\nname = "f"\ndrop = 5',
    "send.toml:16:1: filter[0].drop: is 5; must be one of the topic filters, or a list of 1 to 256 of them",
  ],
  [
    '["plant/#"]',
    '["a"]\n[admin]\naddress = "0.0.0.0:9464"\ntoken_file = "token"',
    "send.toml:15:1: admin.address: is 0.0.0.0:9464, which other machines can reach; must be a loopback address, or allow_remote = true and token_file must be given",
  ],
  [
    '["plant/#"]',
    '["a"]\n[admin]\naddress = "10.0.0.1:1"\nallow_remote = true',
    "send.toml:15:1: admin.address: is 10.0.0.1:1, which other machines can reach; must be a loopback address, or allow_remote = true and token_file must be given",
  ],
  [
    '["plant/#"]',
    '["a"]\n[admin]\naddress = "gate:1"',
    'send.toml:15:1: admin.address: "gate:1" has a name where an address belongs; must be ADDRESS:PORT, such as "127.0.0.1:9464"',
  ],
  [
    '["plant/#"]',
    '["a"]\n[admin]\ntoken_file = "password"',
    "send.toml:15:1: admin.token_file: password holds a token that is easily guessed; must hold 16 or more visible ASCII characters",
  ],
  [
    '["plant/#"]',
    '["a"]\n[limits]\nmessage_bytes_max = 30000000\n[log]\nlevel = "warning"',
    'send.toml:17:1: log.level: is "warning"; must be "trace", "debug", "info", "warn", "error" or "fatal" (did you mean "warn"?)',
  ],
  [
    'directory = "journal"',
    'directory = "journal"\nbytes_max = 16777216\n[limits]\nmessage_bytes_max = 16777217',
    "send.toml:11:1: limits.message_bytes_max: is 16777217, over journal.bytes_max; must be at most 16777216",
  ],
  [
    'key_file = "link.key"\n',
    "",
    "send.toml:1:1: link.key_file: is missing; must be the path of a link key; keygen makes one",
  ],
  [
    'key_file = "link.key"',
    'key_file = "link.key"\nsealing = "none"',
    'send.toml:3:1: link.key_file: is given with sealing "none"; must be left out',
  ],
  [
    'key_file = "link.key"',
    'key_file = "link.key"\nnext_key_file = "link.key"',
    "send.toml:4:1: link.next_key_file: holds a key with the same key id as key_file; must be another key",
  ],
  [
    '"link.key"',
    '"none.key"',
    "send.toml:3:1: link.key_file: none.key does not exist; must be a file of 1 to 65536 bytes that only its owner can read",
  ],
  [
    '"link.key"',
    '"password"',
    'send.toml:3:1: link.key_file: password does not begin with "tidegate-key-1:"; must hold one line "tidegate-key-1:" and 32 bytes in base64, as keygen writes it',
  ],
  [
    '"link.key"',
    '"tidegate-key-1:AAAA"',
    "send.toml:3:1: link.key_file: holds a key itself, not the path of its file; must be a path of 1 to 4096 characters",
  ],
];
test.each(ONE_FAULT)("loadSendConfig() refuses %j → %j", (from, to, line) => {
  expect(GOOD).toContain(from);
  expect(faults(GOOD.replace(from, to))).toEqual([line]);
});

const TLS = SOURCE.replace("mqtt:", "mqtts:");
const TLS_FAULTS: [table: string, ...lines: string[]][] = [
  [
    'cert_file = "client.pem"',
    "send.toml:15:1: source[0].tls.cert_file: has no key_file beside it; must come together with it, or not at all",
  ],
  [
    'key_file = "client.key"',
    "send.toml:15:1: source[0].tls.key_file: has no cert_file beside it; must come together with it, or not at all",
  ],
  [
    'ca_file = "link.key"',
    "send.toml:15:1: source[0].tls.ca_file: link.key holds no certificate; must be a PEM file with at least one certificate",
  ],
  [
    'ca_file = "none.pem"',
    "send.toml:15:1: source[0].tls.ca_file: none.pem does not exist; must be a PEM file with at least one certificate",
  ],
  [
    'ca_file = "broken.pem"',
    "send.toml:15:1: source[0].tls.ca_file: broken.pem has a certificate that cannot be parsed (number 2); must be a PEM file with at least one certificate",
  ],
  [
    'cert_file = "client.pem"\nkey_file = "server.key"',
    "send.toml:16:1: source[0].tls.key_file: server.key is not the key of the certificate in cert_file; must be the PEM private key of the certificate in cert_file, without passphrase",
  ],
  [
    'cert_file = "client.pem"\nkey_file = "client.pem"',
    "send.toml:16:1: source[0].tls.key_file: client.pem has mode 0644, so others can get at it; must be for its owner alone: chmod 600 client.pem",
  ],
  [
    'cert_file = "client.pem"\nkey_file = "password"',
    "send.toml:16:1: source[0].tls.key_file: password holds no private key; must be the PEM private key of the certificate in cert_file, without passphrase",
  ],
  [
    'cert_file = "client.pem"\nkey_file = "locked.key"',
    "send.toml:16:1: source[0].tls.key_file: locked.key is under a passphrase, which nobody is there to type; must be the PEM private key of the certificate in cert_file, without passphrase",
  ],
  [
    'server_name = "10.0.0.1"',
    'send.toml:15:1: source[0].tls.server_name: is "10.0.0.1"; must be a host name, such as "broker.example"',
  ],
  [
    "alpn = []",
    "send.toml:15:1: source[0].tls.alpn: is an empty list; must be a list of 1 to 16 protocol names",
  ],
  [
    "verify = false",
    "send.toml:15:1: source[0].tls.verify: is not a known key; must be one of ca_file, cert_file, key_file, server_name, alpn",
  ],
];
test.each(TLS_FAULTS)("loadSendConfig() refuses [source.tls] %j", (table, ...lines) => {
  const ca = workspace.read("ca.pem");
  workspace.write("broken.pem", `${ca}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`);
  workspace.write(
    "locked.key",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
  );
  chmodSync(workspace.path("client.pem"), 0o644);
  expect(faults(`${LINK}${TLS}[source.tls]\n${table}\n`)).toEqual(lines);
});

test("loadSendConfig() refuses an expired client certificate, unless an agent starts with it", () => {
  const { certFile, keyFile } = certificates.expiredClient;
  const text = `${LINK}${TLS}[source.tls]\ncert_file = "${certFile}"\nkey_file = "${keyFile}"\n`;
  expect(faults(text)).toEqual([
    expect.stringMatching(
      /^send.toml:15:1: source\[0\].tls.cert_file: expired-client.pem expired at \d{4}-\d\d-\d\d \d\d:\d\d UTC; must be a certificate that is still valid$/,
    ),
  ]);
  expect(load(text, {}, Date.now() - 5 * 86_400_000).ok).toBe(true);
  const file = workspace.path("send.toml");
  expect(loadSendConfig(file, {}, { expiredCertificates: "allow" }).ok).toBe(true);
});

test("loadSendConfig() refuses names used twice and two sources in one seat", () => {
  const other = SOURCE.replace("127.0.0.1", "127.0.0.1:1883").replace(
    "topics",
    'client_id = "tidegate-send-plant-7-a"\ntopics',
  );
  const more = '[[filter]]\nname = "f"\ndrop = "a"\n[[filter]]\nname = "f"\ndrop = "b"\n';
  const paths = LINK.replace(
    "[journal]",
    '[[link.path]]\nname = "path-1"\ntype = "udp"\nendpoint = "h:1"\n[journal]',
  );
  expect(faults(paths + SOURCE + other + more)).toEqual([
    'send.toml:8:1: link.path[1].name: is "path-1", as in line 4 already; must be unique',
    'send.toml:19:1: source[1].name: is "a", as in line 14 already; must be unique',
    'send.toml:22:1: source[1].client_id: is "tidegate-send-plant-7-a at 127.0.0.1:1883", as in line 13 already; must be unique',
    'send.toml:28:1: filter[1].name: is "f", as in line 25 already; must be unique',
  ]);
});

test("loadSendConfig() tells faults of values, of files and between keys all at once, in order", () => {
  const text = `typo = 1
[link]
id = "plant 7"
key_file = "none.key"
lingr_ms = 5
[[link.path]]
type = "serial"
[[link.path]]
type = "udp"
endpoint = "h"
[[source]]
name = "a"
type = "subscribe"
url = "mqtts://h"
topics = ["#", "#", "a+"]
reconnect_max_ms = 100
[source.tls]
ca_file = "password"
cert_file = 5
key_file = "client.key"
[admin]
address = "0.0.0.0:1"
token = "x"
`;
  expect(faults(text).map((line) => line.split(" ", 2).join(" "))).toEqual([
    "send.toml:1:1: journal:",
    "send.toml:1:1: typo:",
    "send.toml:3:1: link.id:",
    "send.toml:4:1: link.key_file:",
    "send.toml:5:1: link.lingr_ms:",
    "send.toml:7:1: link.path[0].type:",
    "send.toml:10:1: link.path[1].endpoint:",
    "send.toml:15:16: source[0].topics[1]:",
    "send.toml:15:21: source[0].topics[2]:",
    "send.toml:16:1: source[0].reconnect_max_ms:",
    "send.toml:18:1: source[0].tls.ca_file:",
    "send.toml:19:1: source[0].tls.cert_file:",
    "send.toml:22:1: admin.address:",
    "send.toml:23:1: admin.token:",
  ]);
});

test("loadSendConfig() reads inline tables, dotted and quoted keys like any other spelling", () => {
  const text = `link = { id = "plant-7", "key_file" = 'link.key', path = [{ type = "udp", endpoint = "10.10.0.2:14550" }] }
journal.directory = "journal"
source = [{ name = "a", type = "subscribe", url = "mqtt://127.0.0.1", topics = ["plant/#"] }]
`;
  const { link, ...rest } = config(text);
  const { link: linkGood, ...restGood } = config(GOOD);
  expect(rest).toEqual(restGood);
  expect(link.paths).toEqual(linkGood.paths);
});

test("loadSendConfig() refuses an empty file, naming every table that is missing", () => {
  expect(faults("")).toEqual([
    "send.toml:1:1: journal: is missing; must be a table",
    "send.toml:1:1: link: is missing; must be a table",
    "send.toml:1:1: source: is missing; must be 1 to 64 tables, each written [[source]]",
  ]);
});

test.each(["link", "journal", "source", "filter", "admin", "log", "stop", "limits"])(
  "loadSendConfig() refuses a value of any wrong kind for %s and never throws",
  (key) => {
    for (const value of [
      "1",
      '"x"',
      "true",
      "[]",
      "[1]",
      "[[[]]]",
      "{ x = 1 }",
      "[{ x = 1 }]",
      "1979-05-27",
    ]) {
      if (key === "filter" && value === "[]") continue;
      expect(
        faults(`${key} = ${value}\n`).some(
          (line) => line.startsWith(`send.toml:1:`) && line.includes(` ${key}`),
        ),
      ).toBe(true);
    }
  },
);

test("loadSendConfig() names a missing file as it was given", () => {
  const loaded = loadSendConfig("no/such.toml", {});
  expect(loaded.ok ? [] : loaded.faults.map(formatFault)).toEqual([
    "no/such.toml:1:1: file: does not exist; must be a readable TOML file of at most 1048576 bytes",
  ]);
});

const FLOODS: [what: string, text: string][] = [
  ["unknown keys", Array.from({ length: 80_000 }, (_, number) => `k${number} = 1\n`).join("")],
  ["wrong elements", GOOD.replace('["plant/#"]', `[${"1,".repeat(300_000)}]`)],
  ["tables", "[[source]]\n".repeat(80_000)],
  ["inline tables", GOOD.replace('["plant/#"]', `[${"{x=1},".repeat(100_000)}]`)],
];
test.each(FLOODS)("loadSendConfig() refuses a file full of %s with at most 10,000 lines", (_, text) => {
  const { length } = faults(text);
  expect(length).toBeGreaterThan(0);
  expect(length).toBeLessThan(10_000);
});

test("loadSendConfig() refuses a value of every wrong kind in every place and never throws", () => {
  const full = `${GOOD}username = "joe"
password_file = "password"
qos = 1
[source.tls]
ca_file = "ca.pem"
alpn = ["mqtt"]
[[filter]]
name = "f"
drop = "a"
[admin]
address = "127.0.0.1:1"
token_file = "token"
[log]
level = "info"
[stop]
grace_seconds = 1
`;
  const lines = full.split("\n");
  for (const [index, line] of lines.entries()) {
    const [key] = line.split(" = ");
    if (!line.includes(" = ")) continue;
    for (const value of [
      "-1",
      "1.5",
      "true",
      "[[]]",
      "{ x = 1 }",
      "[{ type = 1 }]",
      "1979-05-27T07:32:00Z",
      '"\\u0000"',
      "-inf",
    ]) {
      const text = lines.with(index, `${key} = ${value}`).join("\n");
      const printed = faults(text);
      const own = printed.some((fault) => fault.startsWith(`send.toml:${index + 1}:`));
      expect(own ? "" : `${key} = ${value}: ${printed.join("\n")}`).toBe("");
      expect(printed.join()).not.toMatch(/undefined|\[object|[Ii]nvalid input/);
    }
  }
});

test("loadSendConfig() takes sparkplug as a switch and as a table, and tells what does not go together", () => {
  const sparkplug = SOURCE.replace("plant/#", "spBv1.0/#");
  expect(config(LINK + sparkplug).sources[0]?.sparkplug).toBeUndefined();
  expect(config(`${LINK}${sparkplug}sparkplug = false\n`).sources[0]?.sparkplug).toBeUndefined();
  const defaults = {
    groups: undefined,
    primaryHostId: undefined,
    stateFormats: ["3.0"],
    snapshotMs: 60_000,
    rebirth: true,
    rebirthMinMs: 30_000,
    rebirthsPerSecondMax: 10,
    nodesMax: 10_000,
    metricsPerNodeMax: 50_000,
    memoryBytesMax: 268_435_456,
  };
  expect(config(`${LINK}${sparkplug}sparkplug = true\n`).sources[0]?.sparkplug).toEqual(defaults as never);
  const table = `${LINK}${sparkplug}[source.sparkplug]\nprimary_host_id = "scada"\nstate_format = "both"\ngroups = ["a"]\n`;
  expect(config(table).sources[0]?.sparkplug).toEqual({
    ...defaults,
    primaryHostId: "scada",
    stateFormats: ["3.0", "2.2"],
    groups: ["a"],
  } as never);
  expect(faults(`${table}snapshot_second = 5\n`)).toEqual([
    'send.toml:18:1: source[0].sparkplug.snapshot_second: is not a known key; did you mean "snapshot_seconds"?',
  ]);
  expect(faults(`${LINK}${sparkplug}sparkplug = 3\n`)).toEqual([
    "send.toml:14:1: source[0].sparkplug: is 3; must be true, false or a table",
  ]);
  expect(faults(table.replace('"scada"', '"a/b"'))).toEqual([
    'send.toml:15:1: source[0].sparkplug.primary_host_id: is "a/b", which has the character "/"; must be one level of a topic: without "/", "+" and "#"',
  ]);
  expect(faults(`${GOOD}sparkplug = true\n`)).toEqual([
    'send.toml:14:1: source[0].sparkplug: is on, but none of the topics is of Sparkplug; must go with topics such as "spBv1.0/#"',
  ]);
  const listen =
    '[[source]]\nname = "l"\ntype = "listen"\nanonymous = true\nsubscriptions = "refuse"\nsparkplug = true\n[[source.listener]]\naddress = "127.0.0.1:1883"\n';
  expect(faults(LINK + listen)).toEqual([
    'send.toml:13:1: source[0].subscriptions: is "refuse"; must be "accept" with sparkplug, or edge nodes could hear neither STATE nor requests',
  ]);
  const classes = Array.from(
    { length: 15 },
    (_, index) => `[[priority]]\nname = "p${index}"\ntopics = "p${index}/#"\n`,
  ).join("");
  expect(faults(`${LINK}${classes}${sparkplug}sparkplug = true\n`)).toEqual([
    "send.toml:9:1: priority: has 15 classes; must have at most 14 with sparkplug",
  ]);
  const twin = `${sparkplug.replace('"a"', '"b"')}client_id = "tidegate-send-plant-7-a-sparkplug"\n`;
  expect(faults(`${LINK}${sparkplug}sparkplug = true\n${twin}`)).toEqual([
    'send.toml:20:1: source[1].client_id: is "tidegate-send-plant-7-a-sparkplug at 127.0.0.1:1883", as in line 9 already; must be unique',
  ]);
});
