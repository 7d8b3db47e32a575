// createBrokerConnection() against real brokers: every transport, every check of the certificate, every explanation
// that a broker can provoke, and what happens to messages when the connection breaks.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { MqttClient } from "mqtt";
import { generate, type Packet, parser } from "mqtt-packet";
import {
  type BrokerConnectionOptions,
  type BrokerSession,
  createBrokerConnection,
} from "../../shared/mqtt/connection.ts";
import type { ConnectionFault } from "../../shared/mqtt/explain.ts";
import type { FaultId } from "../../shared/mqtt/fault-class.ts";
import type { BrokerAddress, TlsSettings } from "../../shared/mqtt/transport.ts";
import {
  type Authority,
  createAuthority,
  findFreePorts,
  type Issued,
  issue,
  type Mosquitto,
  mosquittoPath,
  startMosquitto,
} from "./mqtt-lab.ts";

type Scheme = BrokerAddress["scheme"];
type Name =
  | "mqtt"
  | "mqtts"
  | "mtls"
  | "ws"
  | "wss"
  | "wssMtls"
  | "wrong"
  | "wssWrong"
  | "expired"
  | "early"
  | "self"
  | "login";

let broker: Mosquitto<Name>;
let ca: Authority;
let other: Authority;
let self: Authority;
let good: Issued;
let client: Issued;
let alien: Issued;
const open = new Set<MqttClient>();

async function openLab(): Promise<void> {
  [ca, other, self] = await Promise.all([
    createAuthority("Lab"),
    createAuthority("Other"),
    createAuthority("broker.example"),
  ]);
  good = await issue(ca, "broker.example");
  const wrong = await issue(ca, "other.example");
  [client, alien] = await Promise.all([issue(ca, "client"), issue(other, "client")]);
  broker = await startMosquitto({
    mqtt: {},
    mqtts: { server: good },
    mtls: { server: good, clientAuthority: ca },
    ws: { websockets: true },
    wss: { websockets: true, server: good },
    wssMtls: { websockets: true, server: good, clientAuthority: ca },
    wrong: { server: wrong },
    wssWrong: { websockets: true, server: wrong },
    expired: { server: await issue(ca, "broker.example", -10) },
    early: { server: await issue(ca, "broker.example", 10) },
    self: { server: self },
    login: { login: ["operator", "right"] },
  });
}

function trust(changes: Partial<TlsSettings> = {}): TlsSettings {
  const usual = { certPem: undefined, keyPem: undefined, serverName: "broker.example", alpn: [] };
  return { caPem: ca.certificate, ...usual, ...changes };
}

function show(issued: Issued): Partial<TlsSettings> {
  return { certPem: issued.certificate, keyPem: { reveal: () => issued.key } };
}

type Outcome = {
  readonly client: MqttClient;
  readonly session?: BrokerSession;
  readonly fault?: ConnectionFault;
};

let serial = 0;
/** A client that has begun to connect. */
function start(scheme: Scheme, port: number, changes: Partial<BrokerConnectionOptions>): MqttClient {
  const client = createBrokerConnection({
    label: "target hq",
    address: { scheme, host: "127.0.0.1", port, path: "/mqtt" },
    tls: () => undefined,
    version: 5,
    clientId: `lab-${serial++}`,
    login: () => ({ username: undefined, password: undefined }),
    cleanStart: true,
    sessionExpirySeconds: undefined,
    receiveMaximum: undefined,
    keepaliveSeconds: 30,
    connectTimeoutSeconds: 5,
    reconnectMinMs: 20,
    reconnectMaxMs: 50,
    random: Math.random,
    onOnline: () => {},
    onOffline: () => {},
    ...changes,
  });
  open.add(client);
  client.connect();
  return client;
}

/** Connects, and resolves when the broker has taken us or the first attempt has failed. */
function attempt(
  scheme: Scheme,
  port: number,
  tls: TlsSettings | undefined,
  changes: Partial<BrokerConnectionOptions> = {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    const client = start(scheme, port, {
      tls: () => tls,
      ...changes,
      onOnline: (session) => resolve({ client, session }),
      onOffline: (fault) => resolve({ client, fault }),
    });
  });
}

function end(client: MqttClient): Promise<void> {
  open.delete(client);
  return client.endAsync(true);
}

