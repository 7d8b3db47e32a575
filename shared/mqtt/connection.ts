// A connection to a broker for either agent: MQTT.js for the session, our transports below it, and reconnects with
// jittered exponential back-off. Each end of a connection or attempt is reported once, explained.
// Refuses: topic aliases, unverified TLS, QoS 0 messages while offline (they would wait in memory without a limit), a
// will that the configuration does not ask for (nothing is announced that neither a publisher nor the operator wanted).

import { Duplex } from "node:stream";
import { disable as disableDebug } from "debug";
import { type IClientOptions, type IConnackPacket, MqttClient, type Packet, Store } from "mqtt";
import type { Revealable } from "../revealable.ts";
import { Backoff } from "./backoff.ts";
import { type ConnectionFault, explainFault } from "./explain.ts";
import type { FaultCause } from "./fault-class.ts";
import type { ProxySettings } from "./proxy.ts";
import { ServerReference } from "./server-reference.ts";
import {
  type BrokerAddress,
  type ConnectionPhase,
  formatHost,
  openTransport,
  type TlsSettings,
} from "./transport.ts";

export type BrokerConnectionOptions = {
  /** For sentences: "target hq", "source line-broker". */
  readonly label: string;
  readonly address: BrokerAddress;
  /** Asked before each attempt; undefined = the defaults; used with mqtts and wss only. */
  readonly tls: () => TlsSettings | undefined;
  /** undefined = none. */
  readonly proxy?: ProxySettings | undefined;
  /** 4 = MQTT 3.1.1, 5 = MQTT 5. */
  readonly version: 4 | 5;
  readonly clientId: string;
  /** Asked before each attempt: a login may age. */
  readonly login: () => Login;
  /** What to look at when the broker refuses the login; the user name and the password when absent. */
  readonly loginHint?: string | undefined;
  /** The same when it ends the connection without a word. */
  readonly closedHint?: string | undefined;
  /** The key of the configuration that has the address; "url" when absent. */
  readonly addressKey?: string | undefined;
  /** Clean session in MQTT 3.1.1. */
  readonly cleanStart: boolean;
  /** MQTT 5 only. */
  readonly sessionExpirySeconds: number | undefined;
  /** MQTT 5 only: how many QoS 1 and 2 messages the broker may send unacknowledged. */
  readonly receiveMaximum: number | undefined;
  readonly keepaliveSeconds: number;
  readonly connectTimeoutSeconds: number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  /** 0 (included) to 1 (excluded). */
  readonly random: () => number;
  /** What the broker publishes when the connection ends without a goodbye; a function is asked before each attempt. */
  readonly will?: BrokerWill | (() => BrokerWill | undefined) | undefined;
  /** Goes where the broker sends its clients instead [MQTT5 4.13]. Default: it stays at the address. */
  readonly followsReference?: boolean;
  /** Asked before each attempt; true: the wait before the next one begins with the shortest again. */
  readonly resetsBackoff?: () => boolean;
  /** Puts something between the socket and MQTT.js: the ingress tap. */
  readonly wrap?: (socket: Duplex) => Duplex;
  /** The broker has taken us; subscribe now. Comes once a connection. */
  readonly onOnline: (session: BrokerSession) => void;
  /** A connection or attempt has ended. Not called after the client's end(). */
  readonly onOffline: (fault: ConnectionFault, retryMs: number) => void;
  /** The connection that renew() ended is gone; the next one is on its way. */
  readonly onRenewing?: () => void;
};

/** Who we are to the broker in one attempt. */
export type Login = {
  readonly username: string | undefined;
  readonly password: Revealable<string> | undefined;
  /** Of the WebSocket, in place of the address's, where that holds a signature. */
  readonly path?: string | undefined;
  /** In place of the address's, where something else tells which broker it is. */
  readonly endpoint?: { readonly host: string; readonly port: number } | undefined;
  /** In place of the one in the options. */
  readonly clientId?: string | undefined;
  /** Why there is no login now, in words: the attempt fails with them. */
  readonly problem?: string | undefined;
  /** MQTT 5 only: enhanced authentication [MQTT5 4.12]. */
  readonly authentication?: { readonly method: string; readonly data: Revealable<string> } | undefined;
};

export type BrokerWill = {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
};

