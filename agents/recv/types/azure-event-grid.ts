// The type "azure-event-grid": the MQTT broker of an Azure Event Grid namespace, over MQTT 5. Knows its ports, logins and
// limits, so that a profile names the host, the client and its certificate or token.
// Refuses what ends in a connection that is closed again and again: a token beside a certificate, no authentication name
// for a certificate, several connections where the namespace allows one session of a name.
import * as z from "zod";
import { formatEndpoint, parseEndpoint } from "../../../shared/config/endpoint.ts";
import { checked, choice, flag, path, text, wholeNumber } from "../../../shared/config/leaf.ts";
import {
  loadSession,
  type SessionMaterial,
  sessionShape,
  toSession,
} from "../../../shared/config/mqtt-session.ts";
import type { Review } from "../../../shared/config/review.ts";
import { readValue } from "../../../shared/config/schema-faults.ts";
import { quoteText } from "../../../shared/config/show-value.ts";
import { table } from "../../../shared/config/table.ts";
import type { Partially } from "../../../shared/config/validate.ts";
import {
  EVENT_GRID_KEEP_ALIVE_SECONDS_MAX,
  EVENT_GRID_LIMITS,
  EVENT_GRID_PACE,
  type EventGridLimits,
} from "../targets/azure/event-grid-limits.ts";
import { readJwt } from "../targets/azure/jwt-file.ts";
import type { BrokerTarget } from "../targets/broker-target.ts";
import { AZURE_ROOTS, readRoots } from "../targets/roots.ts";
import { baseShape, connectionsShape, PLAIN_BASE, reviewBase, toBase } from "./base.ts";
import { reviewTopicBounds } from "./topic-bounds.ts";

export type EventGridAuth =
  | { readonly kind: "x509" }
  | { readonly kind: "jwt"; readonly method: "OAUTH2-JWT" | "CUSTOM-JWT"; readonly file: string };

export type AzureEventGridTarget = BrokerTarget & {
  readonly type: "azure-event-grid";
  readonly auth: EventGridAuth;
  readonly limits: EventGridLimits;
};

/** Nine tenths of what a session may do: the burst after a pause comes on top. */
const EVENT_GRID_BASE = {
  ...PLAIN_BASE,
  qosMax: 1,
  retain: "strip",
  inflightMax: EVENT_GRID_PACE.inflightMax,
  inflightCap: EVENT_GRID_PACE.inflightMax,
  messagesPerSecond: 900,
  bytesPerSecond: 900_000,
  will: false,
} as const;
const ENDPOINT = "must be HOST or HOST:PORT, the MQTT hostname that the portal shows of the namespace";

const { url: _url, mqtt_version: _v, password_file: _f, password_env: _e, ...session } = sessionShape();

export const azureEventGridTable = table({
  type: z
    .literal("azure-event-grid")
    .describe("Publishes to the MQTT broker of an Azure Event Grid namespace."),
  endpoint: checked(text(253), ENDPOINT, (value) => {
    const parsed = parseEndpoint(value, 8883);
    return typeof parsed === "string" ? `${quoteText(value)} ${parsed}` : undefined;
  }).describe(
    "MQTT hostname of the namespace, NAME.REGION-1.ts.eventgrid.azure.net. Default port: 8883, with websocket 443.",
  ),
  websocket: flag()
    .default(false)
    .describe("MQTT in a WebSocket at port 443, for networks that let nothing else out."),
  auth: choice(["x509", "jwt"])
    .default("x509")
    .describe('"x509": the certificate of [tls]; "jwt": the token in jwt_file.'),
  jwt_file: path()
    .optional()
    .describe(
      "File with the JSON Web Token on one line, mode 0600. When it changes, the connection is replaced by one with the new token.",
    ),
  jwt_method: choice(["OAUTH2-JWT", "CUSTOM-JWT"])
    .default("OAUTH2-JWT")
    .describe(
      '"OAUTH2-JWT": a token of Microsoft Entra; "CUSTOM-JWT": of an issuer that the namespace is told of.',
    ),
  ...session,
  keepalive_seconds: wholeNumber(5, EVENT_GRID_KEEP_ALIVE_SECONDS_MAX)
    .default(30)
    .describe("A ping is sent when nothing else was for this long; a dead connection is noticed by it."),
  reconnect_min_ms: wholeNumber(1000, 600_000)
    .default(1100)
    .describe("Shortest wait before connecting again: Event Grid takes one attempt a second of a session."),
  ...connectionsShape(EVENT_GRID_BASE),
  ...baseShape(EVENT_GRID_BASE),
  limits: table({
    message_bytes_max: wholeNumber(1, 268_435_455)
      .default(EVENT_GRID_LIMITS.messageBytesMax)
      .describe("A whole PUBLISH."),
    topic_bytes_max: wholeNumber(1, 65_535)
      .default(EVENT_GRID_LIMITS.topicBytesMax)
      .describe("Topic in UTF-8."),
    topic_segments_max: wholeNumber(1, 65_535)
      .default(EVENT_GRID_LIMITS.topicSegmentsMax)
      .describe("Levels of a topic."),
    inflight_bytes_max: wholeNumber(1024, 268_435_455)
      .default(EVENT_GRID_PACE.inflightBytesMax)
      .describe(
        "Bytes of a connection that may be published before they are acknowledged; a larger message goes alone.",
      ),
  })
    .prefault({})
    .describe("Limits of Event Grid, should they have moved. What is beyond them becomes a dead letter."),
});

