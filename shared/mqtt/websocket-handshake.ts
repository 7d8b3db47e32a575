// The opening handshake of WebSocket with MQTT inside, for both ends [RFC 6455 4, MQTT5 6]. A client refuses any answer but
// "101 Switching Protocols" with the right accept value and the subprotocol "mqtt", and one over 16 KiB. A server
// refuses another path, another subprotocol, what is no upgrade, and a request over 16 KiB.

import { createHash } from "node:crypto";

const ACCEPT_SALT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const ANSWER_BYTES_MAX = 16_384;

/** `key` is 16 random bytes in base64. */
export function encodeUpgradeRequest(hostAndPort: string, path: string, key: string): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${hostAndPort}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${key}`,
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: mqtt",
    "\r\n",
  ].join("\r\n");
}

export type UpgradeAnswer =
  | { readonly kind: "more" }
  /** The frames begin at `end`. */
  | { readonly kind: "open"; readonly end: number }
  | { readonly kind: "refused"; readonly reason: string; readonly status: number | undefined };

/** Judges all bytes of the answer so far. */
export function decodeUpgradeAnswer(bytes: Buffer, key: string): UpgradeAnswer {
  const headEnd = bytes.indexOf("\r\n\r\n");
  const start = bytes.toString("latin1", 0, Math.min(bytes.length, 5));
  if (!"HTTP/".startsWith(start)) return refuse("the answer is not HTTP");
  if (headEnd < 0 && bytes.length <= ANSWER_BYTES_MAX) return { kind: "more" };
  if (headEnd < 0 || headEnd > ANSWER_BYTES_MAX)
    return refuse(`the answer is over ${ANSWER_BYTES_MAX} bytes`);
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const status = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(statusLine)?.[1];
  if (status === undefined) return refuse("the answer is not HTTP/1.1");
  if (status !== "101") return refuse(`the answer is "${statusLine.slice(9, 89)}"`, Number(status));
  const headers = readHeaders(lines);
  if (headers === undefined) return refuse("the answer has a malformed header");
  if (headers.get("upgrade")?.toLowerCase() !== "websocket")
    return refuse("the answer doesn't upgrade to websocket");
  const connection = headers.get("connection")?.toLowerCase().split(",") ?? [];
  if (!connection.some((word) => word.trim() === "upgrade"))
    return refuse("the answer doesn't upgrade the connection");
  if (headers.get("sec-websocket-accept") !== hashKey(key)) return refuse("the answer is not to our request");
  const protocol = headers.get("sec-websocket-protocol");
  if (protocol !== "mqtt") return refuse(`the subprotocol is ${protocol ?? "missing"}, must be mqtt`);
  if (headers.has("sec-websocket-extensions"))
    return refuse("the answer has an extension that was not asked for");
  return { kind: "open", end: headEnd + 4 };
}

/** Names in lower case; undefined when one is malformed. */
function readHeaders(lines: readonly string[]): Map<string, string> | undefined {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) return undefined;
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value);
  }
  return headers;
}

function hashKey(key: string): string {
  return createHash("sha1")
    .update(key + ACCEPT_SALT)
    .digest("base64");
}

/** The subprotocols of MQTT: the registered one, and that of clients from before 3.1.1. */
const SUBPROTOCOLS = ["mqtt", "mqttv3.1"];

export type UpgradeRequest =
  | { readonly kind: "more" }
  /** The frames begin at `end`. */
  | { readonly kind: "open"; readonly answer: string; readonly end: number }
  | { readonly kind: "refused"; readonly reason: string; readonly answer: string };

/** Judges all bytes of a request so far, and gives the answer to it. */
export function decodeUpgradeRequest(bytes: Buffer, path: string): UpgradeRequest {
  const headEnd = bytes.indexOf("\r\n\r\n");
  const start = bytes.toString("latin1", 0, Math.min(bytes.length, 4));
  if (!"GET ".startsWith(start)) return turnDown(400, "Bad Request", "it is no HTTP GET");
  if (headEnd > ANSWER_BYTES_MAX || (headEnd < 0 && bytes.length > ANSWER_BYTES_MAX))
    return turnDown(431, "Request Header Fields Too Large", `the request is over ${ANSWER_BYTES_MAX} bytes`);
  if (headEnd < 0) return { kind: "more" };
  const [requestLine = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const target = /^GET (\S+) HTTP\/1\.1$/.exec(requestLine)?.[1];
  const headers = readHeaders(lines);
  if (target === undefined || headers === undefined)
    return turnDown(400, "Bad Request", "the request is malformed");
  if (target.split("?")[0] !== path) return turnDown(404, "Not Found", "the path is another one");
  const words = (name: string) => (headers.get(name) ?? "").split(",").map((word) => word.trim());
  const lower = (name: string) => words(name).map((word) => word.toLowerCase());
  if (!lower("upgrade").includes("websocket") || !lower("connection").includes("upgrade"))
    return turnDown(426, "Upgrade Required", "it asks for no upgrade to websocket", "Upgrade: websocket");
  if (headers.get("sec-websocket-version") !== "13")
    return turnDown(426, "Upgrade Required", "the version is not 13", "Sec-WebSocket-Version: 13");
  const key = headers.get("sec-websocket-key") ?? "";
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key)) return turnDown(400, "Bad Request", "it has no valid key");
  const protocol = words("sec-websocket-protocol").find((word) => SUBPROTOCOLS.includes(word));
  if (protocol === undefined) return turnDown(400, "Bad Request", "the subprotocol mqtt is not offered");
  const answer = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${hashKey(key)}`,
    `Sec-WebSocket-Protocol: ${protocol}`,
    "\r\n",
  ].join("\r\n");
  return { kind: "open", answer, end: headEnd + 4 };
}

function turnDown(status: number, phrase: string, reason: string, header?: string): UpgradeRequest {
  const head = [`HTTP/1.1 ${status} ${phrase}`, "Content-Length: 0", "Connection: close"];
  const answer = [...head, ...(header === undefined ? [] : [header]), "\r\n"].join("\r\n");
  return { kind: "refused", reason, answer };
}

function refuse(reason: string, status?: number): UpgradeAnswer {
  return { kind: "refused", reason, status };
}
