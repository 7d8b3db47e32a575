// Opens the byte stream to a broker: TCP, TLS, or WebSocket on either, and all of it through a proxy where one is set.
// TLS is 1.2 or newer, the broker's certificate and name are always verified, and own authorities replace the public ones.
// Never throws: what goes wrong, bad certificates of ours included, comes as the stream's "error" and "close".

import { connect as connectTcp, isIP, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import type { Revealable } from "../revealable.ts";
import { LateStream } from "./late-stream.ts";
import { openTunnel, type ProxySettings } from "./proxy.ts";
import { WebsocketStream } from "./websocket-stream.ts";

export type BrokerAddress = {
  readonly scheme: "mqtt" | "mqtts" | "ws" | "wss";
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Of the WebSocket, beginning with "/"; unused otherwise. */
  readonly path: string;
};

export type TlsSettings = {
  /** Authorities to trust in place of the public ones. */
  readonly caPem: string | undefined;
  /** Where they are from; without it they are those of a cloud. */
  readonly caFile?: string | undefined;
  /** Client certificate, with its chain. */
  readonly certPem: string | undefined;
  readonly keyPem: Revealable<string> | undefined;
  /** The name the broker's certificate must have, also sent as SNI; the host when undefined. */
  readonly serverName: string | undefined;
  readonly alpn: readonly string[];
};

/**
 * How far a connection attempt has come. `proxy` = the proxy is asked for the way; `mqtt` = all below MQTT stands;
 * `online` = the broker took us.
 */
export type ConnectionPhase = "proxy" | "connect" | "tls" | "websocket" | "mqtt" | "online";

/** What a TLS connection to this broker is opened with. */
export function createTlsOptions(address: BrokerAddress, tls: TlsSettings | undefined): ConnectionOptions {
  const serverName = tls?.serverName ?? (isIP(address.host) === 0 ? address.host : undefined);
  return {
    host: address.host,
    port: address.port,
    // Said outright, so that the environment can't turn it off (NODE_TLS_REJECT_UNAUTHORIZED).
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(tls?.caPem === undefined ? {} : { ca: tls.caPem }),
    ...(tls?.certPem === undefined ? {} : { cert: tls.certPem }),
    ...(tls?.keyPem === undefined ? {} : { key: tls.keyPem.reveal() }),
    ...(tls === undefined || tls.alpn.length === 0 ? {} : { ALPNProtocols: [...tls.alpn] }),
  };
}

/** Begins to connect; `onPhase` is called whenever the next phase begins, up to "mqtt". */
export function openTransport(
  address: BrokerAddress,
  tls: TlsSettings | undefined,
  onPhase: (phase: ConnectionPhase) => void,
  proxy?: ProxySettings,
): Duplex {
  if (proxy === undefined) return openOver(undefined, address, tls, onPhase);
  onPhase("proxy");
  const stream = new LateStream();
  const tunnel = openTunnel(proxy, address.host, address.port, (error) => {
    if (error === undefined) stream.attach(openOver(tunnel, address, tls, onPhase));
    else stream.destroy(error);
  });
  stream.once("close", () => tunnel.destroy());
  return stream;
}

/** `tunnel` is a connection that leads to the broker already; undefined: connect to it. */
function openOver(
  tunnel: Socket | undefined,
  address: BrokerAddress,
  tls: TlsSettings | undefined,
  onPhase: (phase: ConnectionPhase) => void,
): Duplex {
  onPhase("connect");
  const isSecure = address.scheme === "mqtts" || address.scheme === "wss";
  const isWebsocket = address.scheme === "ws" || address.scheme === "wss";
  const above = isWebsocket ? "websocket" : "mqtt";
  let socket: Socket;
  try {
    if (isSecure) {
      const options = createTlsOptions(address, tls);
      const secured = connectTls(tunnel === undefined ? options : { ...options, socket: tunnel });
      if (tunnel === undefined) secured.once("connect", () => onPhase("tls"));
      else onPhase("tls");
      secured.once("secureConnect", () => onPhase(above));
      socket = secured;
    } else if (tunnel === undefined) {
      socket = connectTcp({ host: address.host, port: address.port });
      socket.once("connect", () => onPhase(above));
    } else {
      socket = tunnel;
      onPhase(above);
    }
  } catch (error) {
    return new Duplex().destroy(error instanceof Error ? error : new Error(String(error)));
  }
  socket.setNoDelay(true);
  if (!isWebsocket) return socket;
  const readyEvent = isSecure ? "secureConnect" : tunnel === undefined ? "connect" : undefined;
  return new WebsocketStream(socket, readyEvent, formatHost(address), address.path || "/", () =>
    onPhase("mqtt"),
  );
}

export function formatHost(address: { readonly host: string; readonly port: number }): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
