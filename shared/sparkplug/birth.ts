// One edge node with its devices, as its births, data and deaths tell it [Sparkplug 3.0, 5.4 to 5.7]: who is online, the metrics
// with their current values, and whether anything was missed. Pure; the time is an argument.
// What cannot be put in its place (data before a birth, unknown metrics, gaps in seq, deaths of an earlier life) is named.
import { type Payload, parsePayload, readLong } from "./payload.ts";
import { rewritePayload } from "./rewrite.ts";
import { MetricTable } from "./table.ts";
import type { EdgeTopic } from "./topic.ts";

export const BD_SEQ = "bdSeq";
export const REBIRTH = "Node Control/Rebirth";

/** Why an edge node should be born again. "connection-lost": nobody knows what it has sent meanwhile. */
export type Trouble = "data-before-birth" | "unknown-metric" | "sequence-gap" | "connection-lost";

export type NodeEvent = {
  readonly kind:
    | "birth"
    | "device-birth"
    | "data"
    | "device-data"
    | "death"
    | "device-death"
    /** The death of a life that a later birth has ended already. */
    | "stale-death"
    /** It came twice. */
    | "repeat"
    /** A command, a death of someone unknown or dead, data that cannot be placed: nothing changes. */
    | "none";
  readonly trouble: Trouble | undefined;
  readonly historical: number;
};

/** A birth of an edge node or a device, and what came of it. */
export type Life = {
  /** The birth without its metrics. */
  readonly frame: Payload;
  /** The timestamp of the birth. */
  readonly timestamp: bigint;
  readonly table: MetricTable;
  isOnline: boolean;
  /** When that last changed. */
  sinceMs: number;
  /** What its edge node has counted of it. */
  countedBytes: number;
};

export class EdgeNode {
  life: Life | undefined;
  /** Of the last NBIRTH. */
  bdSeq: bigint | undefined;
  readonly devices = new Map<string, Life>();
  /** False after a gap, until the next NBIRTH: values may have been missed. */
  isComplete = false;
  #bytes: number;
  /** The seq of the last message. */
  seq: number | undefined;

  constructor(
    readonly group: string,
    readonly node: string,
  ) {
    this.#bytes = NODE_BYTES + 4 * (group.length + node.length);
  }

  /** What it holds in memory, roughly, as far as take() has filled it; for lives that came otherwise see weighNode(). */
  get bytes(): number {
    return this.#bytes;
  }

  get metrics(): number {
    let sum = this.life?.table.size ?? 0;
    for (const { table } of this.devices.values()) sum += table.size;
    return sum;
  }

  get isOnline(): boolean {
    return this.life?.isOnline === true;
  }

  take(topic: EdgeTopic, payload: Payload, nowMs: number): NodeEvent {
    switch (topic.type) {
      case "NBIRTH":
        return this.#takeBirth(payload, nowMs);
      case "NDEATH":
        return this.#takeDeath(payload, nowMs);
      case "DBIRTH":
      case "DDEATH":
      case "NDATA":
      case "DDATA":
        return this.#takeInTurn(topic, payload, nowMs);
      default:
        return event("none");
    }
  }

  /** It is taken for dead without its word. */
  presumeDead(nowMs: number): void {
    if (this.life !== undefined) end(this.life, nowMs);
    for (const device of this.devices.values()) end(device, nowMs);
  }

  /** A message of it that must not be followed: only its place in the order counts. */
  pass(topic: EdgeTopic, { seq }: Payload): void {
    const isInTurn = topic.type !== "NDEATH" && topic.type !== "NCMD" && topic.type !== "DCMD";
    if (isInTurn && seq !== undefined) this.seq = seq;
  }

