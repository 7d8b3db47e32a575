// The [[source]] table of type "listen": where clients connect, who may, and what they may do. Refuses what would let
// anyone in by oversight: plain TCP beyond this host without its switch, nobody who can log in, certificates that nobody asks for.

import type { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import * as z from "zod";
import { checkExpiry, checkPrivateKey, readCertificates } from "../../shared/config/certificate-file.ts";
import { readBoundedFile } from "../../shared/config/config-file.ts";
import { type Endpoint, isLoopback, parseEndpoint } from "../../shared/config/endpoint.ts";
import type { KeyPath } from "../../shared/config/key-path.ts";
import {
  address,
  checked,
  choice,
  flag,
  localTopicFilter,
  name,
  path,
  text,
  wholeNumber,
} from "../../shared/config/leaf.ts";
import type { Review } from "../../shared/config/review.ts";
import type { Secret } from "../../shared/config/secret.ts";
import { readSecretFile } from "../../shared/config/secret-file.ts";
import { oneOrMore, table, tables } from "../../shared/config/table.ts";
import type { Partially } from "../../shared/config/validate.ts";
import type { AccessRule } from "./ingress/listen/access.ts";
import { readUsers, type Users } from "./ingress/listen/users.ts";
import { type SparkplugConfig, sparkplugTable, toSparkplug } from "./sparkplug-config.ts";

const CRL_BYTES_MAX = 16_777_216;
const CRL_BLOCK = /-----BEGIN X509 CRL-----[\s\S]+?-----END X509 CRL-----/;

export type ListenerTls = {
  readonly certPem: string;
  readonly keyPem: Secret<string>;
  readonly clientCertificate: "none" | "optional" | "required";
  readonly clientCaPem: string | undefined;
  readonly crlFile: string | undefined;
  readonly userFrom: "nothing" | "common-name" | "subject";
};

export type ListenerConfig = {
  readonly address: Endpoint;
  /** The path of MQTT over WebSocket; undefined: MQTT at once. */
  readonly websocketPath: string | undefined;
  readonly tls: ListenerTls | undefined;
};

export type ListenSource = {
  readonly name: string;
  readonly type: "listen";
  readonly listeners: readonly ListenerConfig[];
  readonly anonymous: boolean;
  readonly usersFile: string | undefined;
  readonly users: Users | undefined;
  readonly access: readonly AccessRule[];
  /** "*" stands for any characters. */
  readonly sharedClientIds: readonly string[];
  readonly subscriptions: "accept" | "refuse";
  readonly dollarTopics: "keep-back" | "forward";
  readonly receiveMaximum: number;
  readonly topicAliasMaximum: number;
  readonly keepaliveSecondsMax: number;
  readonly connectTimeoutSeconds: number;
  readonly sessionsMax: number;
  readonly sessionExpirySecondsMax: number;
  readonly connectionsMax: number;
  readonly connectionsPerSecondMax: number;
  /** 0: no limit. */
  readonly messagesPerSecondMax: number;
  readonly banAfterFailures: number;
  readonly banWindowSeconds: number;
  readonly banSeconds: number;
  readonly sparkplug: SparkplugConfig | undefined;
};

const PATH_ALLOWED = 'must be a path that begins with "/", such as "/mqtt"';
const patterns = () => oneOrMore("names", text(1024), 256).optional();

function listenerTable() {
  return table({
    address: address(1, "0.0.0.0:8883").describe("Address and port to listen on."),
    transport: choice(["tcp", "websocket"])
      .default("tcp")
      .describe('"websocket" is MQTT over WebSocket, for clients that reach only web ports.'),
    path: checked(text(256), PATH_ALLOWED, (value) => (/^\/[!-~]*$/.test(value) ? undefined : `is ${value}`))
      .default("/mqtt")
      .describe("The path of the WebSocket. Unused with tcp."),
    allow_plain_text: flag()
      .default(false)
      .describe(
        "Lets an address that others can reach do without TLS: whoever is on that network can then read passwords and messages.",
      ),
    tls: table({
      cert_file: path().describe("PEM file of the server's certificate and its intermediates."),
      key_file: path().describe("PEM file of its private key: mode 0600, without passphrase."),
      client_certificate: choice(["none", "optional", "required"])
        .default("none")
        .describe("Whether clients are asked for a certificate, and let in without one."),
      client_ca_file: path()
        .optional()
        .describe("PEM file of the authorities that clients' certificates must come from."),
      crl_file: path()
        .optional()
        .describe("PEM file of revocation lists of those authorities. Read again when it has changed."),
      user_from: choice(["nothing", "common-name", "subject"])
        .default("nothing")
        .describe("What of a client's certificate is its user name; it then needs no password."),
    })
      .optional()
      .describe("TLS of this listener."),
  });
}

export const listenTable = table({
  name: name().describe("Name of the source in logs, counters and the ledger."),
  type: z
    .literal("listen")
    .describe(
      "Is itself the broker that plant clients and bridges publish to. Delivers nothing to them, but for what sparkplug says.",
    ),
  listener: tables("source.listener", listenerTable(), 1, 16).describe("Where clients connect."),
  anonymous: flag()
    .default(false)
    .describe(
      "Lets clients in that give no user name. With users_file, those that give one are checked all the same.",
    ),
  users_file: path()
    .optional()
    .describe(
      "File of users and password hashes, mode 0600, as tidegate-send passwd writes it. Read again when it has changed.",
    ),
  access: tables(
    "source.access",
    table({
      users: patterns().describe('Users the rule is for; "*" stands for any characters. Default: all.'),
      client_ids: patterns().describe("Client ids the rule is for, as users. Default: all."),
      publish: oneOrMore("topic filters", localTopicFilter(), 256).describe(
        "What they may publish to. %u stands for the user, %c for the client id.",
      ),
    }),
    0,
    256,
  )
    .default([])
    .describe("Who may publish where. Without any, everyone who was let in may publish everywhere."),
  shared_client_ids: patterns().describe(
    'Client ids that many connections may have at a time, "*" for any characters: bridges of clusters whose nodes all use one. They do not throw each other off, and their sessions end with their connections: a QoS 2 message under way then may come twice.',
  ),
  subscriptions: choice(["accept", "refuse"])
    .default("accept")
    .describe(
      "What clients hear that subscribe. Nothing is delivered but what sparkplug says; many do not work when they are refused.",
    ),
  dollar_topics: choice(["keep-back", "forward"])
    .default("keep-back")
    .describe(
      'What becomes of topics that begin with "$", such as a bridge\'s own state: counted as filtered, or sent across.',
    ),
  receive_maximum: wholeNumber(1, 65_535)
    .default(1000)
    .describe("QoS 1 and 2 messages that a client may send before the first is acknowledged."),
  topic_alias_maximum: wholeNumber(0, 65_535)
    .default(100)
    .describe("Topic aliases that a client may use (MQTT 5)."),
  keepalive_seconds_max: wholeNumber(5, 65_535)
    .default(600)
    .describe("Longest keep-alive; MQTT 5 clients that ask for more, or for none, are told to use this one."),
  connect_timeout_seconds: wholeNumber(1, 300)
    .default(10)
    .describe("How long a connection may take until it has sent CONNECT."),
  sessions_max: wholeNumber(1, 1_000_000)
    .default(20_000)
    .describe("Sessions that are kept. Over it, the one that has been away for longest goes."),
  session_expiry_seconds_max: wholeNumber(0, 31_536_000)
    .default(604_800)
    .describe("How long the session of a client that is away is kept at most."),
  connections_max: wholeNumber(1, 1_000_000)
    .default(12_000)
    .describe("Connections at a time, on all listeners of the source."),
  connections_per_second_max: wholeNumber(1, 100_000)
    .default(1000)
    .describe("New connections in a second; more are closed at once."),
  messages_per_second_max: wholeNumber(0, 10_000_000)
    .default(0)
    .describe(
      "Messages of one client in a second; it is not read from while it is over it, so none is lost. 0: no limit.",
    ),
  ban_after_failures: wholeNumber(0, 1000)
    .default(10)
    .describe("Failed log-ins from one address, within ban_window_seconds, that shut it out. 0: never."),
  ban_window_seconds: wholeNumber(1, 86_400).default(300).describe("See ban_after_failures."),
  ban_seconds: wholeNumber(1, 604_800).default(300).describe("How long an address stays shut out."),
  sparkplug: sparkplugTable()
    .optional()
    .describe(
      "What is done for Sparkplug B edge nodes. `sparkplug = true` stands for this table with its defaults.",
    ),
});

export type ListenTable = z.output<typeof listenTable>;
type TlsTable = NonNullable<ListenTable["listener"][number]["tls"]>;

/** What had to be read from files. */
export type ListenMaterial = {
  readonly users: Users | undefined;
  readonly tls: readonly (ListenerTls | undefined)[];
};

export function loadListen(review: Review, at: KeyPath, source: Partially<ListenTable>): ListenMaterial {
  const listeners = source.listener ?? [];
  const usersFile = source.users_file === undefined ? undefined : review.resolve(source.users_file);
  let users: Users | undefined;
  if (usersFile !== undefined) {
    const read = readUsers(usersFile);
    if (read.ok) users = read.users;
    else review.addProblem([...at, "users_file"], read);
  }
  const certified = listeners.some((listener) => (listener?.tls?.user_from ?? "nothing") !== "nothing");
  if (source.anonymous === false && source.users_file === undefined && !certified) {
    review.add(
      [...at, "anonymous"],
      "is false, and there is neither users_file nor user_from of a certificate",
      "must be true where nobody needs to log in; else give one of the two",
    );
  }
  review.requireUnique(
    listeners.map((listener, index) => ({
      path: [...at, "listener", index, "address"],
      value: listener?.address,
    })),
  );
  const tls = listeners.map((listener, index) => {
    const place = [...at, "listener", index];
    checkPlainText(review, place, listener);
    return listener?.tls === undefined ? undefined : loadListenerTls(review, [...place, "tls"], listener.tls);
  });
  return { users, tls };
}

function checkPlainText(
  review: Review,
  at: KeyPath,
  listener: Partially<ListenTable["listener"][number]> | undefined,
): void {
  if (listener?.address === undefined || listener.tls !== undefined || listener.allow_plain_text !== false)
    return;
  const endpoint = parseEndpoint(listener.address);
  if (typeof endpoint === "string" || isLoopback(endpoint.host)) return;
  review.add(
    [...at, "address"],
    `is ${listener.address}, which others can reach, and has no TLS`,
    "must have a [source.listener.tls] table, or allow_plain_text = true beside it",
  );
}

function loadListenerTls(review: Review, at: KeyPath, tls: Partially<TlsTable>): ListenerTls | undefined {
  const { client_certificate: clientCertificate = "none", user_from: userFrom = "nothing" } = tls;
  const own = readPem(review, [...at, "cert_file"], tls.cert_file);
  const keyAt = [...at, "key_file"];
  const keyFile = tls.key_file === undefined ? undefined : review.resolve(tls.key_file);
  const key = keyFile === undefined ? undefined : review.accept(keyAt, readSecretFile(keyFile));
  if (keyFile !== undefined && key !== undefined) {
    const problem = checkPrivateKey(keyFile, key, own?.first);
    if (problem !== undefined) review.addProblem(keyAt, problem);
  }
  const ca = readPem(review, [...at, "client_ca_file"], tls.client_ca_file);
  if ((clientCertificate !== "none") !== (tls.client_ca_file !== undefined)) {
    review.add(
      [...at, "client_certificate"],
      tls.client_ca_file === undefined ? `is "${clientCertificate}" without client_ca_file` : 'is "none"',
      "must come together with client_ca_file: the authorities that are trusted",
    );
  }
  if (userFrom !== "nothing" && clientCertificate === "none") {
    review.add(
      [...at, "user_from"],
      `is "${userFrom}", but clients are asked for no certificate`,
      'must be "nothing", or set client_certificate',
    );
  }
  const crlFile = tls.crl_file === undefined ? undefined : review.resolve(tls.crl_file);
  if (crlFile !== undefined) {
    const read = readCrl(crlFile);
    if ("problem" in read)
      review.add([...at, "crl_file"], read.problem, "must be a PEM file with revocation lists");
    else if (clientCertificate === "none")
      review.add(
        [...at, "crl_file"],
        "is given, but clients are asked for no certificate",
        "must be left out",
      );
  }
  if (own === undefined || key === undefined) return undefined;
  const keyPem = key.map((bytes) => new TextDecoder().decode(bytes));
  return { certPem: own.pem, keyPem, clientCertificate, clientCaPem: ca?.pem, crlFile, userFrom };
}

/** The text of a file of revocation lists. */
export function readCrl(file: string): { readonly pem: string } | { readonly problem: string } {
  const read = readBoundedFile(file, CRL_BYTES_MAX);
  if (!read.ok) return { problem: `${file} ${read.problem}` };
  const pem = new TextDecoder().decode(read.bytes);
  if (!CRL_BLOCK.test(pem)) return { problem: `${file} holds no revocation list` };
  try {
    createSecureContext({ crl: pem });
  } catch {
    return { problem: `${file} has a revocation list that cannot be parsed` };
  }
  return { pem };
}

function readPem(
  review: Review,
  at: KeyPath,
  name: string | undefined,
): { readonly pem: string; readonly first: X509Certificate } | undefined {
  if (name === undefined) return undefined;
  const file = review.resolve(name);
  const read = readCertificates(file);
  if (!read.ok) {
    review.addProblem(at, read);
    return undefined;
  }
  if (review.nowMs !== undefined) {
    const problem = checkExpiry(file, read.first, review.nowMs);
    if (problem !== undefined) review.addProblem(at, problem);
  }
  return read;
}

export function toListen(review: Review, value: ListenTable, material: ListenMaterial): ListenSource {
  const many = (list: string | string[] | undefined) => (typeof list === "string" ? [list] : list);
  return {
    name: value.name,
    type: value.type,
    listeners: value.listener.map((listener, index) => {
      const endpoint = parseEndpoint(listener.address);
      // The schema has parsed the same text before: reaching this is a bug, not a fault of the file.
      if (typeof endpoint === "string") throw new Error(`cannot use address: ${endpoint}`);
      const websocketPath = listener.transport === "websocket" ? listener.path : undefined;
      return { address: endpoint, websocketPath, tls: material.tls[index] };
    }),
    anonymous: value.anonymous,
    usersFile: value.users_file === undefined ? undefined : review.resolve(value.users_file),
    users: material.users,
    access: value.access.map(({ users, client_ids, publish }) => ({
      users: many(users),
      clientIds: many(client_ids),
      publish: many(publish) ?? [],
    })),
    sharedClientIds: many(value.shared_client_ids) ?? [],
    subscriptions: value.subscriptions,
    dollarTopics: value.dollar_topics,
    receiveMaximum: value.receive_maximum,
    topicAliasMaximum: value.topic_alias_maximum,
    keepaliveSecondsMax: value.keepalive_seconds_max,
    connectTimeoutSeconds: value.connect_timeout_seconds,
    sessionsMax: value.sessions_max,
    sessionExpirySecondsMax: value.session_expiry_seconds_max,
    connectionsMax: value.connections_max,
    connectionsPerSecondMax: value.connections_per_second_max,
    messagesPerSecondMax: value.messages_per_second_max,
    banAfterFailures: value.ban_after_failures,
    banWindowSeconds: value.ban_window_seconds,
    banSeconds: value.ban_seconds,
    sparkplug: toSparkplug(value.sparkplug),
  };
}
