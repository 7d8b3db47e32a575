// What a fake has seen and done, one event each, as plain values: they can be written as JSON, and what two clients sent
// can be compared field by field. The bytes as sent are kept beside them.
import { isUtf8 } from "node:buffer";
import type { IConnectPacket, IPublishPacket, Packet } from "mqtt-packet";
import type { Peer } from "./wire.ts";

export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [key: string]: Plain };

export type ConnectEvent = {
  readonly kind: "connect";
  readonly connection: number;
  readonly atMs: number;
  readonly peer: Peer;
  readonly fields: { readonly [key: string]: Plain } & { readonly clientId: string };
  readonly raw: Buffer;
  /** "accepted", or why not. */
  readonly outcome: string;
};

export type PublishEvent = {
  readonly kind: "publish";
  readonly connection: number;
  readonly atMs: number;
  /** The whole topic, also when an alias stood for it. */
  readonly topic: string;
  readonly payload: Buffer;
  readonly fields: { readonly [key: string]: Plain };
  readonly raw: Buffer;
  /** "taken", or why it was not. */
  outcome: string;
};

/** SUBSCRIBE, AUTH, PINGREQ, DISCONNECT … */
export type OtherEvent = {
  readonly kind: "other";
  readonly connection: number;
  readonly atMs: number;
  readonly command: string;
  readonly fields: { readonly [key: string]: Plain };
  readonly raw: Buffer;
};

export type CloseEvent = {
  readonly kind: "close";
  readonly connection: number;
  readonly atMs: number;
  /** Why the fake closed; "client" when it did not. */
  readonly reason: string;
};

export type FakeEvent = ConnectEvent | PublishEvent | OtherEvent | CloseEvent;

export type Capture = readonly { readonly [key: string]: Plain }[];

export class Records {
  readonly events: FakeEvent[] = [];

  add<Event extends FakeEvent>(event: Event): Event {
    this.events.push(event);
    return event;
  }

  get connects(): ConnectEvent[] {
    return this.events.filter((event) => event.kind === "connect");
  }

  get publishes(): PublishEvent[] {
    return this.events.filter((event) => event.kind === "publish");
  }

  get closes(): CloseEvent[] {
    return this.events.filter((event) => event.kind === "close");
  }

  /** Those that the service has, in the order in which it took them. */
  get taken(): PublishEvent[] {
    return this.publishes.filter(({ outcome }) => outcome === "taken");
  }

  others(command: string): OtherEvent[] {
    return this.events.filter((event) => event.kind === "other").filter((event) => event.command === command);
  }

  /**
   * What one client has sent, as JSON can hold it: what two clients sent is compared field by field, or byte by byte in
   * `raw` (hexadecimal). Times and numbers of connections are left out.
   */
  capture(): Capture {
    return this.events.map((event) => {
      if (event.kind === "close") return { command: "close", reason: event.reason };
      const raw = event.raw.toString("hex");
      if (event.kind === "other") return { command: event.command, fields: event.fields, raw };
      if (event.kind === "publish") return { command: "publish", fields: event.fields, raw };
      return { command: "connect", peer: toPlain(event.peer), fields: event.fields, raw };
    });
  }

  /** How many events had each outcome or reason. */
  count(kind: "connect" | "publish" | "close"): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const event of this.events) {
      if (event.kind === "other" || event.kind !== kind) continue;
      const word = event.kind === "close" ? event.reason : event.outcome;
      counts[word] = (counts[word] ?? 0) + 1;
    }
    return counts;
  }
}

export function describeConnect(packet: IConnectPacket): ConnectEvent["fields"] {
  return { ...describePacket(packet), clientId: packet.clientId };
}

export function describePublish(packet: IPublishPacket): PublishEvent["fields"] {
  return describePacket(packet);
}

/** What the parser adds to every packet, and how it was written: its length and its number. */
const NOT_CONTENT = new Set(["cmd", "length", "messageId"]);
const ONLY_PUBLISH = new Set(["retain", "qos", "dup", "topic", "payload"]);

export function describePacket(packet: Packet): { readonly [key: string]: Plain } {
  const entries = Object.entries(packet).filter(([key, value]) => {
    if (value === undefined || NOT_CONTENT.has(key)) return false;
    return packet.cmd === "publish" || !ONLY_PUBLISH.has(key);
  });
  return Object.fromEntries(entries.map(([key, value]) => [key, toPlain(value)]));
}

/** Bytes become text when they are UTF-8, else `base64:…`; what is undefined is left out. */
function toPlain(value: unknown): Plain {
  if (value instanceof Uint8Array) {
    return isUtf8(value)
      ? Buffer.from(value).toString("utf8")
      : `base64:${Buffer.from(value).toString("base64")}`;
  }
  if (Array.isArray(value)) return value.map(toPlain);
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, each]) => each !== undefined);
    return Object.fromEntries(entries.map(([key, each]) => [key, toPlain(each)]));
  }
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  return value === null ? null : String(value);
}