  #takeBirth(payload: Payload, nowMs: number): NodeEvent {
    const { seq, metrics } = payload;
    const bdSeq = metrics.find(({ name }) => name === BD_SEQ);
    this.bdSeq = bdSeq === undefined ? undefined : readLong(bdSeq);
    this.#bytes -= this.life?.countedBytes ?? 0;
    this.life = begin(payload, nowMs);
    this.#count(this.life);
    this.seq = seq;
    this.isComplete = true;
    // They are as good as gone until they are born again.
    for (const device of this.devices.values()) end(device, nowMs);
    return event("birth");
  }

  #takeDeath({ metrics }: Payload, nowMs: number): NodeEvent {
    const metric = metrics.find(({ name }) => name === BD_SEQ);
    const bdSeq = metric === undefined ? undefined : readLong(metric);
    if (this.life?.isOnline !== true) return event("none");
    if (bdSeq !== undefined && this.bdSeq !== undefined && bdSeq !== this.bdSeq) return event("stale-death");
    this.presumeDead(nowMs);
    return event("death");
  }

  #takeInTurn(topic: EdgeTopic, payload: Payload, nowMs: number): NodeEvent {
    const { device } = topic;
    if (!this.isOnline) return event("none", "data-before-birth");
    if (payload.seq !== undefined && payload.seq === this.seq) return event("repeat");
    const isGap =
      payload.seq !== undefined && this.seq !== undefined && payload.seq !== (this.seq + 1) % SEQ_COUNT;
    this.seq = payload.seq ?? this.seq;
    if (isGap) this.isComplete = false;
    const gap = isGap ? "sequence-gap" : undefined;
    if (topic.type === "DBIRTH") {
      this.#bear(device as string, payload, nowMs);
      return event("device-birth", gap);
    }
    const life = device === undefined ? this.life : this.devices.get(device);
    if (topic.type === "DDEATH") {
      if (life === undefined) return event("none", gap);
      end(life, nowMs);
      return event("device-death", gap);
    }
    if (life === undefined || !life.isOnline) return event("none", "data-before-birth");
    let historical = 0;
    let isUnknown = false;
    for (const applied of life.table.applyAll(payload)) {
      if (applied === "historical") historical++;
      else if (applied === "unknown-metric") isUnknown = true;
    }
    this.#count(life);
    const kind = device === undefined ? "data" : "device-data";
    return event(kind, gap ?? (isUnknown ? "unknown-metric" : undefined), historical);
  }

  #bear(device: string, payload: Payload, nowMs: number): void {
    const old = this.devices.get(device);
    if (old !== undefined) this.#bytes -= old.countedBytes;
    else this.#bytes += 4 * device.length;
    const life = begin(payload, nowMs);
    this.#count(life);
    this.devices.set(device, life);
  }

  /** By difference: telling a life again may have made it smaller meanwhile. */
  #count(life: Life): void {
    const bytes = weigh(life);
    this.#bytes += bytes - life.countedBytes;
    life.countedBytes = bytes;
  }
}

const SEQ_COUNT = 256;
/** What a node and a life cost beside their metrics. */
const NODE_BYTES = 512;
const LIFE_BYTES = 512;

function event(kind: NodeEvent["kind"], trouble?: Trouble, historical = 0): NodeEvent {
  return { kind, trouble, historical };
}

/** The life that a birth begins. */
export function begin(payload: Payload, nowMs: number): Life {
  const timestamp = payload.timestamp ?? BigInt(Math.trunc(nowMs));
  return {
    frame: keepFrame(payload),
    timestamp,
    table: new MetricTable(payload.metrics, timestamp),
    isOnline: true,
    sinceMs: nowMs,
    countedBytes: 0,
  };
}

/** What an edge node holds in memory, roughly, counted anew. */
export function weighNode({ group, node, life, devices }: EdgeNode): number {
  let bytes = NODE_BYTES + 4 * (group.length + node.length) + (life === undefined ? 0 : weigh(life));
  for (const [device, each] of devices) bytes += 4 * device.length + weigh(each);
  return bytes;
}

function weigh({ frame, table }: Life): number {
  return LIFE_BYTES + frame.bytes.length + table.bytes;
}

function end(life: Life, nowMs: number): void {
  if (life.isOnline) life.sinceMs = nowMs;
  life.isOnline = false;
}

/** A payload without metrics in memory of its own: what else the birth had is told again with it. */
function keepFrame(payload: Payload): Payload {
  const bytes = rewritePayload(payload, { metrics: () => null });
  const kept = parsePayload(bytes);
  return typeof kept === "string" ? { ...payload, bytes, metrics: [], spans: [] } : kept;
}

/** The birth as it would be told now: current values, each with its own timestamp. */
export function renderBirth(life: Life, changes: { readonly seq?: number } = {}): Uint8Array {
  return rewritePayload(life.frame, { ...changes, moreMetrics: life.table.render() });
}
