// The type "aws-iot": AWS IoT Core. Knows its endpoints, ports, ALPN names, logins and limits, so that a profile names
// only the endpoint, the client id and the certificate.
// Refuses what AWS would answer with a closed connection: a client id it reserves, an endpoint that is none, keys of
// another region, a custom authorizer without its token.
import * as z from "zod";
import { formatEndpoint, parseEndpoint } from "../../../shared/config/endpoint.ts";
import { checked, choice, text, wholeNumber } from "../../../shared/config/leaf.ts";
import {
  loadSession,
  type SessionMaterial,
  sessionShape,
  toSession,
} from "../../../shared/config/mqtt-session.ts";
import type { Review } from "../../../shared/config/review.ts";
import { readValue } from "../../../shared/config/schema-faults.ts";
import type { Secret } from "../../../shared/config/secret.ts";
import { quoteText } from "../../../shared/config/show-value.ts";
import { table } from "../../../shared/config/table.ts";
import type { Partially } from "../../../shared/config/validate.ts";
import {
  AWS_KEEP_ALIVE,
  AWS_LIMITS,
  AWS_PACE,
  type AwsLimits,
  checkAwsClientId,
} from "../targets/aws/limits.ts";
import type { AwsKeys } from "../targets/aws/sigv4.ts";
import type { BrokerTarget } from "../targets/broker-target.ts";
import { AMAZON_ROOTS, readRoots } from "../targets/roots.ts";
import {
  AWS_HOST,
  type AwsAuth,
  awsLoginShape,
  loadAwsKeys,
  reviewAuthorizer,
  toAwsAuth,
} from "./aws-login.ts";
import { baseShape, connectionsShape, PLAIN_BASE, reviewBase, toBase } from "./base.ts";
import { reviewTopicBounds } from "./topic-bounds.ts";

export type AwsIotTarget = BrokerTarget & {
  readonly type: "aws-iot";
  readonly auth: AwsAuth;
  readonly basicIngestRule: string | undefined;
  readonly limits: AwsLimits;
};

/** Nine tenths of what a connection may do: the burst after a pause comes on top. */
const AWS_BASE = {
  ...PLAIN_BASE,
  qosMax: 1,
  retain: "strip",
  inflightMax: AWS_PACE.inflightMax,
  inflightCap: AWS_PACE.inflightMax,
  messagesPerSecond: 90,
  bytesPerSecond: 450_000,
  will: false,
} as const;
const ENDPOINT =
  "must be HOST or HOST:PORT, as `aws iot describe-endpoint --endpoint-type iot:Data-ATS` tells it";

const MQTTS_PORT = 8883;
const HTTPS_PORT = 443;

const { url: _url, username: _u, password_file: _f, password_env: _e, ...session } = sessionShape();

export const awsIotTable = table({
  type: z.literal("aws-iot").describe("Publishes to AWS IoT Core."),
  endpoint: checked(text(253), ENDPOINT, (value) => {
    const parsed = parseEndpoint(value, MQTTS_PORT);
    return typeof parsed === "string" ? `${quoteText(value)} ${parsed}` : undefined;
  }).describe(
    "Host of the account's data endpoint, PREFIX-ats.iot.REGION.amazonaws.com, or a custom domain. Default port: 8883 with x509, else 443.",
  ),
  auth: choice(["x509", "custom", "sigv4"])
    .default("x509")
    .describe(
      '"x509": the certificate of [tls]; "custom": a custom authorizer; "sigv4": a WebSocket that AWS keys sign.',
    ),
  ...session,
  keepalive_seconds: wholeNumber(AWS_KEEP_ALIVE.secondsMin, AWS_KEEP_ALIVE.secondsMax)
    .default(30)
    .describe("A ping is sent when nothing else was for this long; a dead connection is noticed by it."),
  reconnect_min_ms: wholeNumber(1000, 600_000)
    .default(1000)
    .describe("Shortest wait before connecting again: AWS takes one CONNECT a second of a client id."),
  ...connectionsShape(AWS_BASE),
  ...baseShape(AWS_BASE),
  basic_ingest_rule: checked(text(128), "must be the name of a rule: letters, digits and _", (value) =>
    /^[A-Za-z0-9_]+$/.test(value) ? undefined : quoteText(value),
  )
    .optional()
    .describe(
      "Sends to this rule directly (Basic Ingest): no messaging charge, no subscribers. A rule that does not exist looks like success.",
    ),
  ...awsLoginShape(),
  limits: table({
    payload_bytes_max: wholeNumber(1, 268_435_455)
      .default(AWS_LIMITS.payloadBytesMax)
      .describe("Payload of a message."),
    topic_bytes_max: wholeNumber(1, 65_535).default(AWS_LIMITS.topicBytesMax).describe("Topic in UTF-8."),
    topic_slashes_max: wholeNumber(0, 65_535)
      .default(AWS_LIMITS.topicSlashesMax)
      .describe("Slashes in a topic."),
  })
    .prefault({})
    .describe("Limits of AWS IoT Core, should they have moved. What is beyond them becomes a dead letter."),
});

export type AwsIotTable = z.output<typeof awsIotTable>;
export type AwsIotMaterial = SessionMaterial & { readonly keys: Secret<AwsKeys> | undefined };

