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
    case "azure-iot-hub":
      return describeHubRights(profile);
    case "azure-event-grid":
      return describeGridRights(profile);
    case "mqtt":
      return formatAccessList(profile);
    case "hivemq-cloud":
    case "emqx-cloud":
      return [
        `# Give the user ${profile.username ?? "of this profile"} the permission to publish, and none to subscribe, to:`,
        ...listFilters(profile).map((filter) => `  ${filter}`),
      ].join("\n");
  }
}

type OfType<Type> = Extract<TargetProfile, { type: Type }>;

/** IoT Hub knows no topics: a device may send telemetry as itself, and nothing else is used. */
function describeHubRights(profile: OfType<"azure-iot-hub">): string {
  const { hub, deviceId, moduleId, auth, provisioning, devices } = profile;
  const who =
    devices !== undefined
      ? "# Each device that identity.device_id makes has to be in the registry, enabled:"
      : provisioning === undefined
        ? `# In the registry of ${hub}, enabled: device ${deviceId}${moduleId === undefined ? "" : `, module ${moduleId}`}`
        : `# In the provisioning service ${provisioning.idScope}, enabled: an enrolment for ${provisioning.registrationId}`;
  const how = {
    "sas-key": "#   authentication: symmetric key",
    "sas-group": "#   authentication: symmetric key, derived from the key of the enrolment group",
    "sas-policy": `#   a shared access policy ${auth.kind === "sas-policy" ? auth.policy : ""} with DeviceConnect and nothing else`,
    x509: "#   authentication: X.509, signed by an authority of the hub or by thumbprint",
  }[auth.kind];
  return [who, how, "#   it sends telemetry; it subscribes to nothing and needs no other right"].join("\n");
}

function describeGridRights(profile: OfType<"azure-event-grid">): string {
  const who =
    profile.auth.kind === "jwt"
      ? "# The identity of the token needs the role EventGrid TopicSpaces Publisher on a topic space with:"
      : `# A permission binding, Publisher, for the group of client ${profile.username ?? ""} on a topic space with:`;
  return [who, ...listFilters(profile).map((filter) => `  ${filter}`)].join("\n");
}

/** As Mosquitto's acl_file has it. */
function formatAccessList(profile: TargetProfile): string {
  const who = profile.username === undefined ? [] : [`user ${profile.username}`];
  return [...who, ...listFilters(profile).map((filter) => `topic write ${filter}`)].join("\n");
}

function listFilters(profile: TargetProfile): string[] {
  const status = profile.status === undefined ? [] : [profile.status.topic];
  return [...findPublishedFilters(profile.topics), ...status];
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
