// The type "azure-iot-hub": Azure IoT Hub over MQTT 3.1.1, as one device (or module) that speaks for all sources, or as a
// device for each (identity). Knows its ports, paths, logins, formats and throttles, so that a profile names the hub, the
// device and its key.
// Refuses what the hub would answer by closing the connection, and logins that cannot be: keys beside a certificate,
// one device's key for many devices, a policy for a device that is yet to be provisioned.
import * as z from "zod";
import type { BrokerUrl } from "../../../shared/config/broker-url.ts";
import {
  type Endpoint,
  formatEndpoint,
  isServerName,
  parseEndpoint,
} from "../../../shared/config/endpoint.ts";
import { checked, choice, flag, text, wholeNumber } from "../../../shared/config/leaf.ts";
import {
  describeSeat,
  loadSession,
  type SessionMaterial,
  sessionShape,
  toSession,
} from "../../../shared/config/mqtt-session.ts";
import type { Review } from "../../../shared/config/review.ts";
import { readValue } from "../../../shared/config/schema-faults.ts";
import { mayHoldSecret, quoteText } from "../../../shared/config/show-value.ts";
import { table } from "../../../shared/config/table.ts";
import type { Partially } from "../../../shared/config/validate.ts";
import {
  HUB_KEEP_ALIVE_SECONDS_MAX,
  HUB_MESSAGE_BYTES_MAX,
  HUB_TIERS,
  hubRate,
  isHubId,
} from "../targets/azure/hub-limits.ts";
import type { BagRules } from "../targets/azure/property-bag.ts";
import type { BrokerTarget } from "../targets/broker-target.ts";
import { AZURE_ROOTS, readRoots } from "../targets/roots.ts";
import {
  HUB_ID,
  HUB_NAME,
  type HubDevices,
  type HubProvisioning,
  identityShape,
  reviewIdentity,
  toDevices,
  toHubUrl,
  toProvisioning,
} from "./azure-hub-identity.ts";
import { keyFile, keyVariable, loadSasKey, type SasKeySource } from "./azure-key.ts";
import { baseShape, PLAIN_BASE, reviewBase, toBase } from "./base.ts";

export type HubAuth =
  | { readonly kind: "x509" }
  | { readonly kind: "sas-key" | "sas-group"; readonly key: SasKeySource }
  | { readonly kind: "sas-policy"; readonly policy: string; readonly key: SasKeySource };

export type AzureIotHubTarget = BrokerTarget & {
  readonly type: "azure-iot-hub";
  /** Its own name, which may not be where the connection goes; undefined when it is assigned. */
  readonly hub: string | undefined;
  readonly deviceId: string | undefined;
  readonly provisioning: HubProvisioning | undefined;
  readonly devices: HubDevices | undefined;
  /** Where the connection goes, when the profile says so. */
  readonly endpoint: Endpoint | undefined;
  readonly moduleId: string | undefined;
  readonly auth: HubAuth;
  readonly sasSeconds: number;
  readonly bag: BagRules;
  readonly messageBytesMax: number;
};

const HUB_BASE = { ...PLAIN_BASE, qosMax: 1, retain: "strip", will: false } as const;
const AUTHS = ["sas-key", "sas-policy", "sas-group", "x509"] as const;

const {
  url: _url,
  mqtt_version: _v,
  username: _u,
  password_file: _f,
  password_env: _e,
  ...session
} = sessionShape();
const { messages_per_second: _m, ...base } = baseShape(HUB_BASE);

function hubId(what: string) {
  return checked(text(128), HUB_ID, (value) => (isHubId(value) ? undefined : quoteText(value))).describe(
    what,
  );
}

