// The URL of an MQTT broker: mqtt, mqtts, ws or wss, a host, a port, and for WebSocket a path.
// Refuses a user name or password in it (it would end up in logs), a query, a fragment, other schemes.

import { type Endpoint, formatEndpoint, parseEndpoint } from "./endpoint.ts";

export const BROKER_SCHEMES = ["mqtt", "mqtts", "ws", "wss"] as const;

export type BrokerScheme = (typeof BROKER_SCHEMES)[number];

export type BrokerUrl = Endpoint & {
  readonly scheme: BrokerScheme;
  /** Of the WebSocket, beginning with "/"; empty for mqtt and mqtts. */
  readonly path: string;
};

const PORT_DEFAULT: Record<BrokerScheme, number> = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 };

/** The parts, or what is wrong with the text. */
export function parseBrokerUrl(text: string): BrokerUrl | string {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)(.*)$/.exec(text);
  if (match === null) return "is not a URL";
  const [, schemeText = "", authority = "", path = "", rest = ""] = match;
  const scheme = BROKER_SCHEMES.find((known) => known === schemeText);
  if (scheme === undefined) return `has the scheme "${schemeText}"`;
  if (authority.includes("@")) return "has a user name or password in it";
  if (rest !== "") return 'has a query or fragment ("?" or "#")';
  const endpoint = parseEndpoint(authority, PORT_DEFAULT[scheme]);
  if (typeof endpoint === "string") return endpoint;
  if (endpoint.port === 0) return "has the port 0";
  const isWebSocket = scheme === "ws" || scheme === "wss";
  if (!isWebSocket && path !== "" && path !== "/") return "has a path, which only ws and wss can have";
  if (!/^[!-~]*$/.test(path)) return "has a space or a non-ASCII character in its path";
  return { scheme, ...endpoint, path: isWebSocket ? path || "/" : "" };
}

export function isSecureScheme(scheme: BrokerScheme): boolean {
  return scheme === "mqtts" || scheme === "wss";
}

/** Scheme, host, port and path in full, for logs. */
export function formatBrokerUrl(url: BrokerUrl): string {
  return `${url.scheme}://${formatEndpoint(url)}${url.path}`;
}
