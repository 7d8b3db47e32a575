// The events of inspect as text for a person, line by line. Names the run of a sender once, and again when it changes.
import { formatCount } from "../admin/text.ts";
import type {
  BlockEvent,
  DatagramEvent,
  HeartbeatEvent,
  InspectEvent,
  MessageEvent,
  RowEvent,
  SkipEvent,
} from "./event.ts";
import { formatPlural } from "./plural.ts";
import { quote } from "./safe-text.ts";
import { formatSummary } from "./summary-text.ts";

export class TextFormat {
  #run = "";
  #firstMs: number | undefined;

  /** One or more lines, each with its end. */
  format(event: InspectEvent): string {
    switch (event.type) {
      case "datagram":
        return this.#nameRun(event) + this.#formatDatagram(event);
      case "block":
        return formatBlock(event);
      case "message":
        return formatMessage(event);
      case "skip":
        return formatSkip(event);
      case "heartbeat":
        return formatHeartbeat(event);
      case "row":
        return formatRow(event);
      case "value":
        return `${event.name}  ${quote(event.value)}\n`;
      case "summary":
        return formatSummary(event);
    }
  }

  #nameRun({ header }: DatagramEvent): string {
    if (header === null) return "";
    const { journalId, epoch, linkTag, keyId } = header;
    const key = keyId === "0000" ? "not sealed" : `key ${keyId}`;
    const run = `journal ${journalId}, epoch ${epoch}, link tag ${linkTag}, ${key}\n`;
    if (run === this.#run) return "";
    this.#run = run;
    return run;
  }

  #formatDatagram({ number, time, source, destination, bytes, header, outcome }: DatagramEvent): string {
    const where = destination === "" ? source : `${source} > ${destination}`;
    return `${number}  ${this.#since(time)}${where}  ${bytes} B  ${formatHeader(header)}${outcome}\n`;
  }

  /** Seconds since the first datagram. */
  #since(time: string | null): string {
    if (time === null) return "";
    // Date knows milliseconds only: the last three digits are microseconds.
    const timeMs = Date.parse(time) + Number(time.slice(-4, -1)) / 1000;
    this.#firstMs ??= timeMs;
    return `${((timeMs - this.#firstMs) / 1000).toFixed(6)}  `;
  }
}

function formatHeader(header: DatagramEvent["header"]): string {
  if (header === null) return "";
  const { kind, block, symbol, sourceSymbols: k, repairSymbols: r, stream } = header;
  const what = symbol < k ? `symbol ${symbol + 1} of ${k}` : `repair symbol ${symbol - k + 1} of ${r}`;
  const where = kind === "heartbeat" ? "heartbeat" : `stream ${stream}`;
  return `${where}, block ${block}, ${what} (${k}+${r})  `;
}

function formatBlock(event: BlockEvent): string {
  const { outcome, kind, block, have, restored, sourceSymbols: k, repairSymbols: r } = event;
  const name = `    ${kind === "heartbeat" ? "heartbeat block" : "block"} ${block}`;
  if (outcome === "unfinished") {
    return `${name} of epoch ${event.epoch} is never whole: ${have} of its ${k}+${r} symbols are here, ${k} are needed\n`;
  }
  const how = restored === 0 ? "" : `, ${restored} of ${k} symbols restored`;
  if (outcome === "block-malformed" || outcome === "heartbeat-malformed") {
    return `${name} is whole${how}, and ${outcome}: not as the wire format says\n`;
  }
  if (event.first === undefined || event.count === undefined) return `${name} is whole${how}\n`;
  const { first, count, part = 0, parts = 1, contentBytes = 0, plainBytes, compressed } = event;
  const range = count === 1 ? `sequence ${first}` : `sequences ${first} to ${first + count - 1}`;
  const unpacked = plainBytes === undefined ? "zstd" : `zstd, ${formatCount(plainBytes)} B without`;
  const size = `${formatCount(contentBytes)} B${compressed ? ` (${unpacked})` : ""}`;
  const which = parts > 1 ? `, part ${part + 1} of ${parts}` : "";
  const end = outcome === "malformed" ? ", whose frames are malformed: all of them are lost" : "";
  return `${name} is whole${how}: ${range}${which}, ${size}${end}\n`;
}