/** What the broker said when it took us [MQTT5 3.2.2.3]; what it didn't say has MQTT's default. */
export type BrokerSession = {
  readonly sessionPresent: boolean;
  /** How many of our QoS 1 and 2 messages may be unacknowledged. */
  readonly receiveMaximum: number;
  /** undefined = no limit of its own. */
  readonly packetBytesMax: number | undefined;
  readonly qosMax: 0 | 1 | 2;
  readonly retainAvailable: boolean;
};

/** A connection that lasted this long is stable: the next loss begins with the shortest wait again. */
const STABLE_MS = 5000;
/** Wait between the end of a session that is renewed and the next; AWS IoT takes one CONNECT a second of a client id. */
const RENEW_MS = 1000;
const GOODBYE_MS = 2000;
const DISCONNECT = Buffer.from([0xe0, 0]);

// With DEBUG in the environment, MQTT.js and mqtt-packet would print passwords and payloads to stderr.
disableDebug();

/** The client connects when its connect() is called, and keeps at it until end(). Never throws. */
export function createBrokerConnection(options: BrokerConnectionOptions): BrokerClient {
  const backoff = new Backoff(options.reconnectMinMs, options.reconnectMaxMs, options.random);
  let cause = newCause();
  let tls: TlsSettings | undefined;
  let address = options.address;
  const reference = new ServerReference(options.address);
  let { clientId } = options;
  let isRenewing = false;
  let stableTimer: ReturnType<typeof setTimeout> | undefined;

  const noteReference = (code: number | undefined, text: string | undefined) => {
    if (options.followsReference === true) reference.note(code, text);
  };

  const client = new MqttClient(() => {
    const attempt = newCause();
    cause = attempt;
    // MQTT.js reads this period when the attempt fails, so every attempt sets the wait that follows it. Its own
    // reconnecting is kept, because only that sends unacknowledged QoS 1 and 2 messages again.
    if (options.resetsBackoff?.() === true) backoff.reset();
    client.options.reconnectPeriod = backoff.next();
    const notePhase = (phase: ConnectionPhase) => {
      attempt.phase = phase;
    };
    const login = options.login();
    setLogin(client.options, login);
    if (typeof options.will === "function") setWill(client.options, options.will());
    const endpoint = login.endpoint ?? reference.endpoint;
    address = { ...options.address, ...endpoint, path: login.path ?? options.address.path };
    clientId = login.clientId ?? options.clientId;
    client.options.clientId = clientId;
    tls = options.tls();
    // The name in the settings is that of the configured address.
    if (tls !== undefined && reference.endpoint !== undefined) tls = { ...tls, serverName: undefined };
    const socket =
      login.problem === undefined
        ? openTransport(address, tls, notePhase, options.proxy)
        : new Duplex().destroy(Object.assign(new Error(login.problem), { code: "ERR_LOGIN" }));
    const stream = options.wrap === undefined ? socket : options.wrap(socket);
    // MQTT.js holds the callback of a QoS 0 message until "drain", which a dead stream never has: it would never come.
    stream.once("close", () => stream.emit("drain"));
    return stream;
  }, createClientOptions(options));

  client.on("packetreceive", (packet: Packet) => {
    if (packet.cmd !== "connack") return;
    if (!(packet.reasonCode ?? packet.returnCode)) cause.phase = "online";
    else noteReference(packet.reasonCode, packet.properties?.serverReference);
  });
  client.on("connect", (connack) => {
    stableTimer = setTimeout(() => {
      reference.noteStable();
      backoff.reset();
      client.options.reconnectPeriod = backoff.next();
    }, STABLE_MS);
    options.onOnline(readSession(connack));
  });
  client.on("disconnect", ({ reasonCode, properties }) => {
    cause.disconnectCode = reasonCode;
    noteReference(reasonCode, properties?.serverReference);
  });
  client.on("error", (error) => {
    cause.error ??= error;
    // MQTT.js goes on after a malformed packet; the stream can't be trusted any more.
    client.stream.destroy();
  });
  client.on("end", () => {
    // After this MQTT.js forgets that it was ended, and would connect again when the stream closes later.
    client.options.reconnectPeriod = 0;
  });
  client.on("close", () => {
    clearTimeout(stableTimer);
    if (client.disconnecting || client.options.reconnectPeriod === 0) return;
    if (isRenewing) {
      isRenewing = false;
      options.onRenewing?.();
      return;
    }
    cause.sentTo = reference.noteEnd();
    options.onOffline(
      explainFault({ ...faultContext(options, tls), address, clientId }, cause),
      client.options.reconnectPeriod ?? 0,
    );
  });
  const renew = () => {
    if (!client.connected || isRenewing) return;
    isRenewing = true;
    client.options.reconnectPeriod = RENEW_MS;
    // The packet is whole and the last one: the tap lets nothing follow it.
    const { stream } = client;
    stream.end(DISCONNECT);
    // A broker that does not close its end would keep us offline for ever.
    setTimeout(() => stream.destroy(), GOODBYE_MS).unref();
  };
  return Object.assign(client, { renew });
}

