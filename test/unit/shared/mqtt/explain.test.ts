import { expect, test } from "bun:test";
import { explainFault, type FaultContext } from "../../../../shared/mqtt/explain.ts";
import type { FaultId } from "../../../../shared/mqtt/fault-class.ts";
import type { ConnectionPhase } from "../../../../shared/mqtt/transport.ts";

const CONTEXT: FaultContext = {
  label: "target hq",
  address: { scheme: "mqtts", host: "broker.example", port: 8883, path: "" },
  serverName: "broker.example",
  clientId: "plant-7",
  hasClientCertificate: false,
  hasOwnAuthority: true,
  connectTimeoutSeconds: 10,
  proxy: undefined,
};

// The codes are those that a compiled binary got from real brokers (test/integration/mqtt-connection.test.ts).
const CODES: [code: string | number, phase: ConnectionPhase, id: FaultId][] = [
  ["ENOTFOUND", "connect", "dns"],
  ["EAI_AGAIN", "connect", "dns"],
  ["ECONNREFUSED", "connect", "refused"],
  ["EHOSTUNREACH", "connect", "unreachable"],
  ["ENETUNREACH", "connect", "unreachable"],
  ["ETIMEDOUT", "connect", "timeout"],
  ["ECONNRESET", "connect", "reset"],
  ["ECONNRESET", "tls", "tls-protocol"],
  ["ECONNRESET", "websocket", "closed-early"],
  ["ECONNRESET", "mqtt", "closed-early"],
  ["ECONNRESET", "online", "reset"],
  ["EPIPE", "online", "reset"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "tls", "tls-unknown-ca"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "tls", "tls-unknown-ca"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "tls", "tls-unknown-ca"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "tls", "tls-self-signed"],
  ["CERT_HAS_EXPIRED", "tls", "tls-expired"],
  ["CERT_NOT_YET_VALID", "tls", "tls-not-yet-valid"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "tls", "tls-name"],
  ["ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED", "mqtt", "tls-client-certificate"],
  ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "mqtt", "tls-client-certificate"],
  ["ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", "tls", "tls-client-certificate"],
  ["ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED", "mqtt", "tls-client-certificate"],
  ["ERR_OSSL_X509_KEY_VALUES_MISMATCH", "connect", "tls-files"],
  ["ERR_BORINGSSL", "connect", "tls-files"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "tls", "tls-protocol"],
  ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "tls", "tls-protocol"],
  ["ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "tls", "tls-alpn"],
  ["ERR_WEBSOCKET", "websocket", "websocket"],
  ["ERR_MQTT_PROTOCOL", "online", "protocol"],
  ["ESOMETHING", "online", "other"],
  [1, "mqtt", "protocol-version"],
  [2, "mqtt", "client-id"],
  [3, "mqtt", "server-unavailable"],
  [4, "mqtt", "auth"],
  [5, "mqtt", "auth"],
  [0x80, "mqtt", "other"],
  [0x84, "mqtt", "protocol-version"],
  [0x85, "mqtt", "client-id"],
  [0x86, "mqtt", "auth"],
  [0x87, "mqtt", "auth"],
  [0x88, "mqtt", "server-unavailable"],
  [0x89, "mqtt", "server-unavailable"],
  [0x8a, "mqtt", "banned"],
  [0x95, "mqtt", "packet-too-large"],
  [0x97, "mqtt", "quota"],
  [0x9f, "mqtt", "quota"],
];
test.each(CODES)("explainFault() sorts the code %p in the phase %s as %s", (code, phase, id) => {
  const error = Object.assign(new Error("text"), { code });
  const fault = explainFault(CONTEXT, { phase, error, disconnectCode: undefined });
  expect(fault.id).toBe(id);
  expect(fault.code).toBe(typeof code === "number" ? `0x${code.toString(16).padStart(2, "0")}` : code);
  const action = phase === "online" ? "lost the connection of" : "cannot connect";
  expect(fault.sentence).toStartWith(`${action} target hq: `);
  expect(fault.sentence).toContain("; ");
  expect(fault.sentence).not.toContain("undefined");
});

const DISCONNECTS: [code: number, id: FaultId][] = [
  [0x81, "protocol"],
  [0x8b, "server-unavailable"],
  [0x8d, "keepalive"],
  [0x8e, "taken-over"],
  [0x93, "quota"],
  [0x95, "packet-too-large"],
  [0x97, "quota"],
  [0x98, "other"],
];
test.each(DISCONNECTS)(
  "explainFault() sorts DISCONNECT %p as %s, whatever the socket says after it",
  (code, id) => {
    const error = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
    expect(explainFault(CONTEXT, { phase: "online", error, disconnectCode: code }).id).toBe(id);
  },
);

