// The state of one client at the server [MQTT5 4.1]: the QoS 2 packet identifiers it has under way, its subscriptions,
// its will. One that outlives its connection is kept in the journal, and with it each identifier in the transaction of its message.
import type { Qos } from "../../../../shared/message.ts";
import type { Will } from "../../../../shared/mqtt/connect-packet.ts";
import { matchTopic } from "../../../../shared/mqtt/topic.ts";
import type { Notes } from "../../journal.ts";

/** taken: waits for the journal · kept: PUBREC was sent · releasing: PUBREL came, the identifier is being forgotten. */
export type IdState = "taken" | "kept" | "releasing";

/** The connection that a session has at the moment. */
export type SessionClient = {
  /** Another connection has taken the session, or the server ends it. */
  takeOver(): void;
  acknowledge(firstByte: number, packetId: number, code: number): void;
};

export type Subscription = {
  readonly qos: Qos;
  /** 0: it has none. */
  readonly identifier: number;
  readonly retainAsPublished: boolean;
};

export type SessionRecord = {
  /** Names its identifiers and its will in the journal; no two sessions have the same. */
  readonly generation: string;
  readonly expirySeconds: number;
  /** When its connection ended, wall clock; 0 while it has one. */
  readonly awaySinceMs: number;
  readonly subscriptions: readonly (readonly [
    filter: string,
    qos: Qos,
    identifier?: number,
    asPublished?: boolean,
  ])[];
};

export class Session {
  client: SessionClient | undefined;
  expirySeconds: number;
  will: Will | undefined;
  /** While no connection is there: when the will is due and when the session ends, steady clock. */
  willDueMs = Number.POSITIVE_INFINITY;
  endsMs = Number.POSITIVE_INFINITY;
  #hasEnded = false;
  /** Whether the journal may hold something of it. */
  #isKept = false;
  #ids: Map<number, IdState> | undefined;
  #subscriptions: Map<string, Subscription> | undefined;

  constructor(
    readonly source: string,
    readonly clientId: string,
    readonly generation: string,
    expirySeconds: number,
  ) {
    this.expirySeconds = expirySeconds;
  }

  /** Whether it outlives its connection, and so the agent. */
  get isDurable(): boolean {
    return this.expirySeconds > 0;
  }

  get isKept(): boolean {
    return this.#isKept;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get idCount(): number {
    return this.#ids?.size ?? 0;
  }

  idState(packetId: number): IdState | undefined {
    return this.#ids?.get(packetId);
  }

  setId(packetId: number, state: IdState): void {
    this.#ids ??= new Map();
    this.#ids.set(packetId, state);
  }

  forgetId(packetId: number): void {
    this.#ids?.delete(packetId);
    if (this.#ids?.size === 0) this.#ids = undefined;
  }

  /** Kept with the message that has this identifier. */
  idNote(packetId: number): Notes | undefined {
    return this.isDurable ? new Map([[this.#idName(packetId), ""]]) : undefined;
  }

  idGone(packetId: number): Notes {
    return new Map([[this.#idName(packetId), undefined]]);
  }

  #idName(packetId: number): string {
    return `qos2/${this.source}/${this.generation}/${packetId}`;
  }

  get willName(): string {
    return `will/${this.source}/${this.generation}`;
  }

  get recordName(): string {
    return `session/${this.source}/${this.clientId}`;
  }

  get subscriptionCount(): number {
    return this.#subscriptions?.size ?? 0;
  }

  hasSubscription(filter: string): boolean {
    return this.#subscriptions?.has(filter) === true;
  }

  subscribe(filter: string, qos: Qos, identifier = 0, retainAsPublished = false): void {
    this.#subscriptions ??= new Map();
    this.#subscriptions.set(filter, { qos, identifier, retainAsPublished });
  }

  /** The subscriptions to a topic; shared ones take no part. */
  match(topic: string): Subscription[] {
    return [...(this.#subscriptions ?? [])].flatMap(([filter, subscription]) =>
      filter.startsWith("$share/") || !matchTopic(filter, topic) ? [] : [subscription],
    );
  }

  unsubscribe(filter: string): boolean {
    return this.#subscriptions?.delete(filter) === true;
  }

  record(awaySinceMs: number): Notes {
    const subscriptions = [...(this.#subscriptions ?? [])].map(
      ([filter, { qos, identifier, retainAsPublished }]) =>
        identifier === 0 && !retainAsPublished
          ? ([filter, qos] as const)
          : ([filter, qos, identifier, retainAsPublished] as const),
    );
    const { generation, expirySeconds } = this;
    this.#isKept = true;
    const record: SessionRecord = { generation, expirySeconds, awaySinceMs, subscriptions };
    return new Map([[this.recordName, JSON.stringify(record)]]);
  }

  /** Everything that the journal may hold of it, but its will, is to go. */
  forgetNotes(): Map<string, undefined> {
    const notes = new Map<string, undefined>();
    if (!this.#isKept) return notes;
    notes.set(this.recordName, undefined);
    for (const packetId of this.#ids?.keys() ?? []) notes.set(this.#idName(packetId), undefined);
    return notes;
  }

  end(): Map<string, undefined> {
    const notes = this.forgetNotes();
    this.#hasEnded = true;
    this.#ids = undefined;
    this.#subscriptions = undefined;
    return notes;
  }
}

/** A record as record() wrote it; undefined when it is anything else. */
export function parseRecord(text: string): SessionRecord | undefined {
  const value = parseObject(text);
  if (value === undefined) return undefined;
  const { generation, expirySeconds, awaySinceMs, subscriptions } = value;
  if (typeof generation !== "string" || typeof expirySeconds !== "number") return undefined;
  if (typeof awaySinceMs !== "number" || !Array.isArray(subscriptions)) return undefined;
  return { generation, expirySeconds, awaySinceMs, subscriptions };
}

/** A will with its payload as text, for the journal. */
export function formatWill(clientId: string, will: Will): string {
  return JSON.stringify({ clientId, ...will, payload: Buffer.from(will.payload).toString("base64") });
}

export function parseWill(text: string): { clientId: string; will: Will } | undefined {
  const value = parseObject(text);
  if (value === undefined) return undefined;
  const { clientId, topic, payload, qos, retain, properties, delaySeconds } = value;
  if (typeof clientId !== "string" || typeof topic !== "string" || typeof payload !== "string")
    return undefined;
  if (qos !== 0 && qos !== 1 && qos !== 2) return undefined;
  const will: Will = {
    topic,
    payload: Buffer.from(payload, "base64"),
    qos,
    retain: retain === true,
    properties: typeof properties === "object" && properties !== null ? properties : undefined,
    delaySeconds: typeof delaySeconds === "number" ? delaySeconds : 0,
  };
  return { clientId, will };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
