// The server's half of WebSocket [RFC 6455], as much of it as carries MQTT: the answer to the upgrade, and frames.
// Written for the fakes alone: sharing it with the product would hide a mistake that both make.
import { createHash } from "node:crypto";
import type { UpgradeRequest } from "./wire.ts";

const HEAD_BYTES_MAX = 32_768;
const FRAME_BYTES_MAX = 2 ** 28;
const ACCEPT_SALT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export type UpgradeHead = { readonly request: UpgradeRequest; readonly rest: Buffer };

/** The request, `undefined` while it isn't whole, or "bad" when it never will be. */
export function readUpgrade(bytes: Buffer): UpgradeHead | undefined | "bad" {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return bytes.length > HEAD_BYTES_MAX ? "bad" : undefined;
  const [line = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
  const [, target] = /^GET (\S+) HTTP\/1\.1$/.exec(line) ?? [];
  if (target === undefined) return "bad";
  const headers = Object.fromEntries(
    lines.map((text) => {
      const colon = text.indexOf(":");
      return [text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim()];
    }),
  );
  const mark = target.indexOf("?");
  const [path, query] = mark < 0 ? [target, ""] : [target.slice(0, mark), target.slice(mark + 1)];
  return { request: { path, query, headers }, rest: bytes.subarray(end + 4) };
}

/** Whether it asks for a WebSocket that carries MQTT [MQTT5 6.0]. */
export function asksForMqtt({ headers }: UpgradeRequest): boolean {
  const protocols = (headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  return (
    headers.upgrade?.toLowerCase() === "websocket" &&
    headers["sec-websocket-version"] === "13" &&
    headers["sec-websocket-key"] !== undefined &&
    protocols.includes("mqtt")
  );
}

export function acceptUpgrade({ headers }: UpgradeRequest): string {
  const key = headers["sec-websocket-key"] ?? "";
  const accept = createHash("sha1")
    .update(key + ACCEPT_SALT)
    .digest("base64");
  const fields = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`];
  return `HTTP/1.1 101 Switching Protocols\r\n${fields.join("\r\n")}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`;
}

export function refuseUpgrade(status: number, reason: string): string {
  const body = `{"message":"${reason}"}`;
  return `HTTP/1.1 ${status} ${reason}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
}

export type Frame =
  | { readonly kind: "data"; readonly payload: Buffer }
  | { readonly kind: "ping"; readonly answer: Buffer }
  /** The client closes, or breaks the rules: an unmasked frame, text, a reserved bit. */
  | { readonly kind: "end" };

export class WebSocketFrames {
  #held: Buffer = Buffer.alloc(0);

  /** The frames that are whole now. A frame in parts needs no joining: MQTT is a stream of bytes. */
  push(bytes: Buffer): Frame[] {
    this.#held = Buffer.concat([this.#held, bytes]);
    const frames: Frame[] = [];
    for (;;) {
      const taken = takeFrame(this.#held);
      if (taken === undefined) return frames;
      this.#held = this.#held.subarray(taken.size);
      if (taken.frame !== undefined) frames.push(taken.frame);
      if (taken.frame?.kind === "end") return frames;
    }
  }
}

function takeFrame(bytes: Buffer): { frame: Frame | undefined; size: number } | undefined {
  if (bytes.length < 2) return undefined;
  const [first = 0, second = 0] = bytes;
  const opcode = first & 0x0f;
  if ((first & 0x70) !== 0 || (second & 0x80) === 0) return { frame: { kind: "end" }, size: bytes.length };
  const short = second & 0x7f;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  if (bytes.length < 6 + lengthBytes) return undefined;
  const length =
    lengthBytes === 0 ? short : lengthBytes === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (length > FRAME_BYTES_MAX) return { frame: { kind: "end" }, size: bytes.length };
  const start = 6 + lengthBytes;
  if (bytes.length < start + length) return undefined;
  const mask = bytes.subarray(start - 4, start);
  const payload = Buffer.from(bytes.subarray(start, start + length));
  for (let at = 0; at < length; at += 1) payload[at] = (payload[at] ?? 0) ^ (mask[at & 3] ?? 0);
  return { frame: toFrame(opcode, payload), size: start + length };
}

function toFrame(opcode: number, payload: Buffer): Frame | undefined {
  if (opcode === 0 || opcode === 2) return { kind: "data", payload };
  if (opcode === 9) return { kind: "ping", answer: wrap(0x8a, payload) };
  return opcode === 10 ? undefined : { kind: "end" };
}

export function wrapBinary(payload: Uint8Array): Buffer {
  return wrap(0x82, payload);
}

export function wrapClose(): Buffer {
  return wrap(0x88, Uint8Array.of(0x03, 0xe8));
}

function wrap(first: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  if (length < 126) return Buffer.concat([Uint8Array.of(first, length), payload]);
  const head = Buffer.alloc(length < 65_536 ? 4 : 10);
  head[0] = first;
  head[1] = length < 65_536 ? 126 : 127;
  if (length < 65_536) head.writeUInt16BE(length, 2);
  else head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}
