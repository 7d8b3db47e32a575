// `policy`: what the cloud or broker of each target has to allow, and no more: the document to paste where it wants one,
// else the lines of its access list, else the words of its portal.
import type { TargetProfile } from "./profile.ts";
import { nameClient } from "./targets/broker-target.ts";
import { findPublishedFilters } from "./targets/published-topics.ts";
import { awsRegion } from "./types/aws-login.ts";

/** A text for a person: a heading for each target, and below it what to paste. */
export function formatPolicies(profiles: readonly TargetProfile[]): string {
  return profiles
    .map((profile) => `# target ${profile.name} (${profile.type})\n${formatPolicy(profile)}\n`)
    .join("\n");
}

export function formatPolicy(profile: TargetProfile): string {
  switch (profile.type) {
    case "aws-iot":
      return JSON.stringify(makeAwsPolicy(profile), null, 2);
    case "sparkplug":
      return formatEdgeNodeAccess(profile);
    case "mqtt":
      return formatAccessList(profile);
    case "azure-iot-hub":
      return formatHubNeeds(profile);
    case "azure-event-grid":
      return [
        `# A client with the authentication name ${profile.username ?? profile.clientId}, in a client group of its own; a topic space with`,
        "# these templates; a permission binding of the two with the permission Publisher, and none to subscribe:",
        ...listFilters(profile).map((filter) => `  ${filter}`),
      ].join("\n");
    case "hivemq-cloud":
    case "emqx-cloud":
      return [
        `# Give the user ${profile.username ?? "of this profile"} the permission to publish, and none to subscribe, to:`,
        ...listFilters(profile).map((filter) => `  ${filter}`),
      ].join("\n");
  }
}

function formatHubNeeds({
  auth,
  deviceId,
  provisioning,
}: Extract<TargetProfile, { type: "azure-iot-hub" }>): string {
  const who = deviceId ?? "each device that messages are sent as";
  const lines = [
    `# An enabled identity in the hub for ${who}; a device may send its own telemetry, and needs no more.`,
  ];
  if (auth.kind === "sas-policy")
    lines.push(`# The shared access policy "${auth.policy}" with the permission DeviceConnect only.`);
  if (provisioning !== undefined)
    lines.push("# An enrolment in the provisioning service for the registration id, linked to the hub.");
  return lines.join("\n");
}

/** As Mosquitto's acl_file has it. */
function formatAccessList(profile: TargetProfile): string {
  const who = profile.username === undefined ? [] : [`user ${profile.username}`];
  return [...who, ...listFilters(profile).map((filter) => `topic write ${filter}`)].join("\n");
}

/** To publish as the edge nodes do, and to hear what hosts ask of them. */
function formatEdgeNodeAccess(profile: Extract<TargetProfile, { type: "sparkplug" }>): string {
  const { nodes, certificates, connections } = profile.sparkplug;
  const who = profile.username === undefined ? [] : [`user ${profile.username}`];
  const names = nodes.map((filter) => fillNode(filter));
  const write = (prefix: string) =>
    names.flatMap(([group, node]) => [
      ...["NBIRTH", "NDATA", "NDEATH"].map((type) => `topic write ${prefix}spBv1.0/${group}/${type}/${node}`),
      ...["DBIRTH", "DDATA", "DDEATH"].map(
        (type) => `topic write ${prefix}spBv1.0/${group}/${type}/${node}/+`,
      ),
    ]);
  const retained = write("$sparkplug/certificates/").filter((line) => line.includes("BIRTH"));
  // One connection subscribes for all, whatever nodes there are.
  const heard = connections === "shared" ? [["+", "+"]] : names;
  return [
    ...who,
    ...write(""),
    ...(certificates ? retained : []),
    ...heard.flatMap(([from, of]) => [
      `topic read spBv1.0/${from}/NCMD/${of}`,
      `topic read spBv1.0/${from}/DCMD/${of}/+`,
    ]),
    "topic read spBv1.0/STATE/+",
    "topic read STATE/+",
    ...(profile.status === undefined ? [] : [`topic write ${profile.status.topic}`]),
  ].join("\n");
}

/** "#" and "plant-7/#" have a level for each part. */
function fillNode(filter: string): readonly [group: string, node: string] {
  const [group = "+", node = "+"] = filter.split("/");
  return [group === "#" ? "+" : group, node === "#" ? "+" : node];
}

function listFilters(profile: TargetProfile): string[] {
  const status = profile.status === undefined ? [] : [profile.status.topic];
  const hasMarkLevel = profile.oversize !== "dead-letter" && profile.mqttVersion !== "5";
  return [...findPublishedFilters(profile.topics, hasMarkLevel), ...status];
}

/**
 * Connect as each client id, publish to the topics, and nothing else. Policy wildcards are "*" and "?"; "+" and "#" are
 * plain characters there.
 */
function makeAwsPolicy(profile: Extract<TargetProfile, { type: "aws-iot" }>): object {
  const arn = (kind: string, name: string) =>
    `arn:aws:iot:${awsRegion(profile.url.host) ?? "REGION"}:ACCOUNT_ID:${kind}/${name}`;
  const clients = Array.from({ length: profile.connectionsMax }, (_, index) => nameClient(profile, index));
  const ingest = profile.basicIngestRule === undefined ? "" : `$aws/rules/${profile.basicIngestRule}/`;
  const topics = listFilters(profile).map((filter) =>
    arn("topic", ingest + filter.replaceAll(/(^|\/)[+#](?=\/|$)/g, "$1*")),
  );
  const retains =
    ingest === "" &&
    (profile.status?.retain === true ||
      profile.topics.retain === "forward" ||
      profile.topics.rules.some(({ retain }) => retain === "forward"));
  const connect = {
    Effect: "Allow",
    Action: "iot:Connect",
    Resource: clients.map((id) => arn("client", id)),
    ...(profile.status?.will === true
      ? { Condition: { "ForAllValues:StringEquals": { "iot:ConnectAttributes": ["LastWill"] } } }
      : {}),
  };
  const actions = retains ? ["iot:Publish", "iot:RetainPublish"] : "iot:Publish";
  return {
    Version: "2012-10-17",
    Statement: [connect, { Effect: "Allow", Action: actions, Resource: topics }],
  };
}
