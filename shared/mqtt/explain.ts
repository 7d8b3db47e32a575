// Why a broker connection failed or ended, as one sentence an operator can act on at night: what happened, and after
// the semicolon what to do next. Names hosts and keys of the configuration, never a secret.

import { classifyFault, type FaultCause, type FaultId } from "./fault-class.ts";
import { type BrokerAddress, formatHost } from "./transport.ts";

export type FaultContext = {
  /** Whose connection it is, as the operator calls it: "target hq", "source line-broker". */
  readonly label: string;
  readonly address: BrokerAddress;
  /** The name the certificate must have. */
  readonly serverName: string;
  readonly clientId: string;
  readonly hasClientCertificate: boolean;
  readonly hasOwnAuthority: boolean;
  /** Only the authorities of a cloud are trusted, which the profile has not named. */
  readonly hasCloudAuthority?: boolean;
  readonly connectTimeoutSeconds: number;
  /** What to look at when the login is refused. */
  readonly loginHint?: string | undefined;
  /** The same when it is refused without a word. */
  readonly closedHint?: string | undefined;
  /** The key of the configuration that has the address; "url" when absent. */
  readonly addressKey?: string | undefined;
  /** HOST:PORT; undefined = no proxy. */
  readonly proxy: string | undefined;
};

export type ConnectionFault = {
  readonly id: FaultId;
  /** What was reported: an error code, or an MQTT reason code such as 0x87. */
  readonly code: string | undefined;
  readonly sentence: string;
};

export function explainFault(context: FaultContext, cause: FaultCause): ConnectionFault {
  const id = classifyFault(cause);
  const action = cause.phase === "online" ? "lost the connection of" : "cannot connect";
  const sentence = `${action} ${context.label}: ${SENTENCES[id](context, cause)}`;
  return { id, code: showCode(cause), sentence };
}

type Sentence = (context: FaultContext, cause: FaultCause) => string;

