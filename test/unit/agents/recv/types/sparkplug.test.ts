// Tests of types/sparkplug.ts: the smallest profile, and what is said of those that cannot work.
import { afterAll, expect, test } from "bun:test";
import { loadRecvConfig } from "../../../../../agents/recv/config.ts";
import { formatPolicy } from "../../../../../agents/recv/policy-command.ts";
import { formatFault } from "../../../../../shared/config/fault.ts";
import { encodeLinkKey } from "../../../../../shared/config/link-key.ts";
import { Workspace } from "../../../../support/workspace.ts";

const workspace = new Workspace("sparkplug-profile");
afterAll(() => workspace.remove());

const PROFILE = `type = "sparkplug"
url = "mqtt://broker.example"
client_id = "plant-7"
`;

function load(profile: string) {
  workspace.write("link.key", encodeLinkKey(new Uint8Array(32).fill(7)));
  workspace.write("targets.d/hq.toml", profile);
  const recv = workspace.write(
    "recv.toml",
    `targets = "targets.d"
[link]
id = "plant-7"
key_file = "link.key"
[[link.path]]
type = "udp"
address = "0.0.0.0:14550"
[spool]
directory = "spool"
`,
  );
  const loaded = loadRecvConfig(recv, {});
  const faults = loaded.ok
    ? []
    : loaded.faults.map((fault) => formatFault(fault).replaceAll(`${workspace.directory}/`, ""));
  return { faults, profile: loaded.ok ? loaded.config.profiles[0] : undefined };
}

test("the smallest profile has every default", () => {
  const { faults, profile } = load(PROFILE);
  expect(faults).toEqual([]);
  expect(profile).toMatchObject({
    name: "hq",
    type: "sparkplug",
    clientId: "plant-7",
    plan: { backlog: "oldest-first" },
    sparkplug: {
      nodes: ["#"],
      connections: "shared",
      connectionsMax: 200,
      certificates: false,
      deathAfterMs: 30_000,
      rebirthMinMs: 5000,
      holdMs: 180_000,
      nodesMax: 10_000,
      metricsMax: 1_000_000,
      stateBytesMax: 268_435_456,
    },
  });
});

test.each([
  [
    'status = { topic = "s", will = true }',
    'targets.d/hq.toml:4:25: status.will: is true, and the will of the connection is the death of an edge node; must be false, or sparkplug.connections = "per-node"',
  ],
  [
    'sparkplug = { nodes = ["a/b/c"] }',
    'targets.d/hq.toml:4:24: sparkplug.nodes[0]: "a/b/c" has 3 levels; must be a filter of GROUP/NODE, such as "plant-7/+" or "#"',
  ],
  ['topic_prefix = "x/"', "targets.d/hq.toml:4:1: topic_prefix: is not a known key"],
  ['backlog = "newest-first"', "targets.d/hq.toml:4:1: backlog: is not a known key"],
])("%s is refused", (line, sentence) => {
  expect(load(PROFILE + line).faults.join("\n")).toContain(sentence);
});

test("a will of the status is taken where each edge node has its own connection", () => {
  const { faults } = load(
    `${PROFILE}status = { topic = "s", will = true }\nsparkplug = { connections = "per-node" }`,
  );
  expect(faults).toEqual([]);
});

test("formatPolicy() names what it publishes and hears, for the edge nodes that are wanted", () => {
  const { profile } = load(
    `${PROFILE}username = "t"\nsparkplug = { nodes = ["plant/+"], certificates = true }`,
  );
  if (profile === undefined) throw new Error("the profile has faults");
  expect(formatPolicy(profile).split("\n")).toEqual([
    "user t",
    "topic write spBv1.0/plant/NBIRTH/+",
    "topic write spBv1.0/plant/NDATA/+",
    "topic write spBv1.0/plant/NDEATH/+",
    "topic write spBv1.0/plant/DBIRTH/+/+",
    "topic write spBv1.0/plant/DDATA/+/+",
    "topic write spBv1.0/plant/DDEATH/+/+",
    "topic write $sparkplug/certificates/spBv1.0/plant/NBIRTH/+",
    "topic write $sparkplug/certificates/spBv1.0/plant/DBIRTH/+/+",
    "topic read spBv1.0/+/NCMD/+",
    "topic read spBv1.0/+/DCMD/+/+",
    "topic read spBv1.0/STATE/+",
    "topic read STATE/+",
  ]);
});