export type AzureEventGridTable = z.output<typeof azureEventGridTable>;

export function eventGridUrl({ endpoint, websocket }: Partially<AzureEventGridTable>): string | undefined {
  if (endpoint === undefined || websocket === undefined) return undefined;
  const parsed = parseEndpoint(endpoint, websocket ? 443 : 8883);
  if (typeof parsed === "string") return undefined;
  return websocket ? `wss://${formatEndpoint(parsed)}/mqtt` : `mqtts://${formatEndpoint(parsed)}`;
}

/** Checks the keys against each other and reads the files. */
export function loadAzureEventGrid(review: Review, profile: Partially<AzureEventGridTable>): SessionMaterial {
  reviewBase(review, profile);
  const { topic_bytes_max: bytesMax, topic_segments_max: levelsMax } = profile.limits ?? {};
  reviewTopicBounds(review, profile, {
    service: "Event Grid",
    bytesMax: bytesMax ?? EVENT_GRID_LIMITS.topicBytesMax,
    levelsMax: levelsMax ?? EVENT_GRID_LIMITS.topicSegmentsMax,
    reservesDollar: true,
  });
  const has = (...at: string[]) => readValue(review.document, at) !== undefined;
  const { auth, endpoint } = profile;
  if (
    /^[^.]+\.servicebus\.|\.eventgrid\.azure\.net(:\d+)?$/.test(endpoint ?? "") &&
    !/\.ts\./.test(endpoint ?? "")
  )
    review.add(["endpoint"], `${quoteText(endpoint ?? "")} is the HTTP hostname of the namespace`, ENDPOINT);
  if (auth === "x509") {
    if (!has("tls", "cert_file"))
      review.add(["tls"], 'has no cert_file, which auth = "x509" needs', "must have cert_file and key_file");
    if (!has("username"))
      review.add(
        ["username"],
        "is missing",
        "must be the authentication name of the client, as the portal shows it",
      );
    if (has("jwt_file"))
      review.add(["jwt_file"], 'is given beside auth = "x509"', 'must be left out, or auth = "jwt"');
  }
  if (auth === "jwt") {
    if (has("tls", "cert_file"))
      review.add(["tls", "cert_file"], 'is given beside auth = "jwt"', 'must be left out, or auth = "x509"');
    if (!has("jwt_file")) review.add(["jwt_file"], "is missing", 'must be given with auth = "jwt"');
    if (profile.jwt_file !== undefined) {
      const read = readJwt(review.resolve(profile.jwt_file), review.nowMs);
      if (typeof read === "string") review.add(["jwt_file"], read);
    }
  }
  return loadSession(review, [], { ...profile, url: eventGridUrl(profile) });
}

export function toAzureEventGridTarget(
  review: Review,
  nameDefault: string,
  value: AzureEventGridTable,
  material: SessionMaterial,
): AzureEventGridTarget {
  const login = { password_file: undefined, password_env: undefined };
  const url = eventGridUrl(value) ?? "";
  const opened = toSession({ ...value, ...login, url, mqtt_version: "5" }, value.client_id, material);
  const { limits } = value;
  return {
    ...opened,
    ...toBase(review, nameDefault, value),
    tls: opened.tls && { ...opened.tls, caPem: opened.tls.caPem ?? readRoots(AZURE_ROOTS) },
    inflightBytesMax: limits.inflight_bytes_max,
    type: "azure-event-grid",
    auth:
      value.auth === "jwt" && value.jwt_file !== undefined
        ? { kind: "jwt", method: value.jwt_method, file: review.resolve(value.jwt_file) }
        : { kind: "x509" },
    limits: {
      ...EVENT_GRID_LIMITS,
      messageBytesMax: limits.message_bytes_max,
      topicBytesMax: limits.topic_bytes_max,
      topicSegmentsMax: limits.topic_segments_max,
      retainAllowed: value.retain === "forward" || value.rule.some(({ retain }) => retain === "forward"),
    },
  };
}
