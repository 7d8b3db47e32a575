// What a Sparkplug host application knows, as strict as the specification lets one be: each tag with name, type and value, and
// everything that an edge node may not do. Decodes with the Eclipse project's own package; knows nothing of us.
import proto from "sparkplug-payload/lib/sparkplugPayloadProto.js";

const Twin = proto.org.eclipse.tahu.protobuf.Payload;

export type Json = Readonly<Record<string, unknown>>;

export type Tag = {
  readonly name: string;
  readonly alias: string | undefined;
  readonly datatype: number;
  readonly value: unknown;
  readonly timestamp: string | undefined;
};

export type Seen = {
  readonly topic: string;
  readonly type: string;
  /** GROUP/NODE or GROUP/NODE/DEVICE. */
  readonly of: string;
  readonly payload: Buffer;
  readonly decoded: Json;
  readonly retain: boolean;
};

type Node = { bdSeq: string | undefined; seq: number; isOnline: boolean };
type Part = { isOnline: boolean; readonly tags: Map<string, Tag>; readonly aliases: Map<string, string> };

const VALUES = [
  "intValue",
  "longValue",
  "floatValue",
  "doubleValue",
  "booleanValue",
  "stringValue",
  "bytesValue",
  "datasetValue",
  "templateValue",
];

export function encodeSparkplug(payload: object): Buffer {
  return Buffer.from(Twin.encode(Twin.fromObject(payload)).finish());
}

export function decodeSparkplug(payload: Uint8Array): Json {
  return Twin.toObject(Twin.decode(payload), { longs: String, bytes: String });
}

export class HostBook {
  readonly seen: Seen[] = [];
  /** What no edge node may do, in words. */
  readonly faults: string[] = [];
  readonly #nodes = new Map<string, Node>();
  readonly #parts = new Map<string, Part>();

  /** `isStrict` false: data before a birth is ignored, as it is by a host that has just started. */
  constructor(private readonly isStrict = true) {}

  isOnline(of: string): boolean {
    return this.#parts.get(of)?.isOnline === true;
  }

  bdSeq(node: string): string | undefined {
    return this.#nodes.get(node)?.bdSeq;
  }

  tags(of: string): ReadonlyMap<string, Tag> {
    return this.#parts.get(of)?.tags ?? new Map();
  }

  value(of: string, name: string): unknown {
    return this.tags(of).get(name)?.value;
  }

  count(type: string, of?: string): number {
    return this.seen.filter((each) => each.type === type && (of === undefined || each.of === of)).length;
  }

  /** All messages of these types, in order. */
  of(...types: string[]): Seen[] {
    return this.seen.filter(({ type }) => types.includes(type));
  }

  describe(): string {
    const said = this.seen
      .slice(-30)
      .map(({ type, of, decoded }) => `${type} ${of} seq ${decoded.seq}`)
      .join("\n");
    return `${this.faults.slice(0, 10).join("\n")}\n${said}`;
  }

  take(topic: string, payload: Buffer, qos: number, retain: boolean): void {
    const [, group, type = "", node, device] = topic.split("/");
    const key = `${group}/${node}`;
    const of = device === undefined ? key : `${key}/${device}`;
    if (type.endsWith("CMD")) return;
    let decoded: Json;
    try {
      decoded = decodeSparkplug(payload);
    } catch (error) {
      this.#fault(topic, `cannot be decoded: ${error}`);
      return;
    }
    this.seen.push({ topic, type, of, payload, decoded, retain });
    if (retain) this.#fault(topic, "is retained");
    if (qos !== (type === "NDEATH" ? 1 : 0)) this.#fault(topic, `has QoS ${qos}`);
    if (type === "NDEATH") this.#takeDeath(topic, key, decoded);
    else if (type === "NBIRTH") this.#takeBirth(topic, key, decoded);
    else this.#takeInTurn(topic, type, key, of, decoded);
  }

