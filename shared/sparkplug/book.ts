// All edge nodes that are followed, within bounds: nodes, metrics of one node, bytes of all. At a bound the node that has been
// dead for longest goes first; when nobody is dead, who is new is not followed, by name and with a count.
import { EdgeNode, type NodeEvent } from "./birth.ts";
import type { Payload } from "./payload.ts";
import type { EdgeTopic } from "./topic.ts";

export type BookLimits = {
  readonly nodesMax: number;
  /** Of one edge node with its devices. */
  readonly metricsMax: number;
  readonly bytesMax: number;
};

/** Why an edge node is not followed. */
export type BookRefusal = "nodes-max" | "metrics-max" | "bytes-max";

export type BookEvent = {
  /** The node as it is now; undefined when it is not followed, or not known yet. */
  readonly edge: EdgeNode | undefined;
  readonly event: NodeEvent;
  readonly refusal: BookRefusal | undefined;
};

export class Book {
  readonly #limits: BookLimits;
  readonly #nodes = new Map<string, { readonly edge: EdgeNode; bytes: number }>();
  /** Who is not followed, until the next birth. */
  readonly #refused = new Map<string, BookRefusal>();
  #bytes = 0;
  /** Nodes that went to make room. */
  evicted = 0;

  constructor(limits: BookLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#nodes.size;
  }

  *[Symbol.iterator](): Iterator<EdgeNode> {
    for (const { edge } of this.#nodes.values()) yield edge;
  }

  find(group: string, node: string): EdgeNode | undefined {
    return this.#nodes.get(`${group}/${node}`)?.edge;
  }

  take(topic: EdgeTopic, payload: Payload, nowMs: number): BookEvent {
    const { group, node } = topic;
    const key = `${group}/${node}`;
    const known = this.#nodes.get(key);
    if (topic.type === "NBIRTH") this.#refused.delete(key);
    const refused = this.#refused.get(key);
    // To have it born again would not help.
    if (refused !== undefined)
      return {
        edge: undefined,
        event: { kind: "none", trouble: undefined, historical: 0 },
        refusal: refused,
      };
    if (known === undefined && topic.type !== "NBIRTH") {
      const isAlive = topic.type === "NDATA" || topic.type === "DDATA" || topic.type === "DBIRTH";
      const trouble = isAlive ? "data-before-birth" : undefined;
      return { edge: undefined, event: { kind: "none", trouble, historical: 0 }, refusal: undefined };
    }
    const entry = known ?? { edge: new EdgeNode(group, node), bytes: 0 };
    const event = entry.edge.take(topic, payload, nowMs);
    const bytes = entry.edge.bytes;
    this.#bytes += bytes - entry.bytes;
    entry.bytes = bytes;
    this.#nodes.set(key, entry);
    const isBirth = topic.type === "NBIRTH" || topic.type === "DBIRTH";
    const refusal = this.#findRoom(entry.edge, isBirth);
    if (refusal === undefined) return { edge: entry.edge, event, refusal };
    this.#drop(key);
    if (this.#refused.size < this.#limits.nodesMax) this.#refused.set(key, refusal);
    return { edge: undefined, event, refusal };
  }

  /** Makes room, so that `edge` may stay; why it may not. */
  #findRoom(edge: EdgeNode, isBirth: boolean): BookRefusal | undefined {
    const { nodesMax, metricsMax, bytesMax } = this.#limits;
    // Only births bring metrics, and counting them takes a while where there are many devices.
    if (isBirth && edge.metrics > metricsMax) return "metrics-max";
    while (this.#nodes.size > nodesMax || this.#bytes > bytesMax) {
      const dead = this.#findDead(edge);
      if (dead === undefined) return this.#nodes.size > nodesMax ? "nodes-max" : "bytes-max";
      this.#drop(dead);
      this.evicted++;
    }
    return undefined;
  }

  #findDead(except: EdgeNode): string | undefined {
    let oldest: string | undefined;
    let sinceMs = Number.POSITIVE_INFINITY;
    for (const [key, { edge }] of this.#nodes) {
      if (edge === except || edge.isOnline) continue;
      const deadMs = edge.life?.sinceMs ?? 0;
      if (deadMs >= sinceMs) continue;
      sinceMs = deadMs;
      oldest = key;
    }
    return oldest;
  }

  #drop(key: string): void {
    this.#bytes -= this.#nodes.get(key)?.bytes ?? 0;
    this.#nodes.delete(key);
  }
}