export const azureIotHubTable = table({
  type: z.literal("azure-iot-hub").describe("Publishes to Azure IoT Hub."),
  hub: checked(text(253), HUB_NAME, (value) => {
    if (mayHoldSecret(value) || /SharedAccess/i.test(value)) return "is a connection string";
    return isServerName(value) ? undefined : quoteText(value);
  })
    .optional()
    .describe("Host name of the hub, NAME.azure-devices.net. Left out with [provisioning]."),
  device_id: hubId(
    "The device that all messages come from. Left out with [identity] and [provisioning].",
  ).optional(),
  module_id: hubId("The module of that device, when it is one.").optional(),
  endpoint: checked(text(253), "must be HOST or HOST:PORT", (value) => {
    const parsed = parseEndpoint(value, 8883);
    return typeof parsed === "string" ? `${quoteText(value)} ${parsed}` : undefined;
  })
    .optional()
    .describe("Where to connect instead of hub: an IoT Edge gateway, a private endpoint, another port."),
  websocket: flag()
    .default(false)
    .describe("MQTT in a WebSocket at port 443, for networks that let nothing else out; else port 8883."),
  auth: choice(AUTHS).describe(
    '"sas-key": the key of the device; "sas-policy": a shared access policy with DeviceConnect, for all devices; "sas-group": keys derived from that of an enrolment group; "x509": the certificate of [tls].',
  ),
  device_key_file: keyFile("the device's key"),
  device_key_env: keyVariable(),
  policy_name: text(64).optional().describe('Name of the policy, for auth = "sas-policy".'),
  policy_key_file: keyFile("the policy's key"),
  policy_key_env: keyVariable(),
  group_key_file: keyFile("the enrolment group's key"),
  group_key_env: keyVariable(),
  sas_seconds: wholeNumber(10, 31_536_000)
    .default(3600)
    .describe(
      "Life of a token. Each connection has its own; about a quarter before the end it is replaced, in good order.",
    ),
  ...session,
  keepalive_seconds: wholeNumber(5, HUB_KEEP_ALIVE_SECONDS_MAX)
    .default(30)
    .describe("A ping is sent when nothing else was for this long; a dead connection is noticed by it."),
  tier: choice(HUB_TIERS).default("S1").describe("Tier of the hub: it says how much it takes."),
  units: wholeNumber(1, 200).default(1).describe("Units of the hub."),
  ...base,
  messages_per_second: wholeNumber(0, 1_000_000)
    .optional()
    .describe(
      "Messages a second that this target publishes at most; 0 is no limit. Default: nine tenths of what tier and units allow the whole hub.",
    ),
  topic_property: checked(text(64), "must be letters, digits, - . and _", (value) =>
    /^[A-Za-z0-9._-]+$/.test(value) && !/^iothub-/i.test(value) ? undefined : quoteText(value),
  )
    .default("topic")
    .describe("The application property that says which topic the message has (after the rules)."),
  event_time: flag()
    .default(true)
    .describe("Says in iothub-creation-time-utc when the message was accepted in the plant."),
  content_type: text(256)
    .optional()
    .describe(
      'Content type ($.ct) of messages that say none: "application/json" lets the hub route by body.',
    ),
  content_encoding: choice(["utf-8", "utf-16", "utf-32"])
    .optional()
    .describe("Content encoding ($.ce) of messages that are not said to be UTF-8."),
  ...identityShape(),
  limits: table({
    message_bytes_max: wholeNumber(1, 268_435_455)
      .default(HUB_MESSAGE_BYTES_MAX)
      .describe("Payload, property names and values together, as the hub counts."),
  })
    .prefault({})
    .describe("Limits of IoT Hub, should they have moved. What is beyond them becomes a dead letter."),
});

export type AzureIotHubTable = z.output<typeof azureIotHubTable>;
export type AzureIotHubMaterial = SessionMaterial & { readonly auth: HubAuth | undefined };

/** Where the connection goes; undefined while a key that says so has a fault. */
export function hubUrl(profile: Partially<AzureIotHubTable>): BrokerUrl | undefined {
  const { hub, endpoint, websocket, provisioning } = profile;
  // Until the hub is known, its place is taken by the service that will tell it.
  const host = endpoint ?? hub ?? provisioning?.endpoint;
  return host === undefined || websocket === undefined ? undefined : toHubUrl(host, websocket);
}

type Seat = { readonly path: readonly string[]; readonly seat: string | undefined };

/** What no other profile may have: the hub throws one of two clients with the same identity out. */
export function hubSeats(profile: Partially<AzureIotHubTable>): Seat[] {
  const { hub, device_id: deviceId, module_id: moduleId, provisioning } = profile;
  const { id_scope: idScope, registration_id: registrationId } = provisioning ?? {};
  if (profile.identity !== undefined && hub !== undefined)
    return [{ path: ["identity"], seat: describeSeat(`mqtts://${hub}`, "all devices") }];
  if (idScope !== undefined && registrationId !== undefined)
    return [{ path: ["provisioning", "registration_id"], seat: `${registrationId} in ${idScope}` }];
  if (hub === undefined || deviceId === undefined) return [];
  const seat = describeSeat(`mqtts://${hub}`, hubClientId(deviceId, moduleId));
  return [{ path: ["device_id"], seat }];
}

