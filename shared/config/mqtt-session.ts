// The keys of an MQTT session that a source and a target have alike: where the broker is, who we are to it, how long
// to wait. Refuses a password given twice, TLS settings for a connection without TLS, back-off bounds in reverse.

import type * as z from "zod";
import type { ProxySettings } from "../mqtt/proxy.ts";
import { type BrokerUrl, isSecureScheme, parseBrokerUrl } from "./broker-url.ts";
import type { KeyPath } from "./key-path.ts";
import { checked, choice, environmentName, path, text, wholeNumber } from "./leaf.ts";
import { loadPassword } from "./password.ts";
import { loadProxy, proxyTable } from "./proxy.ts";
import type { Review } from "./review.ts";
import { readValue } from "./schema-faults.ts";
import type { Secret } from "./secret.ts";
import { mayHoldSecret, quoteText } from "./show-value.ts";
import { table } from "./table.ts";
import { loadTls, type TlsConfig, tlsTable } from "./tls.ts";
import type { Partially } from "./validate.ts";

export type MqttVersion = "5" | "3.1.1";

export type MqttSession = {
  readonly url: BrokerUrl;
  readonly clientId: string;
  readonly mqttVersion: MqttVersion;
  readonly username: string | undefined;
  readonly password: Secret<string> | undefined;
  readonly proxy: ProxySettings | undefined;
  readonly keepaliveSeconds: number;
  readonly connectTimeoutSeconds: number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  /** Defined exactly when the scheme is mqtts or wss. */
  readonly tls: TlsConfig | undefined;
};

/** What had to be read from files or the environment. */
export type SessionMaterial = Pick<MqttSession, "password" | "proxy" | "tls">;

const URL_ALLOWED =
  "must be mqtt, mqtts, ws or wss://HOST[:PORT], with the user in username and password_file";

/** Of a session that names no file. */
export const NO_MATERIAL: SessionMaterial = { password: undefined, proxy: undefined, tls: undefined };

/** A function, not a constant: each schema needs its own descriptions. */
export function sessionShape() {
  return {
    url: checked(text(1024), URL_ALLOWED, (url) => {
      const parsed = parseBrokerUrl(url);
      if (typeof parsed !== "string") return undefined;
      return mayHoldSecret(url) ? parsed : `${quoteText(url)} ${parsed}`;
    }).describe("The broker: mqtt://HOST:1883, mqtts://HOST:8883 (TLS), ws://HOST/PATH or wss://HOST/PATH."),
    mqtt_version: choice(["5", "3.1.1"]).default("5").describe("The MQTT version to speak."),
    username: text(1024).optional().describe("User name for the broker."),
    password_file: path()
      .optional()
      .describe("File that holds the password on one line, mode 0600. Not together with password_env."),
    password_env: environmentName()
      .optional()
      .describe("Environment variable that holds the password. Not together with password_file."),
    keepalive_seconds: wholeNumber(5, 65_535)
      .default(30)
      .describe("A ping is sent when nothing else was for this long; a dead connection is noticed by it."),
    connect_timeout_seconds: wholeNumber(1, 300)
      .default(10)
      .describe("How long a connection may take until the broker has accepted the session."),
    reconnect_min_ms: wholeNumber(10, 600_000)
      .default(500)
      .describe("Shortest wait before connecting again. Waits grow at random up to reconnect_max_ms."),
    reconnect_max_ms: wholeNumber(10, 3_600_000)
      .default(30_000)
      .describe("Longest wait before connecting again."),
    tls: tlsTable().optional().describe("TLS settings, for mqtts and wss only."),
    proxy: proxyTable()
      .optional()
      .describe("The proxy on the way to the broker. Without this table there is none."),
  };
}

const sessionTable = table(sessionShape());
type SessionTable = z.output<typeof sessionTable>;

/** Checks the session keys of the table at `at` against each other and reads their files; notes every fault. */
export function loadSession(review: Review, at: KeyPath, session: Partially<SessionTable>): SessionMaterial {
  review.requireOrder(
    { path: [...at, "reconnect_min_ms"], value: session.reconnect_min_ms },
    { path: [...at, "reconnect_max_ms"], value: session.reconnect_max_ms },
  );
  requireUser(review, at, session);
  return {
    password: loadPassword(review, at, session),
    proxy: loadProxy(review, [...at, "proxy"], session.proxy),
    tls: loadSessionTls(review, at, session),
  };
}

export function toSession(table: SessionTable, clientId: string, material: SessionMaterial): MqttSession {
  const url = parseBrokerUrl(table.url);
  // The schema has parsed the same text before: reaching this is a bug, not a fault of the file.
  if (typeof url === "string") throw new Error(`cannot use url: ${url}`);
  return {
    url,
    clientId,
    mqttVersion: table.mqtt_version,
    username: table.username,
    password: material.password,
    proxy: material.proxy,
    keepaliveSeconds: table.keepalive_seconds,
    connectTimeoutSeconds: table.connect_timeout_seconds,
    reconnectMinMs: table.reconnect_min_ms,
    reconnectMaxMs: table.reconnect_max_ms,
    tls: material.tls,
  };
}

/** Two sessions with the same key throw each other off the broker, for ever [MQTT5-3.1.4-3]. */
export function describeSeat(url: string | undefined, clientId: string | undefined): string | undefined {
  const parsed = url === undefined ? "" : parseBrokerUrl(url);
  if (typeof parsed === "string" || clientId === undefined) return undefined;
  return `${clientId} at ${parsed.host.toLowerCase()}:${parsed.port}`;
}

/** MQTT 3.1.1 has no way to send a password without a user name [MQTT-3.1.2-22]. */
function requireUser(review: Review, at: KeyPath, session: Partially<SessionTable>): void {
  const has = (key: string) => readValue(review.document, [...at, key]) !== undefined;
  if (has("username") || session.mqtt_version !== "3.1.1") return;
  for (const key of ["password_file", "password_env"].filter(has))
    review.add([...at, key], "has no username beside it", 'must have one with mqtt_version "3.1.1"');
}

function loadSessionTls(
  review: Review,
  at: KeyPath,
  session: Partially<SessionTable>,
): TlsConfig | undefined {
  const url = session.url === undefined ? "" : parseBrokerUrl(session.url);
  const isSecure = typeof url === "string" ? undefined : isSecureScheme(url.scheme);
  if (session.tls !== undefined && isSecure === false) {
    review.add(
      [...at, "tls"],
      "is for mqtts and wss, but url has neither",
      "must be left out, or url must be changed",
    );
  }
  if (session.tls === undefined && isSecure !== true) return undefined;
  return loadTls(review, [...at, "tls"], session.tls ?? {});
}
