// Dead letters for a person at a terminal, and as JSON lines for programs. What strangers wrote (topics, payloads,
// brokers' words) is shown without control characters, so that it cannot speak to the terminal.
import { formatBytes } from "../../shared/admin/text.ts";
import type { DeadLetter } from "./dead-letters.ts";

const SHOWN_BYTES_MAX = 4096;
const TOPIC_CHARACTERS = 60;
const HEX_BYTES = 16;

const HEAD = ["id", "time", "target", "topic", "size", "reason", "detail"] as const;

/** As a table, with the totals below it. */
export function formatLetters(letters: Iterable<DeadLetter>): string {
  const rows: string[][] = [];
  for (const { id, atMs, target, reason, detail, message } of letters) {
    const topic = cut(clean(message.topic), TOPIC_CHARACTERS);
    const size = formatBytes(message.payload.length);
    rows.push([String(id), showTime(atMs), target, topic, size, reason, clean(detail)]);
  }
  if (rows.length === 0) return "no dead letters\n";
  const table = [[...HEAD], ...rows];
  const widths = HEAD.map((_, column) =>
    table.reduce((width, row) => Math.max(width, (row[column] as string).length), 0),
  );
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n${rows.length} dead letter${rows.length === 1 ? "" : "s"}\n`;
}

/** A clock of the other side may have said anything. */
function showTime(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? `${ms} ms` : date.toISOString();
}

/** One letter in full; a long payload is cut, and says so. */
export function formatLetter({ id, target, reason, detail, atMs, message }: DeadLetter): string {
  const { topic, payload, qos, retain, acceptedMs, properties } = message;
  const fields = [
    ["id", String(id)],
    ["time", showTime(atMs)],
    ["target", target],
    ["reason", detail === "" ? reason : `${reason}: ${clean(detail)}`],
    ["topic", clean(topic)],
    ["qos", `${qos}${retain ? ", retained" : ""}`],
    ["accepted", `${showTime(acceptedMs)} by the clock of the plant side`],
    ...Object.entries(properties ?? {}).map(([name, value]) => [name, clean(JSON.stringify(value))] as const),
    ["payload", `${payload.length} bytes`],
  ];
  const head = fields.map(([name, value]) => `${`${name}:`.padEnd(10)} ${value}\n`).join("");
  return `${head}\n${showPayload(payload)}`;
}

/** All but the payload. */
export function describeLetter({ id, target, reason, detail, atMs, message }: DeadLetter) {
  const { topic, payload, qos, retain, properties, acceptedMs } = message;
  return {
    id,
    time: showTime(atMs),
    target,
    reason,
    detail,
    topic,
    qos,
    retain,
    acceptedTime: showTime(acceptedMs),
    properties: properties ?? null,
    payloadBytes: payload.length,
  };
}

/** One line of JSON; the payload is base64. */
export function formatLetterLine(letter: DeadLetter): string {
  const payload = Buffer.from(letter.message.payload).toString("base64");
  return `${JSON.stringify({ ...describeLetter(letter), payload })}\n`;
}

function showPayload(payload: Uint8Array): string {
  const shown = payload.subarray(0, SHOWN_BYTES_MAX);
  const rest = payload.length - shown.length;
  const end = rest > 0 ? `… ${rest} more bytes; export has them all\n` : "";
  const text = readText(shown, rest > 0);
  return text === undefined ? `${dump(shown)}${end}` : `${clean(text, "\n\t")}\n${end}`;
}

/** The payload as text, undefined when it is none. A payload that was cut may end inside a character. */
function readText(bytes: Uint8Array, isCut: boolean): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: isCut });
  } catch {
    return undefined;
  }
}

function dump(bytes: Uint8Array): string {
  let out = "";
  for (let at = 0; at < bytes.length; at += HEX_BYTES) {
    const row = [...bytes.subarray(at, at + HEX_BYTES)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    out += `${at.toString(16).padStart(8, "0")}  ${hex.padEnd(HEX_BYTES * 3 - 1)}  ${text}\n`;
  }
  return out;
}

function clean(text: string, allowed = ""): string {
  return text.replaceAll(/\p{C}/gu, (character) => (allowed.includes(character) ? character : "\u{fffd}"));
}

function cut(text: string, characters: number): string {
  return text.length <= characters ? text : `${text.slice(0, characters - 1)}…`;
}