export function hubClientId(deviceId: string, moduleId: string | undefined): string {
  return moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`;
}

/** Checks the keys against each other and reads the files. */
export function loadAzureIotHub(review: Review, profile: Partially<AzureIotHubTable>): AzureIotHubMaterial {
  reviewBase(review, profile);
  const has = (...at: string[]) => readValue(review.document, at) !== undefined;
  if (profile.status?.will === true)
    review.add(["status", "will"], "is true, and this type leaves no will", "must be false or left out");
  reviewIdentity(review, profile);
  const { auth } = profile;
  if (auth === "x509" && !has("tls", "cert_file"))
    review.add(["tls"], 'has no cert_file, which auth = "x509" needs', "must have cert_file and key_file");
  if (auth !== undefined && auth !== "x509" && has("tls", "cert_file"))
    review.add(
      ["tls", "cert_file"],
      `is given beside auth = "${auth}"`,
      'must be left out, or auth = "x509"',
    );
  for (const [kind, keys] of Object.entries(KEYS_OF)) {
    if (auth === undefined || auth === kind) continue;
    for (const key of keys.filter((each) => has(each)))
      review.add([key], `is given beside auth = "${auth}"`, `must be left out, or auth = "${kind}"`);
  }
  const url = hubUrl(profile);
  const shown = url && `${url.scheme}://${formatEndpoint(url)}${url.path}`;
  return { ...loadSession(review, [], { ...profile, url: shown }), auth: loadAuth(review, profile) };
}

const KEYS_OF = {
  "sas-key": ["device_key_file", "device_key_env"],
  "sas-policy": ["policy_name", "policy_key_file", "policy_key_env"],
  "sas-group": ["group_key_file", "group_key_env"],
} as const;

function loadAuth(review: Review, profile: Partially<AzureIotHubTable>): HubAuth | undefined {
  const { auth } = profile;
  if (auth === undefined) return undefined;
  if (auth === "x509") return { kind: auth };
  if (auth === "sas-policy") {
    if (readValue(review.document, ["policy_name"]) === undefined)
      review.add(["policy_name"], "is missing", 'must be given with auth = "sas-policy"');
    const { policy_key_file: file, policy_key_env: variable, policy_name: policy } = profile;
    const key = loadSasKey(review, "policy_key", auth, { file, variable });
    return key && policy ? { kind: auth, policy, key } : undefined;
  }
  const [name, file, variable] =
    auth === "sas-key"
      ? (["device_key", profile.device_key_file, profile.device_key_env] as const)
      : (["group_key", profile.group_key_file, profile.group_key_env] as const);
  const key = loadSasKey(review, name, auth, { file, variable });
  return key && { kind: auth, key };
}

export function toAzureIotHubTarget(
  review: Review,
  nameDefault: string,
  value: AzureIotHubTable,
  material: AzureIotHubMaterial,
): AzureIotHubTarget {
  const url = hubUrl(value);
  const { hub, device_id: deviceId, module_id: moduleId } = value;
  const provisioning = toProvisioning(review, value);
  const devices = toDevices(value, hubRate(value.tier, value.units));
  // With devices each connection has its own.
  const clientId =
    deviceId === undefined
      ? (provisioning?.registrationId ?? (devices && ""))
      : hubClientId(deviceId, moduleId);
  // The review has noted each of these as a fault: reaching this is a bug.
  if (url === undefined || material.auth === undefined || clientId === undefined)
    throw new Error("cannot use the profile: it has faults");
  const shown = `${url.scheme}://${formatEndpoint(url)}${url.path}`;
  const login = { username: undefined, password_file: undefined, password_env: undefined };
  const opened = toSession({ ...value, ...login, url: shown, mqtt_version: "3.1.1" }, clientId, material);
  const rate = value.messages_per_second ?? hubRate(value.tier, value.units);
  return {
    ...opened,
    ...toBase(review, nameDefault, { ...value, messages_per_second: rate }),
    tls: opened.tls && { ...opened.tls, caPem: opened.tls.caPem ?? readRoots(AZURE_ROOTS) },
    type: "azure-iot-hub",
    hub,
    deviceId,
    moduleId,
    provisioning,
    devices,
    endpoint: value.endpoint === undefined ? undefined : { host: url.host, port: url.port },
    auth: material.auth,
    sasSeconds: value.sas_seconds,
    bag: {
      topicProperty: value.topic_property,
      eventTime: value.event_time,
      contentType: value.content_type,
      contentEncoding: value.content_encoding,
    },
    messageBytesMax: value.limits.message_bytes_max,
  };
}