const SENTENCES: Readonly<Record<FaultId, Sentence>> = {
  "no-login": (_, { error }) => error?.message ?? "there is no login",
  "proxy-unreachable": ({ proxy }, cause) =>
    `the proxy ${proxy} cannot be reached (${showCode(cause) ?? "closed"}); check proxy.url, and that it runs`,
  "proxy-auth": ({ proxy }, { error }) =>
    `the proxy ${proxy} wants another login (${error?.message}); check proxy.username and its password`,
  "proxy-refused": ({ proxy, address, addressKey = "url" }, { error }) =>
    `the proxy ${proxy} does not open the way to ${formatHost(address)}: ${error?.message}; have its operator allow this host and port, or check ${addressKey}`,
  "proxy-protocol": ({ proxy }, { error }) =>
    `the proxy ${proxy} does not behave like one: ${error?.message}; check the scheme and port of proxy.url`,
  dns: ({ address, addressKey = "url" }) =>
    `the name ${address.host} has no address; check ${addressKey}, and that this host's name server knows the name`,
  refused: ({ address, addressKey = "url" }) =>
    `nothing listens at ${formatHost(address)}; check the port in ${addressKey}, and that the broker runs`,
  unreachable: (context, cause) =>
    `there is no way to ${formatHost(context.address)} (${showCode(cause)}); check routes, cabling and this host's firewall`,
  timeout: ({ address, connectTimeoutSeconds, proxy }, { phase }) =>
    phase === "proxy"
      ? `the proxy ${proxy} did not open the way to ${formatHost(address)} within ${connectTimeoutSeconds} s; check proxy.url, or raise connect_timeout_seconds`
      : phase === "connect"
        ? `${formatHost(address)} did not answer within ${connectTimeoutSeconds} s; a firewall may drop the packets, or the host is down`
        : `${formatHost(address)} took the TCP connection but did not finish within ${connectTimeoutSeconds} s (at ${phase}); check that it is a broker for ${address.scheme}, or raise connect_timeout_seconds`,
  reset: () =>
    "the network connection was cut; this mends itself, if it comes often look at the network and the broker's log",
  closed: ({ clientId }) =>
    `the broker closed the connection without a reason; its log has one, often another client that uses the client id "${clientId}" too`,
  "closed-early": ({ address, clientId, closedHint }) =>
    closedHint !== undefined
      ? `the broker closed the connection before it answered; ${closedHint}`
      : `the broker closed the connection before it answered; check that the port of ${formatHost(address)} is for ${address.scheme} and not for ${TURNED[address.scheme]}, then the broker's log for "${clientId}"`,
  "tls-unknown-ca": ({ hasOwnAuthority, hasCloudAuthority, address }) =>
    hasCloudAuthority === true
      ? `no authority of this cloud signed the certificate at ${formatHost(address)}; if something on the way opens TLS (a proxy that inspects), have it let this host through or set tls.ca_file to its authority`
      : hasOwnAuthority
        ? "no authority in tls.ca_file signed the broker's certificate; get the right CA file, or have the broker send its intermediate certificates"
        : "no public authority signed the broker's certificate; set tls.ca_file to the CA of the broker's operator",
  "tls-self-signed": () =>
    "the broker's certificate is signed by itself; if you trust it, set tls.ca_file to a copy that you got by another way",
  "tls-expired": () =>
    "the broker's certificate, or one in its chain, has expired; have it renewed, or correct this host's clock if it is ahead",
  "tls-not-yet-valid": () =>
    "the broker's certificate is not yet valid; correct this host's clock if it is behind",
  "tls-name": ({ serverName }, { error }) =>
    `the broker's certificate is for ${readCertificateNames(error)}, the profile calls it ${serverName}; set tls.server_name or get a certificate with that name`,
  "tls-client-certificate": ({ hasClientCertificate }, cause) =>
    hasClientCertificate
      ? `the broker does not accept our client certificate (${showCode(cause)}); check that it has not expired and that the broker trusts its CA`
      : `the broker refuses the TLS connection (${showCode(cause)}), mostly because it wants a client certificate; set tls.cert_file and tls.key_file`,
  "tls-files": (_, { error }) =>
    `tls.ca_file, tls.cert_file or tls.key_file cannot be used (${error?.message}); check that they are PEM and belong together`,
  "tls-protocol": ({ address }, cause) =>
    PROTOCOL_VERSION.test(showCode(cause) ?? "")
      ? "the broker speaks no TLS 1.2 or newer; have it updated"
      : `${formatHost(address)} does not answer with TLS (${showCode(cause) ?? "closed"}); check that the port is for ${address.scheme} and not for ${TURNED[address.scheme]}`,
  "tls-alpn": () => "the broker speaks none of the protocols in tls.alpn; correct or remove tls.alpn",
  websocket: ({ address, addressKey = "url" }, { error }) =>
    `${formatHost(address)} does not open a WebSocket for MQTT: ${error?.message}; check the path in ${addressKey}, and proxies on the way`,
  auth: ({ loginHint = LOGIN_HINT }, cause) =>
    `the broker refuses our login (${showCode(cause)}); ${loginHint}`,
  "client-id": ({ clientId }) =>
    `the broker refuses the client id "${clientId}"; set client_id to one it allows`,
  "server-unavailable": ({ address }, cause) =>
    cause.sentTo !== undefined
      ? `the broker at ${formatHost(address)} sends us to ${cause.sentTo} (${showCode(cause)}); connecting there, set url to it if that is to last`
      : `the broker says that it cannot serve now (${showCode(cause)}); this mends itself, else look at the broker`,
  banned: () => "the broker has banned this client; ask its operator, the broker's log says why",
  "protocol-version": () =>
    'the broker does not speak this MQTT version; set mqtt_version to the other one ("3.1.1" or "5")',
  "taken-over": ({ clientId }) =>
    `another client connected with the client id "${clientId}"; give every client an id of its own, and look for a second copy of this agent`,
  quota: (_, cause) =>
    `the broker says that we exceed a limit (${showCode(cause)}); raise its quota, or lower inflight_max or the rate`,
  keepalive: (_, { disconnectCode }) =>
    disconnectCode !== undefined
      ? "the broker has heard nothing of us for longer than the keep-alive allows; look at the network and this host's load"
      : "the broker was silent for longer than keepalive_seconds allows; look at the network and the broker's load",
  "packet-too-large": () =>
    "a message was larger than the broker allows; raise its maximum packet size, or lower limits.message_bytes_max",
  protocol: (_, cause) =>
    `what was said broke the rules of MQTT (${cause.error?.message ?? showCode(cause)}); check that it is an MQTT broker of this mqtt_version, and report it`,
  other: (_, cause) =>
    `${cause.error?.message ?? "no reason is known"} (${showCode(cause) ?? "no code"}); the broker's log may say more`,
};

const LOGIN_HINT = "check username and password, and what the broker allows this client";
const PROTOCOL_VERSION = /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/;

/** The scheme that is mistaken for this one most often. */
const TURNED = { mqtt: "mqtts", mqtts: "mqtt", ws: "wss", wss: "ws" } as const;

function showCode({ error, disconnectCode }: FaultCause): string | undefined {
  const code = disconnectCode || error?.code;
  if (typeof code === "number") return `0x${code.toString(16).padStart(2, "0")}`;
  return typeof code === "string" ? code : undefined;
}

function readCertificateNames(error: FaultCause["error"]): string {
  const certificate = error !== undefined && "cert" in error ? error.cert : undefined;
  if (typeof certificate !== "object" || certificate === null) return "another name";
  if ("subjectaltname" in certificate && typeof certificate.subjectaltname === "string") {
    // From a certificate of the other side: shown in part, and never as control characters.
    return certificate.subjectaltname
      .replaceAll(/DNS:|IP Address:/g, "")
      .replaceAll(/[^ -~]/g, "?")
      .slice(0, 200);
  }
  return "another name";
}
