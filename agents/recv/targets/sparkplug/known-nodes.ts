// All edge nodes that are known, within bounds: nodes and devices, metrics, bytes. At a bound the node that has been dead for
// longest goes; when all are alive, who is new is not followed. Remembers what has changed, for the disk.
import { weighNode } from "../../../../shared/sparkplug/birth.ts";
import type { Payload } from "../../../../shared/sparkplug/payload.ts";
import type { Origin } from "../outcome.ts";
import { KnownNode, NODE_PART, nodeKey } from "./known-node.ts";

export type KnownLimits = {
  /** Edge nodes and devices. */
  readonly nodesMax: number;
  readonly metricsMax: number;
  readonly bytesMax: number;
};

type Weight = { readonly parts: number; readonly metrics: number; readonly bytes: number };

const NOTHING: Weight = { parts: 0, metrics: 0, bytes: 0 };
/** What a metric takes beside its bytes, about. */
const METRIC_BYTES = 320;
/** How far off the send agent's clock may be believed to be. */
const CLOCK_MARGIN_MS = 1000;

export class KnownNodes {
  /** True once the send agent has sent a snapshot: others will follow. */
  hasSnapshots = false;
  /** Gaps in the seq of edge nodes. */
  gaps = 0;
  /** Nodes that went to make room. */
  evicted = 0;
  /** Messages that were ever lost on the way here, of any origin. */
  lost: () => number = () => 0;
  /** The last message of the spool that was taken; what is not behind it comes again after a restart. */
  newest: Pick<Origin, "id" | "index"> = { id: 0, index: 0 };
  /** What the send agent's clock shows. */
  senderNowMs: () => number | undefined = () => undefined;
  onEvicted: (known: KnownNode) => void = () => {};
  readonly #limits: KnownLimits;
  readonly #nodes = new Map<string, KnownNode>();
  readonly #weights = new Map<string, Weight>();
  #total: Weight = NOTHING;
  readonly #dirty = new Map<KnownNode, Set<string>>();
  #gone: string[] = [];

  constructor(limits: KnownLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#nodes.size;
  }

  get weight(): Weight {
    return this.#total;
  }

  *[Symbol.iterator](): Iterator<KnownNode> {
    yield* this.#nodes.values();
  }

  find(group: string, node: string): KnownNode | undefined {
    return this.#nodes.get(nodeKey(group, node));
  }

  /** The node, known from now on; or why there is no room for this birth of it. */
  admit(group: string, node: string, birth: Payload): KnownNode | string {
    const known = this.find(group, node);
    const refusal = this.#makeRoom(known, birth, known === undefined);
    if (refusal !== undefined) return refusal;
    if (known !== undefined) return known;
    const fresh = new KnownNode(group, node);
    fresh.lostSeen = this.lost();
    this.#nodes.set(fresh.key, fresh);
    return fresh;
  }

  admitDevice(known: KnownNode, device: string, birth: Payload): string | undefined {
    return this.#makeRoom(known, birth, !known.edge.devices.has(device));
  }

  /** Puts in what the disk has kept. */
  restore(known: KnownNode): void {
    this.#nodes.set(known.key, known);
    this.weigh(known);
  }

  /** Looks at what was lost on the way here since the last time. */
  noteLosses(known: KnownNode): void {
    const lost = this.lost();
    if (lost > known.lostSeen) {
      known.suspect += lost - known.lostSeen;
      known.suspectUntilMs = (this.senderNowMs() ?? Number.POSITIVE_INFINITY) + CLOCK_MARGIN_MS;
    }
    known.lostSeen = lost;
  }

  /**
   * A message of it came in the order of its stream, so it is the newest: when its time is before that of the one before it,
   * the clock over there was set back.
   */
  noteOrder(known: KnownNode, acceptedMs: number): void {
    if (acceptedMs < known.newestMs) this.#setBack(known, acceptedMs);
  }

  /** The same of a snapshot of the node itself, which has a stream of its own. */
  noteSnapshotOrder(known: KnownNode, takenMs: number): void {
    if (takenMs < known.snapshotMs) this.#setBack(known, takenMs);
    known.snapshotMs = takenMs;
  }