const SENTENCES: [
  name: string,
  context: Partial<FaultContext>,
  error: (Error & { code?: unknown }) | undefined,
  phase: ConnectionPhase,
  sentence: string,
][] = [
  [
    "a certificate for another name",
    {},
    Object.assign(new Error("x"), {
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
      cert: { subjectaltname: "DNS:other.example, IP Address:10.0.0.1, DNS:\u001b[31m" },
    }),
    "tls",
    "cannot connect target hq: the broker's certificate is for other.example, 10.0.0.1, ?[31m, the profile calls it broker.example; set tls.server_name or get a certificate with that name",
  ],
  [
    "a timeout in the handshake",
    {},
    new Error("connack timeout"),
    "tls",
    "cannot connect target hq: broker.example:8883 took the TCP connection but did not finish within 10 s (at tls); check that it is a broker for mqtts, or raise connect_timeout_seconds",
  ],
  [
    "a lost peer",
    {},
    new Error("Keepalive timeout"),
    "online",
    "lost the connection of target hq: the broker was silent for longer than keepalive_seconds allows; look at the network and the broker's load",
  ],
  [
    "an end before CONNACK",
    { address: { scheme: "mqtt", host: "::1", port: 8883, path: "" } },
    undefined,
    "mqtt",
    'cannot connect target hq: the broker closed the connection before it answered; check that the port of [::1]:8883 is for mqtt and not for mqtts, then the broker\'s log for "plant-7"',
  ],
  [
    "an end without a word",
    {},
    undefined,
    "online",
    'lost the connection of target hq: the broker closed the connection without a reason; its log has one, often another client that uses the client id "plant-7" too',
  ],
  [
    "an old TLS version",
    {},
    Object.assign(new Error("x"), { code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION" }),
    "tls",
    "cannot connect target hq: the broker speaks no TLS 1.2 or newer; have it updated",
  ],
  [
    "bytes that are not MQTT",
    {},
    new Error("Invalid header flag bits"),
    "mqtt",
    "cannot connect target hq: what was said broke the rules of MQTT (Invalid header flag bits); check that it is an MQTT broker of this mqtt_version, and report it",
  ],
];
test.each(SENTENCES)("explainFault() says what to do about %s", (_name, context, error, phase, sentence) => {
  const fault = explainFault({ ...CONTEXT, ...context }, { phase, error, disconnectCode: undefined });
  expect(fault.sentence).toBe(sentence);
});

test("explainFault() tells a missing client certificate from a refused one", () => {
  const error = Object.assign(new Error("x"), { code: "ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED" });
  const cause = { phase: "mqtt", error, disconnectCode: undefined } as const;
  expect(explainFault(CONTEXT, cause).sentence).toContain("set tls.cert_file and tls.key_file");
  const shown = explainFault({ ...CONTEXT, hasClientCertificate: true }, cause).sentence;
  expect(shown).toContain("does not accept our client certificate");
});

test("explainFault() speaks of a cloud as its profile does: its authorities, its key for the address, what its silence means", () => {
  const cloud: FaultContext = {
    ...CONTEXT,
    hasCloudAuthority: true,
    addressKey: "endpoint",
    closedHint: "look at the certificate",
  };
  const say = (code: string | undefined, phase: ConnectionPhase) =>
    explainFault(cloud, {
      phase,
      error: code === undefined ? undefined : Object.assign(new Error("x"), { code }),
      disconnectCode: undefined,
    }).sentence;
  expect(say("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "tls")).toContain(
    "no authority of this cloud signed the certificate at broker.example:8883; if something on the way opens TLS",
  );
  expect(say("ENOTFOUND", "connect")).toContain("has no address; check endpoint,");
  expect(say("ECONNREFUSED", "connect")).toContain("check the port in endpoint,");
  expect(say(undefined, "mqtt")).toEndWith("before it answered; look at the certificate");
});

test("explainFault() says where a broker sends us, and whose silence it was", () => {
  const say = (disconnectCode: number, sentTo?: string) =>
    explainFault(CONTEXT, { phase: "online", error: undefined, disconnectCode, sentTo }).sentence;
  expect(say(0x9d, "other.example:8883")).toBe(
    "lost the connection of target hq: the broker at broker.example:8883 sends us to other.example:8883 (0x9d); connecting there, set url to it if that is to last",
  );
  expect(say(0x9d)).toContain("the broker says that it cannot serve now (0x9d)");
  expect(say(0x8d)).toContain("the broker has heard nothing of us for longer than the keep-alive allows");
});