function formatMessage(event: MessageEvent): string {
  const { sequence, topic, qos, retain, accepted, payloadBytes, properties, payload } = event;
  const extras = properties === undefined ? [] : describeProperties(properties);
  const flags = `QoS ${qos}${retain ? ", retain" : ""}${extras.join("")}`;
  const line = `      ${sequence}  ${quote(topic)}  ${formatCount(payloadBytes)} B  ${flags}  ${accepted ?? "no time"}\n`;
  return payload === undefined || payload === "" ? line : `${line}        ${showPayload(payload)}\n`;
}

function describeProperties(properties: NonNullable<MessageEvent["properties"]>): string[] {
  const { payloadFormat, messageExpirySeconds, contentType, userProperties } = properties;
  const count = typeof userProperties === "number" ? userProperties : undefined;
  const pairs = typeof userProperties === "object" ? userProperties : [];
  return [
    ...(payloadFormat === undefined ? [] : [`, payload format ${payloadFormat}`]),
    ...(messageExpirySeconds === undefined ? [] : [`, expires after ${messageExpirySeconds} s`]),
    ...(contentType === undefined ? [] : [`, content type ${quote(contentType)}`]),
    ...(count === undefined ? [] : [`, ${formatPlural(count, "user property", "user properties")}`]),
    ...pairs.map(([name, value]) => `, user property ${quote(name)} ${quote(value)}`),
  ];
}

/** As text when it is UTF-8, else in hexadecimal; cut when long. */
function showPayload(hex: string): string {
  try {
    const bytes = Buffer.from(hex, "hex");
    return quote(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return hex.length > 400 ? `${hex.slice(0, 400)}…` : hex;
  }
}

function formatSkip({ first, count, reason }: SkipEvent): string {
  const range = count === 1 ? `${first}` : `${first} to ${first + count - 1}`;
  return `      ${range}  given up by the sender: ${reason}\n`;
}

function formatHeartbeat(event: HeartbeatEvent): string {
  const { clockMs, uptimeMs, intervalMs, stopping, streams, sections } = event;
  const clock = clockMs <= 8.64e15 ? new Date(clockMs).toISOString() : `${clockMs} ms`;
  const end = stopping ? "; the sender is about to stop" : "";
  const head = `      clock ${clock}, up ${uptimeMs / 1000} s, next in ${intervalMs} ms${end}\n`;
  const lanes = streams.map(({ stream, next, sent, oldest, epochFirst }) => {
    return `      stream ${stream}: next ${next}, sent ${sent}, oldest held ${oldest}, this run from ${epochFirst}\n`;
  });
  const parts = sections.map(({ type, name, state, counters }) => {
    const title = `${type}${name === "" ? "" : ` ${quote(name)}`}${state === "none" ? "" : ` ${state}`}`;
    const counts = Object.entries(counters).map(
      ([counter, value]) => `${quote(counter).slice(1, -1)} ${value}`,
    );
    return `      ${title}: ${counts.join(", ") || "no counters"}\n`;
  });
  return [head, ...lanes, ...parts].join("");
}

function formatRow({ id, stream, first, count, skip, time, contentBytes, outcome }: RowEvent): string {
  const range = count === 1 ? `sequence ${first}` : `sequences ${first} to ${first + count - 1}`;
  const without = skip === 0 ? "" : `, ${skip} of them without a message or delivered before`;
  const fault = {
    content: "",
    corrupt: "; altered on the disk: all of them are lost",
    malformed: "; its frames are malformed: all of them are lost",
  }[outcome];
  return `row ${id}  ${time ?? "no time"}  stream ${stream}, ${range}${without}, ${formatCount(contentBytes)} B${fault}\n`;
}