export type BrokerClient = MqttClient & {
  /** Says goodbye to the broker and connects again at once, with a new login; nothing happens while not connected. */
  renew(): void;
};

function setLogin(client: IClientOptions, { username, password, authentication }: Login): void {
  if (username === undefined) delete client.username;
  else client.username = username;
  if (password === undefined) delete client.password;
  else client.password = password.reveal();
  if (authentication === undefined) return;
  const { method, data } = authentication;
  client.properties = {
    ...client.properties,
    authenticationMethod: method,
    authenticationData: Buffer.from(data.reveal()),
  };
}

function setWill(client: IClientOptions, will: BrokerWill | undefined): void {
  if (will === undefined) delete client.will;
  else client.will = will;
}

function newCause(): { -readonly [Key in keyof FaultCause]: FaultCause[Key] } {
  return { phase: "connect", error: undefined, disconnectCode: undefined, sentTo: undefined };
}

function createClientOptions(options: BrokerConnectionOptions): IClientOptions {
  const { version, sessionExpirySeconds, receiveMaximum, will } = options;
  const properties = {
    ...(sessionExpirySeconds === undefined ? {} : { sessionExpiryInterval: sessionExpirySeconds }),
    ...(receiveMaximum === undefined ? {} : { receiveMaximum }),
  };
  return {
    protocolVersion: version,
    clientId: options.clientId,
    clean: options.cleanStart,
    keepalive: options.keepaliveSeconds,
    connectTimeout: options.connectTimeoutSeconds * 1000,
    ...(version === 5 ? { properties } : {}),
    ...(will === undefined || typeof will === "function" ? {} : { will }),
    reconnectPeriod: options.reconnectMinMs,
    // A broker that refuses today (unavailable, password being changed) may accept tomorrow: nobody is there at night.
    reconnectOnConnackError: true,
    // The owner subscribes in onOnline, whether or not the broker kept the session.
    resubscribe: false,
    queueQoSZero: false,
    manualConnect: true,
    outgoingStore: new RedeliveryStore(),
    timerVariant: "native",
    log: () => {},
  };
}

/** MQTT.js sends stored messages again as they are; a message sent again must say so [MQTT-3.3.1-1]. */
class RedeliveryStore extends Store {
  override put(...[packet, done]: Parameters<Store["put"]>): this {
    if (packet.cmd === "publish") packet.dup = true;
    super.put(packet, done);
    return this;
  }
}

function readSession(connack: IConnackPacket): BrokerSession {
  const { properties } = connack;
  const qosMax = properties?.maximumQoS;
  return {
    sessionPresent: connack.sessionPresent,
    receiveMaximum: properties?.receiveMaximum ?? 65_535,
    packetBytesMax: properties?.maximumPacketSize,
    qosMax: qosMax === 0 || qosMax === 1 ? qosMax : 2,
    retainAvailable: properties?.retainAvailable !== false,
  };
}

function faultContext(options: BrokerConnectionOptions, tls: TlsSettings | undefined) {
  return {
    label: options.label,
    address: options.address,
    serverName: tls?.serverName ?? options.address.host,
    clientId: options.clientId,
    hasClientCertificate: tls?.certPem !== undefined,
    hasOwnAuthority: tls?.caPem !== undefined,
    hasCloudAuthority: tls?.caPem !== undefined && tls.caFile === undefined,
    connectTimeoutSeconds: options.connectTimeoutSeconds,
    loginHint: options.loginHint,
    closedHint: options.closedHint,
    addressKey: options.addressKey,
    proxy: options.proxy && formatHost(options.proxy),
  };
}
