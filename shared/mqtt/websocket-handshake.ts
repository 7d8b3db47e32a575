// The opening handshake of a WebSocket client that speaks MQTT [RFC 6455 4, MQTT5 6]. Refuses any answer but
// "101 Switching Protocols" with the right accept value and the subprotocol "mqtt", and one over 16 KiB.

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
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) return refuse("the answer has a malformed header");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value);
  }
  if (headers.get("upgrade")?.toLowerCase() !== "websocket")
    return refuse("the answer doesn't upgrade to websocket");
  const connection = headers.get("connection")?.toLowerCase().split(",") ?? [];
  if (!connection.some((word) => word.trim() === "upgrade"))
    return refuse("the answer doesn't upgrade the connection");
  const accept = createHash("sha1")
    .update(key + ACCEPT_SALT)
    .digest("base64");
  if (headers.get("sec-websocket-accept") !== accept) return refuse("the answer is not to our request");
  const protocol = headers.get("sec-websocket-protocol");
  if (protocol !== "mqtt") return refuse(`the subprotocol is ${protocol ?? "missing"}, must be mqtt`);
  if (headers.has("sec-websocket-extensions"))
    return refuse("the answer has an extension that was not asked for");
  return { kind: "open", end: headEnd + 4 };
}

function refuse(reason: string, status?: number): UpgradeAnswer {
  return { kind: "refused", reason, status };
}
