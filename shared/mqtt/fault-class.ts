// Sorts what can go wrong with a broker connection into a closed list of ids, which are the words of counters,
// status pages and the manual. The codes are those that Bun 1.4 (BoringSSL), MQTT.js and MQTT itself report.
// What is not known is "other"; nothing throws.

import type { ConnectionPhase } from "./transport.ts";

export type FaultId =
  | "no-login"
  | "proxy-unreachable"
  | "proxy-auth"
  | "proxy-refused"
  | "proxy-protocol"
  | "dns"
  | "refused"
  | "unreachable"
  | "timeout"
  | "reset"
  | "closed"
  | "closed-early"
  | "tls-unknown-ca"
  | "tls-self-signed"
  | "tls-expired"
  | "tls-not-yet-valid"
  | "tls-name"
  | "tls-client-certificate"
  | "tls-files"
  | "tls-protocol"
  | "tls-alpn"
  | "websocket"
  | "auth"
  | "client-id"
  | "server-unavailable"
  | "banned"
  | "protocol-version"
  | "taken-over"
  | "quota"
  | "keepalive"
  | "packet-too-large"
  | "protocol"
  | "other";

/** What is known of the end of a connection or an attempt. */
export type FaultCause = {
  readonly phase: ConnectionPhase;
  /** The first error of the socket or MQTT.js, if any. */
  readonly error: (Error & { readonly code?: unknown }) | undefined;
  /** The reason code of a DISCONNECT from the broker. */
  readonly disconnectCode: number | undefined;
  /** HOST:PORT that the broker sends us to, when it is followed. */
  readonly sentTo?: string | undefined;
};

const ERROR_CODES: Readonly<Record<string, FaultId>> = {
  ERR_LOGIN: "no-login",
  ERR_PROXY_AUTH: "proxy-auth",
  ERR_PROXY_REFUSED: "proxy-refused",
  ERR_PROXY_PROTOCOL: "proxy-protocol",
  ENOTFOUND: "dns",
  EAI_AGAIN: "dns",
  EAI_FAIL: "dns",
  EAI_NODATA: "dns",
  EAI_NONAME: "dns",
  ENODATA: "dns",
  ESERVFAIL: "dns",
  ETIMEOUT: "dns",
  ECONNREFUSED: "refused",
  EHOSTUNREACH: "unreachable",
  EHOSTDOWN: "unreachable",
  ENETUNREACH: "unreachable",
  ENETDOWN: "unreachable",
  EADDRNOTAVAIL: "unreachable",
  EACCES: "unreachable",
  EPERM: "unreachable",
  ETIMEDOUT: "timeout",
  ECONNRESET: "reset",
  ECONNABORTED: "reset",
  EPIPE: "reset",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "tls-unknown-ca",
  UNABLE_TO_GET_ISSUER_CERT: "tls-unknown-ca",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "tls-unknown-ca",
  SELF_SIGNED_CERT_IN_CHAIN: "tls-unknown-ca",
  CERT_SIGNATURE_FAILURE: "tls-unknown-ca",
  CERT_UNTRUSTED: "tls-unknown-ca",
  INVALID_CA: "tls-unknown-ca",
  DEPTH_ZERO_SELF_SIGNED_CERT: "tls-self-signed",
  CERT_HAS_EXPIRED: "tls-expired",
  CERT_NOT_YET_VALID: "tls-not-yet-valid",
  ERR_TLS_CERT_ALTNAME_INVALID: "tls-name",
  HOSTNAME_MISMATCH: "tls-name",
  ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED: "tls-client-certificate",
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "tls-client-certificate",
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: "tls-client-certificate",
  ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR: "tls-client-certificate",
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: "tls-client-certificate",
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: "tls-client-certificate",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: "tls-client-certificate",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: "tls-client-certificate",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: "tls-client-certificate",
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: "tls-client-certificate",
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: "tls-alpn",
  ERR_BORINGSSL: "tls-files",
  ERR_WEBSOCKET: "websocket",
  ERR_MQTT_PROTOCOL: "protocol",
};

/** CONNACK return codes of MQTT 3.1.1 (1 to 5) and reason codes of MQTT 5 (from 0x80) don't overlap. */
const REASON_CODES: Readonly<Record<number, FaultId>> = {
  1: "protocol-version",
  2: "client-id",
  3: "server-unavailable",
  4: "auth",
  5: "auth",
  129: "protocol",
  130: "protocol",
  132: "protocol-version",
  133: "client-id",
  134: "auth",
  135: "auth",
  136: "server-unavailable",
  137: "server-unavailable",
  138: "banned",
  139: "server-unavailable",
  140: "auth",
  141: "keepalive",
  142: "taken-over",
  147: "quota",
  149: "packet-too-large",
  150: "quota",
  151: "quota",
  156: "server-unavailable",
  157: "server-unavailable",
  159: "quota",
};

export function classifyFault(cause: FaultCause): FaultId {
  const { phase, error, disconnectCode } = cause;
  if (disconnectCode !== undefined && disconnectCode !== 0) return REASON_CODES[disconnectCode] ?? "other";
  if (error === undefined) return phase === "online" ? "closed" : classifyEarlyEnd(phase);
  if (typeof error.code === "number") return REASON_CODES[error.code] ?? "other";
  if (typeof error.code === "string") {
    const id = ERROR_CODES[error.code] ?? classifyTlsCode(error.code);
    if (phase === "proxy" && !id.startsWith("proxy-")) return "proxy-unreachable";
    return id === "reset" && phase !== "online" ? classifyEarlyEnd(phase) : id;
  }
  if (phase === "proxy") return error.message === "connack timeout" ? "timeout" : "proxy-unreachable";
  // MQTT.js gives these two no code.
  if (error.message === "connack timeout") return "timeout";
  if (error.message === "Keepalive timeout") return "keepalive";
  // What is left is MQTT.js's parser: the other side talks, but not MQTT as it should be.
  return phase === "online" || phase === "mqtt" ? "protocol" : "other";
}

/** A connection that ends while TLS is being negotiated mostly ends because the port doesn't speak TLS. */
function classifyEarlyEnd(phase: ConnectionPhase): FaultId {
  if (phase === "proxy") return "proxy-unreachable";
  if (phase === "tls") return "tls-protocol";
  return phase === "connect" ? "reset" : "closed-early";
}

function classifyTlsCode(code: string): FaultId {
  if (code.startsWith("ERR_OSSL_")) return "tls-files";
  return code.startsWith("ERR_SSL_") ? "tls-protocol" : "other";
}
