import { afterAll, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { loadRecvConfig } from "../../../../agents/recv/config.ts";
import { formatFault } from "../../../../shared/config/fault.ts";
import { encodeLinkKey } from "../../../../shared/config/link-key.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("recv-config");
afterAll(() => workspace.remove());

const GOOD = `targets = "targets.d"
[link]
id = "plant-7"
key_file = "link.key"
[[link.path]]
type = "udp"
address = "0.0.0.0:14550"
[spool]
directory = "spool"
`;
const PROFILE = `type = "mqtt"
url = "mqtt://broker.example"
client_id = "plant-7"
`;

beforeEach(() => {
  rmSync(workspace.path("targets.d"), { recursive: true, force: true });
  rmSync(workspace.path("link.key"), { force: true });
  workspace.write("link.key", encodeLinkKey(new Uint8Array(32).fill(7)));
  workspace.write("targets.d/hq.toml", PROFILE);
});

function faults(text: string, environment: Record<string, string> = {}): string[] {
  const loaded = loadRecvConfig(workspace.write("recv.toml", text), environment);
  if (loaded.ok) return [];
  return loaded.faults.map((fault) => formatFault(fault).replaceAll(`${workspace.directory}/`, ""));
}

function config(text: string) {
  const loaded = loadRecvConfig(workspace.write("recv.toml", text), {});
  if (!loaded.ok) throw new Error(loaded.faults.map(formatFault).join("\n"));
  return loaded.config;
}

test("loadRecvConfig() fills in every default of the smallest files", () => {
  const { link, profiles, ...rest } = config(GOOD);
  expect({ ...link, keys: link.keys.map((key) => [...key.reveal()]) }).toEqual({
    id: "plant-7",
    sealing: "aes-256-gcm",
    keys: [Array(32).fill(7)],
    patienceMs: 1000,
    assemblyBytesMax: 67_108_864,
    holdBytesMax: 67_108_864,
    degradedAfterMs: 2500,
    downAfterMs: 5000,
    paths: [
      {
        name: "path-1",
        type: "udp",
        address: { host: "0.0.0.0", port: 14_550 },
        interface: undefined,
        receiveBufferBytes: 8_388_608,
        silentAfterMs: 5000,
      },
    ],
  });
  expect(rest).toEqual({
    spool: { directory: workspace.path("spool"), bytesMax: 1_073_741_824, ageHoursMax: 0, durability: "os" },
    deadLetters: { directory: workspace.path("spool"), bytesMax: 67_108_864 },
    limits: { messageBytesMax: 1_048_576 },
    admin: undefined,
    log: { level: "info", file: undefined },
    stop: { graceSeconds: 10 },
    targetsDirectory: workspace.path("targets.d"),
  });
  expect(profiles).toEqual([
    {
      name: "hq",
      type: "mqtt",
      file: workspace.path("targets.d/hq.toml"),
      url: { scheme: "mqtt", host: "broker.example", port: 1883, path: "" },
      clientId: "plant-7",
      mqttVersion: "5",
      username: undefined,
      password: undefined,
      proxy: undefined,
      keepaliveSeconds: 30,
      connectTimeoutSeconds: 10,
      reconnectMinMs: 500,
      reconnectMaxMs: 30_000,
      tls: undefined,
      topics: { topics: ["#"], rules: [], topicPrefix: "", qosMax: 2, retain: "forward" },
      inflightMax: 100,
      inflightBytesMax: undefined,
      ackTimeoutSeconds: 120,
      rate: undefined,
      connectionsMax: 1,
      plan: { backlog: "oldest-first", drainPerSecond: 0, retentionHours: 0, overflow: "drop-oldest" },
      oversize: "dead-letter",
      messageBytesMax: undefined,
      followsReference: true,
      status: undefined,
      probe: undefined,
    },
  ]);
});

test("loadRecvConfig() reads plan and status of a profile, and where dead letters are", () => {
  const plan = 'backlog = "newest-first"\ndrain_per_second = 50\nretention_hours = 24\n';
  workspace.write("targets.d/hq.toml", `${PROFILE}${plan}[status]\ntopic = "tidegate/status"\nqos = 0\n`);
  const { deadLetters, profiles } = config(`${GOOD}[dead_letters]\ndirectory = "letters"\n`);
  expect(deadLetters.directory).toBe(workspace.path("letters"));
  expect(profiles[0]).toMatchObject({
    plan: { backlog: "newest-first", drainPerSecond: 50, retentionHours: 24, overflow: "drop-oldest" },
    status: { topic: "tidegate/status", intervalSeconds: 60, retain: true, qos: 0, will: true },
  });
});

test("loadRecvConfig() reads the profiles in the order of their files and leaves other files out", () => {
  workspace.write("targets.d/a.toml", `name = "z"\n${PROFILE.replace("plant-7", "other")}`);
  for (const name of [".hidden.toml", "notes.txt", "hq.toml.bak", "x.tomlx"]) {
    workspace.write(`targets.d/${name}`, "= broken");
  }
  expect(config(GOOD).profiles.map(({ name }) => name)).toEqual(["z", "hq"]);
});

test("loadRecvConfig() takes the files that a profile names from beside the profile", () => {
  workspace.write("targets.d/password", "hunter2");
  workspace.write(
    "targets.d/hq.toml",
    `${PROFILE}password_file = "password"\ntopic_prefix = "a/b/"\nqos_max = 0\n`,
  );
  const [profile] = config(GOOD).profiles;
  expect(profile?.password?.reveal()).toBe("hunter2");
  expect(profile).toMatchObject({ topics: { topicPrefix: "a/b/", qosMax: 0 } });
});

const URL_ALLOWED =
  "must be mqtt, mqtts, ws or wss://HOST[:PORT], with the user in username and password_file";
const TYPES =
  '"mqtt", "hivemq-cloud", "emqx-cloud", "aws-iot", "azure-iot-hub", "azure-event-grid" or "sparkplug"';
const PROFILE_FAULTS: [from: string, to: string, line: string][] = [
  ['type = "mqtt"', 'type = "mqqt"', `hq.toml:1:1: type: is "mqqt"; must be ${TYPES} (did you mean "mqtt"?)`],
  ['type = "mqtt"', 'type = "kafka"', `hq.toml:1:1: type: is "kafka"; must be ${TYPES}`],
  ['type = "mqtt"\n', "", `hq.toml:1:1: type: is missing; must be ${TYPES}`],
  [
    'client_id = "plant-7"\n',
    "",
    "hq.toml:1:1: client_id: is missing; must be a text of 1 to 256 characters",
  ],
  ['"plant-7"', '""', 'hq.toml:3:1: client_id: is ""; must be a text of 1 to 256 characters'],
  [
    '"plant-7"',
    '"a\\u0000b"',
    "hq.toml:3:1: client_id: has a control character; must be a text of 1 to 256 characters",
  ],
  ["mqtt://broker.example", "mqtts//x", `hq.toml:2:1: url: "mqtts//x" is not a URL; ${URL_ALLOWED}`],
  [
    '"plant-7"',
    '"x"\ntopic_prefix = "a/+/"',
    'hq.toml:4:1: topic_prefix: "a/+/" has the wildcard "+", which only a topic filter may have; must be empty or the beginning of a topic without wildcards, such as "plant-7/"',
  ],
  ['"plant-7"', '"x"\nqos_max = 3', "hq.toml:4:1: qos_max: is 3; must be 0, 1 or 2"],
  ['"plant-7"', '"x"\nretain = "drop"', 'hq.toml:4:1: retain: is "drop"; must be "forward" or "strip"'],
  [
    '"plant-7"',
    '"x"\ninflight_max = 0',
    "hq.toml:4:1: inflight_max: is 0; must be a whole number from 1 to 65535",
  ],
  [
    '"plant-7"',
    '"x"\ntopics = ["a", "b", "a"]',
    'hq.toml:4:21: topics[2]: is "a", as in line 4 already; must be unique',
  ],
  [
    '"plant-7"',
    '"x"\ntopics = ["$share/g/a"]',
    'hq.toml:4:11: topics[0]: "$share/g/a" has a share group; must be a topic filter without "$share", such as "plant/+/temperature" or "plant/#"',
  ],
  [
    '"plant-7"',
    '"x"\nqueue_messages_max = 5',
    "hq.toml:4:1: queue_messages_max: is not a known key; must be one of type, url, mqtt_version, username, password_file, password_env, keepalive_seconds, connect_timeout_seconds, reconnect_min_ms, reconnect_max_ms, tls, proxy, client_id, connections, name, topics, topic_prefix, qos_max, retain, rule, inflight_max, ack_timeout_seconds, messages_per_second, bytes_per_second, backlog, drain_per_second, retention_hours, overflow, status, oversize, probe, server_reference, limits",
  ],
  [
    '"plant-7"',
    '"x"\nbacklog = "newest-first"\noverflow = "drop-newest"',
    'hq.toml:5:1: overflow: is "drop-newest" beside backlog "newest-first"; must be "drop-oldest" there',
  ],
  [
    '"plant-7"',
    '"x"\n[status]\ntopic = "a/#"',
    'hq.toml:5:1: status.topic: "a/#" has the wildcard "#", which only a topic filter may have; must be a topic without wildcards, such as "tidegate/plant-7/status"',
  ],
  [
    '"plant-7"',
    '"x"\n[tls]\nalpn = ["mqtt"]',
    "hq.toml:4:1: tls: is for mqtts and wss, but url has neither; must be left out, or url must be changed",
  ],
];
test.each(PROFILE_FAULTS)("loadRecvConfig() refuses in a profile %j → %j", (from, to, line) => {
  workspace.write("targets.d/hq.toml", PROFILE.replace(from, to));
  expect(faults(GOOD)).toEqual([`targets.d/${line}`]);
});

const RECV_FAULTS: [from: string, to: string, line: string][] = [
  [
    'targets = "targets.d"\n',
    "",
    "recv.toml:1:1: targets: is missing; must be a path of 1 to 4096 characters",
  ],
  [
    '"targets.d"',
    '"none.d"',
    "recv.toml:1:1: targets: none.d does not exist; must be a directory with 1 to 64 profiles, files whose names end with .toml",
  ],
  [
    '"targets.d"',
    '"link.key"',
    "recv.toml:1:1: targets: link.key is not a directory; must be a directory with 1 to 64 profiles, files whose names end with .toml",
  ],
  [
    '"targets.d"',
    '"empty.d"',
    "recv.toml:1:1: targets: empty.d holds no profile; must be a directory with 1 to 64 profiles, files whose names end with .toml",
  ],
  [
    '"0.0.0.0:14550"',
    '"gate.example:1"',
    'recv.toml:7:1: link.path[0].address: "gate.example:1" has a name where an address belongs; must be ADDRESS:PORT, such as "0.0.0.0:14550"',
  ],
  [
    '"0.0.0.0:14550"',
    '"0.0.0.0:0"',
    'recv.toml:7:1: link.path[0].address: "0.0.0.0:0" has the port 0; must be ADDRESS:PORT, such as "0.0.0.0:14550"',
  ],
  [
    "address",
    "endpoint",
    'recv.toml:5:1: link.path[0].address: is missing; must be ADDRESS:PORT, such as "0.0.0.0:14550"',
  ],
  [
    '"0.0.0.0:14550"',
    '"0.0.0.0:14550"\nreceive_buffer_bytes = 4096',
    "recv.toml:8:1: link.path[0].receive_buffer_bytes: is 4096; must be a whole number from 212992 to 1073741824",
  ],
  [
    '"0.0.0.0:14550"',
    '"0.0.0.0:14550"\n[[link.path]]\ntype = "udp"\naddress = "0.0.0.0:14550"',
    'recv.toml:10:1: link.path[1].address: is "0.0.0.0:14550", as in line 7 already; must be unique',
  ],
  [
    '"plant-7"',
    '"plant-7"\ndegraded_after_ms = 6000',
    "recv.toml:4:1: link.degraded_after_ms: is 6000, over link.down_after_ms; must be at most 5000",
  ],
  [
    '"plant-7"',
    '"plant-7"\ndown_after_ms = 1000',
    "recv.toml:4:1: link.down_after_ms: is 1000, under link.degraded_after_ms; must be at least 2500",
  ],
  [
    '"spool"',
    '"spool"\n[limits]\nmessage_bytes_max = 67108865',
    "recv.toml:11:1: limits.message_bytes_max: is 67108865, over link.assembly_bytes_max; must be at most 67108864",
  ],
];
test.each(RECV_FAULTS)("loadRecvConfig() refuses %j → %j", (from, to, line) => {
  mkdirSync(workspace.path("empty.d"), { recursive: true });
  expect(faults(GOOD.replace(from, to)).slice(0, 1)).toEqual([line]);
});

test("loadRecvConfig() refuses profiles that share a name or a seat, naming both files", () => {
  workspace.write(
    "targets.d/a.toml",
    `name = "hq"\n${PROFILE.replace("broker.example", "BROKER.example:1883")}`,
  );
  expect(faults(GOOD)).toEqual([
    'targets.d/hq.toml:1:1: name: is "hq", as in targets.d/a.toml already; must be unique',
    'targets.d/hq.toml:3:1: client_id: is "plant-7 at broker.example:1883", as in targets.d/a.toml already; must be unique',
  ]);
});

test("loadRecvConfig() refuses a file name that is no name, unless the profile has one", () => {
  rmSync(workspace.path("targets.d/hq.toml"));
  workspace.write("targets.d/my hq.toml", PROFILE);
  expect(faults(GOOD)).toEqual([
    'targets.d/my hq.toml:1:1: name: is missing, and "my hq" of the file name is no name; must be 1 to 64 of the characters A-Z a-z 0-9 . _ -',
  ]);
  workspace.write("targets.d/my hq.toml", `name = "hq"\n${PROFILE}`);
  expect(faults(GOOD)).toEqual([]);
});

test("loadRecvConfig() tells the faults of recv.toml and of every profile at once, file by file", () => {
  chmodSync(workspace.path("link.key"), 0o640);
  workspace.write("targets.d/a.toml", "[tls\n");
  workspace.write("targets.d/b.toml", new Uint8Array([0x61, 0x0a, 0xff]));
  workspace.write("targets.d/c.toml", "#".repeat(10_000_000));
  mkdirSync(workspace.path("targets.d/d.toml"));
  workspace.write("targets.d/e.toml", `${PROFILE.replace("plant-7", "e")}qos = 1\nretian = "strip"\n`);
  const printed = faults(GOOD.replace('"spool"', '"spool"\nbytes = 1'));
  expect(printed).toEqual([
    "recv.toml:4:1: link.key_file: link.key has mode 0640, so others can get at it; must be for its owner alone: chmod 600 link.key",
    'recv.toml:10:1: spool.bytes: is not a known key; did you mean "bytes_max"?',
    "targets.d/a.toml:2:1: syntax: is wrong here: unterminated table-key; must be TOML 1.0",
    "targets.d/b.toml:2:1: file: is not UTF-8 text; must be TOML, saved as UTF-8",
    "targets.d/c.toml:1:1: file: is over 1048576 bytes (10000000); must be a readable TOML file of at most 1048576 bytes",
    "targets.d/d.toml:1:1: file: is a directory; must be a readable TOML file of at most 1048576 bytes",
    'targets.d/e.toml:4:1: qos: is not a known key; did you mean "qos_max"?',
    'targets.d/e.toml:5:1: retian: is not a known key; did you mean "retain"?',
  ]);
});

test("loadRecvConfig() refuses more profiles than it can serve", () => {
  for (let number = 0; number < 64; number++) workspace.write(`targets.d/t${number}.toml`, PROFILE);
  expect(faults(GOOD)).toEqual([
    "recv.toml:1:1: targets: targets.d holds 65 profiles; must be a directory with 1 to 64 profiles, files whose names end with .toml",
  ]);
});

test("loadRecvConfig() looks into no table of a type it doesn't know", () => {
  workspace.write(
    "targets.d/hq.toml",
    'type = "kafka"\nurl = 5\ntopics = 7\npassword_file = "none"\n[tls]\nca_file = 1\n',
  );
  expect(faults(GOOD)).toEqual([`targets.d/hq.toml:1:1: type: is "kafka"; must be ${TYPES}`]);
});