  #takeBirth(topic: string, key: string, decoded: Json): void {
    const metrics = metricsOf(decoded);
    const bdSeq = metrics.find(({ name }) => name === "bdSeq")?.longValue;
    const rebirth = metrics.find(({ name }) => name === "Node Control/Rebirth");
    if (bdSeq === undefined) this.#fault(topic, "has no bdSeq");
    if (rebirth?.booleanValue !== false) this.#fault(topic, "has no Node Control/Rebirth that is false");
    if (decoded.seq !== "0") this.#fault(topic, `has seq ${decoded.seq}`);
    if (decoded.timestamp === undefined) this.#fault(topic, "has no timestamp");
    for (const [of, part] of this.#parts) if (of.startsWith(`${key}/`)) part.isOnline = false;
    this.#nodes.set(key, { bdSeq: String(bdSeq), seq: 0, isOnline: true });
    this.#begin(topic, key, metrics);
  }

  #takeDeath(topic: string, key: string, decoded: Json): void {
    const node = this.#nodes.get(key);
    const metrics = metricsOf(decoded);
    if (decoded.seq !== undefined) this.#fault(topic, "has a seq");
    if (metrics.length !== 1 || metrics[0]?.name !== "bdSeq") this.#fault(topic, "has not just bdSeq");
    // A death of another life is none.
    if (node === undefined || String(metrics[0]?.longValue) !== node.bdSeq) return;
    node.isOnline = false;
    for (const [of, part] of this.#parts) if (of === key || of.startsWith(`${key}/`)) part.isOnline = false;
  }

  #takeInTurn(topic: string, type: string, key: string, of: string, decoded: Json): void {
    const node = this.#nodes.get(key);
    if (node?.isOnline !== true) {
      if (this.isStrict) this.#fault(topic, "comes from a node that is not born");
      return;
    }
    const seq = Number(decoded.seq);
    if (seq !== (node.seq + 1) % 256) this.#fault(topic, `has seq ${seq} after ${node.seq}`);
    node.seq = seq;
    if (type === "DBIRTH") {
      this.#begin(topic, of, metricsOf(decoded));
      return;
    }
    const part = this.#parts.get(of);
    if (part?.isOnline !== true) {
      this.#fault(topic, "comes from a device that is not born");
      return;
    }
    if (type === "DDEATH") part.isOnline = false;
    else for (const metric of metricsOf(decoded)) this.#apply(topic, part, metric, decoded);
  }

  #begin(topic: string, of: string, metrics: readonly Json[]): void {
    const part: Part = { isOnline: true, tags: new Map(), aliases: new Map() };
    for (const metric of metrics) {
      const { name, alias, datatype, timestamp } = metric;
      if (typeof name !== "string" || name === "") this.#fault(topic, "has a metric without a name");
      if (datatype === undefined) this.#fault(topic, `has no type of ${name}`);
      const tag: Tag = {
        name: String(name),
        alias: alias === undefined ? undefined : String(alias),
        datatype: Number(datatype),
        value: readValue(metric),
        timestamp: timestamp === undefined ? undefined : String(timestamp),
      };
      part.tags.set(tag.name, tag);
      if (tag.alias !== undefined) part.aliases.set(tag.alias, tag.name);
    }
    this.#parts.set(of, part);
  }

  #apply(topic: string, part: Part, metric: Json, decoded: Json): void {
    const { name, alias } = metric;
    const known = typeof name === "string" && name !== "" ? name : part.aliases.get(String(alias));
    const tag = known === undefined ? undefined : part.tags.get(known);
    if (tag === undefined) this.#fault(topic, `has a metric that nobody knows: ${name ?? alias}`);
    else if (metric.isHistorical !== true)
      part.tags.set(tag.name, {
        ...tag,
        value: readValue(metric),
        timestamp: String(metric.timestamp ?? decoded.timestamp),
      });
  }

  #fault(topic: string, what: string): void {
    this.faults.push(`${topic} ${what}`);
  }
}

function metricsOf(decoded: Json): readonly Json[] {
  return (decoded.metrics ?? []) as readonly Json[];
}

function readValue(metric: Json): unknown {
  if (metric.isNull === true) return null;
  const field = VALUES.find((each) => metric[each] !== undefined);
  return field === undefined ? undefined : metric[field];
}
