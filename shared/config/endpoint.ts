// "host:port" in its three forms: 10.0.0.2:14550, [fd00::2]:14550, gate.example:14550.
// Refuses a missing or impossible port, IPv6 without brackets, and what is neither an address nor a host name.

import { isIP, isIPv4, isIPv6 } from "node:net";

export type Endpoint = { readonly host: string; readonly port: number };

const HOST_LABEL = /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;
const HOST_CHARACTERS_MAX = 253;

/** The parts, or what is wrong with the text, as a sentence that follows the key. */
export function parseEndpoint(text: string, portDefault?: number): Endpoint | string {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) {
    return isIPv6(text) || text.split(":").length > 2
      ? "is an IPv6 address without brackets"
      : "is not HOST:PORT";
  }
  const [, v6, name, portText] = match;
  const host = v6 ?? name ?? "";
  if (v6 !== undefined && !isIPv6(v6)) return "has no IPv6 address in its brackets";
  if (v6 === undefined && !isHost(host)) return "has no valid host name or address";
  const port = portText === undefined ? portDefault : Number(portText);
  if (port === undefined) return "has no port";
  if (port > 65_535) return `has the port ${port}, which is over 65535`;
  return { host, port };
}

export function formatEndpoint(endpoint: Endpoint): string {
  return isIPv6(endpoint.host) ? `[${endpoint.host}]:${endpoint.port}` : `${endpoint.host}:${endpoint.port}`;
}

/** An IPv4 address or a host name; "10.0.0.256" is neither, though it looks like one of each. */
export function isHost(text: string): boolean {
  if (isIPv4(text)) return true;
  if (text === "" || text.length > HOST_CHARACTERS_MAX) return false;
  const labels = text.split(".");
  return labels.every((label) => HOST_LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? "");
}

/** Whether the host is an address of this machine itself, or a name that always means it. */
export function isLoopback(host: string): boolean {
  return (isIPv4(host) && host.startsWith("127.")) || host === "::1" || host === "localhost";
}

/** Whether the host can be bound without asking a name server. */
export function isBindable(host: string): boolean {
  return isIP(host) !== 0 || host === "localhost";
}

/** A host name for a certificate and SNI, where an address may not stand [RFC 6066 3]. */
export function isServerName(text: string): boolean {
  return isIP(text) === 0 && isHost(text);
}