/** The URL that the endpoint and the kind of login make; undefined while one of them has a fault. */
export function awsUrl({ endpoint, auth }: Partially<AwsIotTable>): string | undefined {
  if (endpoint === undefined || auth === undefined) return undefined;
  const parsed = parseEndpoint(endpoint, auth === "x509" ? MQTTS_PORT : HTTPS_PORT);
  if (typeof parsed === "string") return undefined;
  return auth === "sigv4" ? `wss://${formatEndpoint(parsed)}/mqtt` : `mqtts://${formatEndpoint(parsed)}`;
}

/** Checks the keys against each other and reads the files. */
export function loadAwsIot(review: Review, profile: Partially<AwsIotTable>): AwsIotMaterial {
  reviewBase(review, profile);
  const { topic_bytes_max: bytesMax, topic_slashes_max: slashesMax } = profile.limits ?? {};
  reviewTopicBounds(review, profile, {
    service: "AWS IoT",
    bytesMax: bytesMax ?? AWS_LIMITS.topicBytesMax,
    levelsMax: (slashesMax ?? AWS_LIMITS.topicSlashesMax) + 1,
    // Behind the prefix of Basic Ingest it is a character like any other.
    reservesDollar: profile.basic_ingest_rule === undefined,
  });
  reviewEndpoint(review, profile);
  reviewClientIds(review, profile);
  const has = (...at: string[]) => readValue(review.document, at) !== undefined;
  if (profile.auth === "x509" && !has("tls", "cert_file"))
    review.add(["tls"], 'has no cert_file, which auth = "x509" needs', "must have cert_file and key_file");
  if (profile.auth !== undefined && profile.auth !== "x509" && has("tls", "cert_file"))
    review.add(["tls", "cert_file"], `is given beside auth = "${profile.auth}"`, "must be left out");
  for (const [kind, key] of [
    ["custom", "custom_authorizer"],
    ["sigv4", "sigv4"],
  ] as const) {
    if (has(key) && profile.auth !== undefined && profile.auth !== kind)
      review.add(
        [key],
        `is given beside auth = "${profile.auth}"`,
        `must be left out, or auth must be "${kind}"`,
      );
  }
  if (profile.auth === "custom") reviewAuthorizer(review, profile);
  const url = awsUrl(profile);
  const material = loadSession(review, [], { ...profile, url, mqtt_version: profile.mqtt_version });
  return { ...material, keys: profile.auth === "sigv4" ? loadAwsKeys(review, profile) : undefined };
}

function reviewEndpoint(review: Review, profile: Partially<AwsIotTable>): void {
  const host = /^\[?([^\]:]*)/.exec(profile.endpoint ?? "")?.[1] ?? "";
  if (!/\.amazonaws\.com/.test(host)) return;
  const [, ats, region] = AWS_HOST.exec(host) ?? [];
  if (region === undefined)
    review.add(["endpoint"], `${quoteText(host)} is no data endpoint of AWS IoT`, ENDPOINT);
  else if (ats === undefined)
    review.add(
      ["endpoint"],
      `${quoteText(host)} is the old endpoint, whose certificate nobody trusts any more`,
      ENDPOINT,
    );
  const wanted = profile.sigv4?.region;
  if (region !== undefined && wanted !== undefined && wanted !== region)
    review.add(
      ["sigv4", "region"],
      `is ${quoteText(wanted)}, and endpoint is in ${region}`,
      "must be the same region",
    );
  if (region === undefined) return;
}

function reviewClientIds(review: Review, profile: Partially<AwsIotTable>): void {
  if (profile.client_id === undefined) return;
  // The longest one: the number of the last connection is put behind it.
  const longest =
    (profile.connections ?? 1) > 1 ? `${profile.client_id}-${profile.connections}` : profile.client_id;
  const fault = checkAwsClientId(longest);
  if (fault === "reserved") review.add(["client_id"], 'begins with "$"', "must begin with another character");
  if (fault === "too-long")
    review.add(
      ["client_id"],
      `makes ids of ${Buffer.byteLength(longest)} bytes`,
      "must make ids of at most 128 bytes",
    );
}

export function toAwsIotTarget(
  review: Review,
  nameDefault: string,
  value: AwsIotTable,
  material: AwsIotMaterial,
): AwsIotTarget {
  const session = toSession(
    {
      ...value,
      url: awsUrl(value) ?? "",
      username: undefined,
      password_file: undefined,
      password_env: undefined,
    },
    value.client_id,
    material,
  );
  const tls = session.tls && {
    ...session.tls,
    caPem: session.tls.caPem ?? readRoots(AMAZON_ROOTS),
    alpn: session.tls.alpn.length > 0 ? session.tls.alpn : ALPN[value.auth],
  };
  return {
    ...session,
    ...toBase(review, nameDefault, value),
    tls,
    type: "aws-iot",
    auth: toAwsAuth(review, value, material.keys),
    basicIngestRule: value.basic_ingest_rule,
    limits: {
      ...AWS_LIMITS,
      payloadBytesMax: value.limits.payload_bytes_max,
      topicBytesMax: value.limits.topic_bytes_max,
      topicSlashesMax: value.limits.topic_slashes_max,
    },
  };
}

/** Offered on every port: 8883 needs none and does not mind, 443 tells the logins apart by it. */
const ALPN: Record<AwsIotTable["auth"], readonly string[]> = {
  x509: ["x-amzn-mqtt-ca"],
  custom: ["mqtt"],
  sigv4: [],
};