describe.skipIf(mosquittoPath === undefined)("with mosquitto (skipped when it is not installed)", () => {
  beforeAll(openLab);
  afterAll(async () => {
    for (const client of open) client.end(true);
    await broker.stop();
  });

  const TRANSPORTS: [name: Name, scheme: Scheme, tls: () => TlsSettings | undefined][] = [
    ["mqtt", "mqtt", () => undefined],
    ["mqtts", "mqtts", () => trust({ alpn: ["mqtt"] })],
    ["mtls", "mqtts", () => trust(show(client))],
    ["ws", "ws", () => undefined],
    ["wss", "wss", () => trust()],
    ["wssMtls", "wss", () => trust(show(client))],
    ["self", "mqtts", () => trust({ caPem: self.certificate })],
  ];
  for (const version of [4, 5] as const) {
    test.each(TRANSPORTS)(
      `createBrokerConnection() carries messages both ways over %s, MQTT ${version}`,
      async (name, scheme, tls) => {
        const { client, session } = await attempt(scheme, broker.ports[name], tls(), { version });
        expect(session).toEqual({
          sessionPresent: false,
          receiveMaximum: version === 5 ? 20 : 65_535,
          packetBytesMax: undefined,
          qosMax: 2,
          retainAvailable: true,
        });
        await client.subscribeAsync(`${name}/#`, { qos: 2 });
        for (const qos of [0, 1, 2] as const) {
          const came = new Promise((resolve) =>
            client.once("message", (topic, payload) => resolve([topic, payload.length])),
          );
          await client.publishAsync(`${name}/x`, Buffer.alloc(3000, "z"), { qos });
          expect(await came).toEqual([`${name}/x`, 3000]);
        }
        await end(client);
      },
    );
  }

  const FAULTS: [
    id: FaultId,
    name: Name,
    scheme: Scheme,
    tls: () => TlsSettings | undefined,
    code: string | undefined,
  ][] = [
    ["tls-name", "wrong", "mqtts", () => trust(), "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["tls-name", "wssWrong", "wss", () => trust(), "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["tls-name", "mqtts", "mqtts", () => trust({ serverName: undefined }), "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["tls-expired", "expired", "mqtts", () => trust(), "CERT_HAS_EXPIRED"],
    ["tls-not-yet-valid", "early", "mqtts", () => trust(), "CERT_NOT_YET_VALID"],
    ["tls-self-signed", "self", "mqtts", () => trust(), "DEPTH_ZERO_SELF_SIGNED_CERT"],
    [
      "tls-unknown-ca",
      "mqtts",
      "mqtts",
      () => trust({ caPem: other.certificate }),
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    ],
    [
      "tls-unknown-ca",
      "mqtts",
      "mqtts",
      () => trust({ caPem: undefined }),
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    ],
    [
      "tls-unknown-ca",
      "wss",
      "wss",
      () => trust({ caPem: other.certificate }),
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    ],
    ["tls-client-certificate", "mtls", "mqtts", () => trust(), "ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED"],
    ["tls-client-certificate", "mtls", "mqtts", () => trust(show(alien)), "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"],
    ["tls-client-certificate", "wssMtls", "wss", () => trust(), "ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED"],
    [
      "tls-files",
      "mtls",
      "mqtts",
      () => trust({ ...show(client), ...show({ ...client, key: alien.key }) }),
      "ERR_OSSL_X509_KEY_VALUES_MISMATCH",
    ],
    ["tls-protocol", "mqtt", "mqtts", () => trust(), "ECONNRESET"],
    ["tls-protocol", "ws", "wss", () => trust(), "ERR_SSL_WRONG_VERSION_NUMBER"],
    ["closed-early", "mqtts", "mqtt", () => undefined, "ECONNRESET"],
    ["closed-early", "wss", "ws", () => undefined, "ECONNRESET"],
    ["closed-early", "mqtt", "ws", () => undefined, "ECONNRESET"],
    ["protocol", "ws", "mqtt", () => undefined, undefined],
  ];
  test.each(FAULTS)(
    "createBrokerConnection() reports %s at the listener %s by %s",
    async (id, name, scheme, tls, code) => {
      const { client, fault } = await attempt(scheme, broker.ports[name], tls());
      expect({ id: fault?.id, code: fault?.code }).toEqual({ id, code });
      expect(fault?.sentence).toStartWith("cannot connect target hq: ");
      await end(client);
    },
  );

  test("createBrokerConnection() logs in, and reports auth for MQTT 3.1.1 and 5", async () => {
    const port = broker.ports.login;
    const login = (password: string) => ({
      login: () => ({ username: "operator", password: { reveal: () => password } }),
    });
    const right = await attempt("mqtt", port, undefined, login("right"));
    expect(right.session?.sessionPresent).toBe(false);
    const wrong5 = await attempt("mqtt", port, undefined, login("wrong"));
    expect([wrong5.fault?.id, wrong5.fault?.code]).toEqual(["auth", "0x87"]);
    const wrong4 = await attempt("mqtt", port, undefined, { ...login("wrong"), version: 4 });
    expect([wrong4.fault?.id, wrong4.fault?.code]).toEqual(["auth", "0x05"]);
    for (const { client } of [right, wrong5, wrong4]) await end(client);
  });

  test("createBrokerConnection() names the client id when another client takes it over without a word", async () => {
    const port = broker.ports.mqtt;
    const online = Promise.withResolvers<void>();
    const offline = Promise.withResolvers<ConnectionFault>();
    const waits = { reconnectMinMs: 60_000, reconnectMaxMs: 60_000 };
    const hooks = { onOnline: () => online.resolve(), onOffline: offline.resolve };
    const first = start("mqtt", port, { clientId: "twin", ...waits, ...hooks });
    await online.promise;
    const second = await attempt("mqtt", port, undefined, { clientId: "twin" });
    const fault = await offline.promise;
    // mosquitto 2.0.11 sends no DISCONNECT before it closes; a broker that does is played below.
    expect(fault.id).toBe("closed");
    expect(fault.sentence).toContain('another client that uses the client id "twin" too');
    await Promise.all([end(first), end(second.client)]);
  });

  test("createBrokerConnection() comes back by itself after the broker was killed", async () => {
    const faults: string[] = [];
    let online = Promise.withResolvers<void>();
    const hooks = {
      onOnline: () => online.resolve(),
      onOffline: ({ id }: ConnectionFault) => faults.push(id),
    };
    const client = start("mqtt", broker.ports.mqtt, hooks);
    await online.promise;
    online = Promise.withResolvers();
    await broker.restart();
    await online.promise;
    expect(["reset", "closed"]).toContain(faults[0] as string);
    for (const id of faults.slice(1)) expect(id).toBe("refused");
    await end(client);
  });
});

/** A broker of a few lines that does what each test wants; stops with the test. */
async function listen(onSocket: (socket: Socket) => void): Promise<{ port: number; server: Server }> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return { port: address !== null && typeof address === "object" ? address.port : 0, server };
}

const CONNACK = generate(
  { cmd: "connack", returnCode: 0, reasonCode: 0, sessionPresent: true },
  { protocolVersion: 5 },
);

function onPackets(socket: Socket, take: (packet: Packet) => void): void {
  const packets = parser({ protocolVersion: 5 });
  packets.on("packet", take);
  socket.on("data", (chunk: Buffer) => packets.parse(chunk));
}

test("createBrokerConnection() sends unacknowledged QoS 1 and 2 messages again, marked as such", async () => {
  const seen: string[][] = [];
  const { port, server } = await listen((socket) => {
    const mine: string[] = [];
    const isFirst = seen.push(mine) === 1;
    const answer = (cmd: "puback" | "pubrec" | "pubcomp", messageId = 0) =>
      socket.write(generate({ cmd, messageId, reasonCode: 0 }, { protocolVersion: 5 }));
    onPackets(socket, (packet) => {
      if (packet.cmd === "connect") socket.write(CONNACK);
      if (packet.cmd === "pubrel") answer("pubcomp", packet.messageId);
      if (packet.cmd !== "publish") return;
      mine.push(`${packet.messageId} ${packet.topic} dup=${packet.dup}`);
      if (!isFirst) answer(packet.qos === 1 ? "puback" : "pubrec", packet.messageId);
      else if (mine.length === 2) socket.destroy();
    });
  });
  const online = Promise.withResolvers<void>();
  const client = start("mqtt", port, { cleanStart: false, onOnline: () => online.resolve() });
  await online.promise;
  await Promise.all(([1, 2] as const).map((qos) => client.publishAsync(`t/${qos}`, "x", { qos })));
  const [sent = [], again = []] = seen;
  expect(sent.map((line) => line.replace(/^\d+/, ""))).toEqual([" t/1 dup=false", " t/2 dup=false"]);
  expect(again).toEqual(sent.map((line) => line.replace("dup=false", "dup=true")));
  await end(client);
  server.close();
});

test("createBrokerConnection() calls back for QoS 0 messages that a dead connection held", async () => {
  const sockets: Socket[] = [];
  const { port, server } = await listen((socket) => {
    sockets.push(socket);
    socket.once("data", () => {
      socket.write(CONNACK);
      socket.pause();
    });
  });
  const online = Promise.withResolvers<void>();
  const client = start("mqtt", port, {
    onOnline: () => online.resolve(),
    reconnectMinMs: 60_000,
    reconnectMaxMs: 60_000,
  });
  await online.promise;
  const payload = Buffer.alloc(1_000_000);
  const settled = Promise.all(
    Array.from({ length: 20 }, () => client.publishAsync("t", payload).catch(() => {})),
  );
  for (const socket of sockets) socket.resetAndDestroy();
  expect((await settled).length).toBe(20);
  await end(client);
  server.close();
});

test("createBrokerConnection() gives up a silent broker after the connect timeout, and says where it hung", async () => {
  const { port, server } = await listen(() => {});
  const phases: Record<string, string> = { mqtt: "mqtt", mqtts: "tls", ws: "websocket" };
  for (const scheme of ["mqtt", "mqtts", "ws"] as const) {
    const { client, fault } = await attempt(scheme, port, undefined, { connectTimeoutSeconds: 0.1 });
    expect(fault?.id).toBe("timeout");
    expect(fault?.sentence).toContain(`(at ${phases[scheme]})`);
    await end(client);
  }
  server.close();
});

test("createBrokerConnection() reports refused and dns", async () => {
  const [port = 0] = await findFreePorts(1);
  const refused = await attempt("mqtt", port, undefined);
  expect([refused.fault?.id, refused.fault?.code]).toEqual(["refused", "ECONNREFUSED"]);
  const address = { scheme: "mqtt", host: "no-such-host.invalid", port: 1, path: "" } as const;
  const unknown = await attempt("mqtt", port, undefined, { address });
  expect(unknown.fault?.id).toBe("dns");
  for (const { client } of [refused, unknown]) await end(client);
});

test("createBrokerConnection() reports keepalive when a broker falls silent", async () => {
  const { port, server } = await listen((socket) => socket.once("data", () => socket.write(CONNACK)));
  const offline = Promise.withResolvers<ConnectionFault>();
  const client = start("mqtt", port, { keepaliveSeconds: 1, onOffline: offline.resolve });
  expect((await offline.promise).id).toBe("keepalive");
  await end(client);
  server.close();
});

test("createBrokerConnection() ends the connection when a broker breaks the protocol", async () => {
  const { port, server } = await listen((socket) =>
    socket.once("data", () => socket.write(Buffer.concat([CONNACK, Buffer.from([0x41, 2, 0, 1])]))),
  );
  const offline = Promise.withResolvers<ConnectionFault>();
  const client = start("mqtt", port, { onOffline: offline.resolve });
  expect((await offline.promise).id).toBe("protocol");
  await end(client);
  server.close();
});

test("createBrokerConnection() stays ended, whenever it is ended", async () => {
  let attempts = 0;
  const { port, server } = await listen((socket) => {
    attempts++;
    socket.destroy();
  });
  for (const isForced of [true, false]) {
    const offline: string[] = [];
    const ended = start("mqtt", port, { onOffline: ({ id }) => offline.push(id) });
    open.delete(ended);
    await ended.endAsync(isForced);
    const before = attempts;
    const refused = await countAttempts(10);
    expect(offline).toEqual([]);
    // The socket of the first attempt may have been on its way.
    expect(attempts - before).toBeLessThanOrEqual(1);
    expect(refused).toBe(10);
  }
  server.close();
});

/** A client with the same waits as the others measures time: resolves after its attempts have failed so many times. */
async function countAttempts(count: number): Promise<number> {
  const [port = 0] = await findFreePorts(1);
  const enough = Promise.withResolvers<void>();
  let failed = 0;
  const onOffline = () => {
    if (++failed === count) enough.resolve();
  };
  const client = start("mqtt", port, { onOffline });
  await enough.promise;
  await end(client);
  return failed;
}

test("createBrokerConnection() reports taken-over when the broker says so", async () => {
  const { port, server } = await listen((socket) =>
    socket.once("data", () => socket.end(Buffer.concat([CONNACK, Buffer.from([0xe0, 2, 0x8e, 0])]))),
  );
  const offline = Promise.withResolvers<ConnectionFault>();
  const client = start("mqtt", port, { onOffline: offline.resolve });
  const fault = await offline.promise;
  expect([fault.id, fault.code]).toEqual(["taken-over", "0x8e"]);
  await end(client);
  server.close();
});

test.each(["TLSv1.2", "TLSv1.3"] as const)(
  "createBrokerConnection() tells an impostor no password, %s",
  async (maxVersion) => {
    const lab = await createAuthority("Impostor");
    const certificate = await issue(lab, "other.example");
    let heard = "";
    const ended = Promise.withResolvers<void>();
    const server = createTlsServer(
      { cert: certificate.certificate, key: certificate.key, maxVersion },
      (socket) => {
        socket.on("error", () => {});
        socket.on("data", (bytes) => {
          heard += bytes.toString("latin1");
        });
        socket.on("close", () => ended.resolve());
      },
    );
    server.on("tlsClientError", () => ended.resolve());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = address !== null && typeof address === "object" ? address.port : 0;
    const tls = {
      caPem: lab.certificate,
      certPem: undefined,
      keyPem: undefined,
      serverName: "broker.example",
      alpn: [],
    };
    const { client, fault } = await attempt("mqtts", port, tls, {
      login: () => ({ username: "operator", password: { reveal: () => "hunter2" } }),
      reconnectMinMs: 60_000,
      reconnectMaxMs: 60_000,
    });
    await ended.promise;
    expect(fault?.id).toBe("tls-name");
    expect(heard).toBe("");
    await end(client);
    server.close();
  },
);

test("createBrokerConnection() offers the server name, the protocols of tls.alpn", async () => {
  const lab = await createAuthority("Alpn");
  const certificate = await issue(lab, "broker.example");
  const usual = { cert: certificate.certificate, key: certificate.key };
  const tls = {
    caPem: lab.certificate,
    certPem: undefined,
    keyPem: undefined,
    serverName: "broker.example",
    alpn: ["x-amzn-mqtt-ca", "mqtt"],
  };
  const seen: unknown[] = [];
  const modern = createTlsServer({ ...usual, ALPNProtocols: ["mqtt"] }, (socket) => {
    seen.push(socket.alpnProtocol, socket.servername);
    socket.on("error", () => {});
    socket.destroy();
  });
  await new Promise<void>((resolve) => modern.listen(0, "127.0.0.1", resolve));
  const address = modern.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  const { client } = await attempt("mqtts", port, tls, { reconnectMinMs: 60_000, reconnectMaxMs: 60_000 });
  expect(seen).toEqual(["mqtt", "broker.example"]);
  await end(client);
  modern.close();
});

test("createBrokerConnection() prints nothing, whatever DEBUG says", async () => {
  const { port, server } = await listen((socket) => socket.once("data", () => socket.write(CONNACK)));
  const script = `
    const { createBrokerConnection } = await import(${JSON.stringify(`${import.meta.dir}/../../shared/mqtt/connection.ts`)});
    const client = createBrokerConnection({
      label: "x", address: { scheme: "mqtt", host: "127.0.0.1", port: ${port}, path: "" }, tls: () => undefined, version: 5,
      clientId: "x", login: () => ({ username: "operator", password: { reveal: () => "hunter2" } }), cleanStart: true,
      keepaliveSeconds: 30, connectTimeoutSeconds: 5, reconnectMinMs: 20, reconnectMaxMs: 50, random: Math.random,
      onOnline: () => { client.publish("t", "payload"); client.end(false, () => process.exit(0)); }, onOffline: () => {},
    });
    client.connect();`;
  const child = Bun.spawn([process.execPath, "-e", script], {
    env: { ...process.env, DEBUG: "*" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const printed = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect(printed).toEqual(["", "", 0]);
  server.close();
});