  #setBack(known: KnownNode, nowMs: number): void {
    known.setBack(nowMs);
    // What was lost was lost before now.
    const untilMs = (this.senderNowMs() ?? Number.POSITIVE_INFINITY) + CLOCK_MARGIN_MS;
    known.suspectUntilMs = Math.min(known.suspectUntilMs, untilMs);
    this.touchAll(known);
  }

  /** True when it comes in the order of its stream, for the first time. */
  noteTaken({ id, index, isLate }: Origin): boolean {
    const { newest } = this;
    if (id < newest.id || (id === newest.id && index <= newest.index)) return false;
    this.newest = { id, index };
    return !isLate;
  }

  /** A part has changed. */
  touch(known: KnownNode, part: string): void {
    const parts = this.#dirty.get(known) ?? new Set();
    parts.add(part);
    // What is kept of the node beside its births is kept with itself.
    parts.add(NODE_PART);
    this.#dirty.set(known, parts);
  }

  touchAll(known: KnownNode): void {
    this.touch(known, NODE_PART);
    for (const device of known.edge.devices.keys()) this.touch(known, device);
    this.weigh(known);
  }

  /** What has changed since the last call of noteKept(). */
  get changes(): {
    readonly dirty: ReadonlyMap<KnownNode, ReadonlySet<string>>;
    readonly gone: readonly string[];
  } {
    return { dirty: this.#dirty, gone: this.#gone };
  }

  noteKept(): void {
    for (const known of this.#dirty.keys()) this.weigh(known);
    this.#dirty.clear();
    this.#gone = [];
  }

  #makeRoom(known: KnownNode | undefined, birth: Payload, isNew: boolean): string | undefined {
    const { nodesMax, metricsMax, bytesMax } = this.#limits;
    const bytes = birth.bytes.length + birth.metrics.length * METRIC_BYTES;
    for (;;) {
      const { parts, metrics, bytes: held } = this.#total;
      const problem =
        parts + (isNew ? 1 : 0) > nodesMax
          ? `${nodesMax} edge nodes and devices are followed already; raise sparkplug.nodes_max`
          : metrics + birth.metrics.length > metricsMax && birth.metrics.length > 0
            ? `${metrics} metrics are followed already; raise sparkplug.metrics_max`
            : held + bytes > bytesMax
              ? "births and values take all the room they may; raise sparkplug.state_bytes_max"
              : undefined;
      if (problem === undefined || !(this.#evictDevices(known) || this.#evict(known))) return problem;
    }
  }

  /** Forgets the devices of the node that are dead. */
  #evictDevices(known: KnownNode | undefined): boolean {
    if (known === undefined) return false;
    const { devices } = known.edge;
    const dead = [...devices].filter(([, { isOnline }]) => !isOnline).map(([device]) => device);
    for (const device of dead) {
      devices.delete(device);
      known.doubts.delete(device);
      this.#dirty.get(known)?.delete(device);
      this.#gone.push(`${known.key}/${device}`);
    }
    if (dead.length > 0) this.weigh(known);
    return dead.length > 0;
  }

  /** Forgets the node that has been dead for longest. */
  #evict(except: KnownNode | undefined): boolean {
    let oldest: KnownNode | undefined;
    for (const known of this.#nodes.values()) {
      if (known === except || known.isOnline || known.publishedBdSeq !== undefined) continue;
      if (oldest === undefined || known.newestMs < oldest.newestMs) oldest = known;
    }
    if (oldest === undefined) return false;
    this.#nodes.delete(oldest.key);
    this.#dirty.delete(oldest);
    this.#gone.push(oldest.key);
    this.#setWeight(oldest.key, NOTHING);
    this.evicted++;
    this.onEvicted(oldest);
    return true;
  }

  /** It has been born, or a device of it: it takes another amount of room. */
  weigh(known: KnownNode): void {
    if (this.#nodes.get(known.key) !== known) return;
    const { edge } = known;
    this.#setWeight(known.key, {
      parts: 1 + edge.devices.size,
      metrics: edge.metrics,
      bytes: weighNode(edge),
    });
  }

  #setWeight(key: string, weight: Weight): void {
    const before = this.#weights.get(key) ?? NOTHING;
    this.#weights.set(key, weight);
    if (weight === NOTHING) this.#weights.delete(key);
    const { parts, metrics, bytes } = this.#total;
    this.#total = {
      parts: parts + weight.parts - before.parts,
      metrics: metrics + weight.metrics - before.metrics,
      bytes: bytes + weight.bytes - before.bytes,
    };
  }
}
