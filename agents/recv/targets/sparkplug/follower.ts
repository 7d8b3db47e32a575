// Follows the edge nodes by what comes over the link, and says what the business side is to be told of each message. Pure.
// Loss is a fact of a one-way link: after a gap in an edge node's seq its aliases are in doubt, for a birth may have been lost;
// what names metrics by alias waits until a birth or a snapshot has told. What was replayed late is history and no news.
// Refuses, by name, what nobody here could resolve: data before a birth, data and deaths of an earlier life.
import { BD_SEQ } from "../../../../shared/sparkplug/birth.ts";
import { type Payload, readLong } from "../../../../shared/sparkplug/payload.ts";
import type { EdgeTopic } from "../../../../shared/sparkplug/topic.ts";
import type { TargetOutcome } from "../outcome.ts";
import { type KnownNode, NODE_PART } from "./known-node.ts";
import type { KnownNodes } from "./known-nodes.ts";

/** What becomes of a message. */
export type Step =
  | { readonly do: "settle"; readonly outcome: TargetOutcome; readonly detail?: string }
  /** It waits until the part is no longer in doubt. */
  | { readonly do: "hold"; readonly known: KnownNode; readonly part: string }
  /** The birth as it came. */
  | { readonly do: "birth"; readonly known: KnownNode; readonly payload: Payload }
  | {
      readonly do: "device-birth";
      readonly known: KnownNode;
      readonly part: string;
      readonly payload: Payload;
    }
  | {
      readonly do: "data";
      readonly known: KnownNode;
      readonly part: string;
      readonly payload: Payload;
      readonly fates: readonly MetricFate[];
    }
  | { readonly do: "death"; readonly known: KnownNode }
  | {
      readonly do: "device-death";
      readonly known: KnownNode;
      readonly part: string;
      readonly payload: Payload;
    };

/** What is done with a metric: published as it is, as history, or not at all. */
export type MetricFate = "as-is" | "history" | "unresolved";

const SEQ_COUNT = 256;
/** A bdSeq this far ahead of the one we know is of a later life; beyond, of an earlier one. */
const BD_SEQ_AHEAD_MAX = 127n;

export class Follower {
  readonly #nodes: KnownNodes;

  constructor(nodes: KnownNodes) {
    this.#nodes = nodes;
  }

  /** `isInOrder`: it came in the order of its stream, so it is the newest whatever the clocks of the plant say. */
  take(topic: EdgeTopic, payload: Payload, acceptedMs: number, isInOrder: boolean): Step {
    const { type, group, node } = topic;
    if (type === "NCMD" || type === "DCMD") return filtered("command");
    const known = this.#nodes.find(group, node);
    if (isInOrder && known !== undefined) this.#nodes.noteOrder(known, acceptedMs);
    if (type === "NBIRTH") return this.#takeBirth(known, topic, payload, acceptedMs, isInOrder);
    if (known?.edge.life === undefined) return filtered("no-birth");
    if (type === "NDEATH") return takeDeath(known, payload, acceptedMs, isInOrder);
    const part = topic.device ?? NODE_PART;
    const isLate = isBehind(known, payload, acceptedMs);
    if (isLate && (type === "DDEATH" || (type === "DBIRTH" && !isNews(known, part, payload))))
      return filtered("old-life");
    if (!isLate) {
      const seen = this.#count(known, payload, acceptedMs);
      if (seen === "repeat") return filtered("repeat");
    }
    known.noteMessage(acceptedMs, payload.timestamp, isInOrder);
    this.#nodes.touch(known, part);
    return this.retake(topic, payload, acceptedMs);
  }

  /** Takes a message whose seq has been counted: the one that comes, or one that was held. */
  retake(topic: EdgeTopic, payload: Payload, acceptedMs: number): Step {
    const known = this.#nodes.find(topic.group, topic.node);
    if (known?.edge.life === undefined) return filtered("no-birth");
    const part = topic.device ?? NODE_PART;
    if (topic.type === "DBIRTH") return this.#takeDeviceBirth(known, topic, part, payload, acceptedMs);
    if (topic.type === "DDEATH") return takeDeviceDeath(known, topic, part, payload, acceptedMs);
    return this.#takeData(known, part, payload, acceptedMs);
  }

  #takeData(known: KnownNode, part: string, payload: Payload, acceptedMs: number): Step {
    const isLate = isBehind(known, payload, acceptedMs);
    const life = known.life(part);
    // Without snapshots nothing would ever end the doubt: then the births that are known stand.
    const isAwaited = this.#nodes.hasSnapshots;
    if (life === undefined || !life.isOnline || !known.isOnline)
      return isAwaited && !isLate ? { do: "hold", known, part } : filtered("no-birth");
    if (isAwaited && known.doubts.has(part)) return { do: "hold", known, part };
    const mayBeOlder = isLate || acceptedMs <= known.takenMs;
    // Both clocks say so, as in isBehind().
    const isBefore = payload.timestamp === undefined || payload.timestamp < life.timestamp;
    if (mayBeOlder && isBefore && acceptedMs < life.sinceMs) return filtered("old-life");
    const fates = life.table.applyAll(payload, mayBeOlder).map((applied): MetricFate => {
      if (applied === "unknown-metric") return "unresolved";
      return applied === "older" ? "history" : "as-is";
    });
    this.#nodes.touch(known, part);
    // An empty one says that the node lives.
    if (fates.length > 0 && fates.every((fate) => fate === "unresolved")) return filtered("unresolved");
    return { do: "data", known, part, payload, fates };
  }

  #takeBirth(
    earlier: KnownNode | undefined,
    topic: EdgeTopic,
    payload: Payload,
    acceptedMs: number,
    isInOrder: boolean,
  ): Step {
    const life = earlier?.edge.life;
    if (earlier !== undefined && life !== undefined) {
      const isSame = payload.timestamp === life.timestamp && bdSeqOf(payload) === earlier.edge.bdSeq;
      if (isSame && life.isOnline) {
        if (acceptedMs >= earlier.newestMs) {
          // A snapshot of it was faster: what follows counts from here.
          earlier.edge.seq = payload.seq;
          earlier.anchor = undefined;
        }
        return filtered("repeat");
      }
      const isOlder = payload.timestamp !== undefined && payload.timestamp < life.timestamp;
      if (acceptedMs < earlier.bornMs && isOlder) return filtered("old-life");
    }
    const known = this.#nodes.admit(topic.group, topic.node, payload);
    if (typeof known === "string") return { do: "settle", outcome: "lost/sparkplug-limit", detail: known };
    const { seq } = known.edge;
    const isReplayed = acceptedMs < known.newestMs;
    known.edge.take(topic, payload, acceptedMs);
    known.bornMs = acceptedMs;
    known.anchor = undefined;
    this.#nodes.noteLosses(known);
    known.suspect = 0;
    known.suspectBefore = 0;
    known.doubts.clear();
    if (isReplayed) {
      // It fills a gap; whether there was another behind it only a snapshot can tell.
      known.edge.seq = seq;
      known.noteGap(known.newestMs);
    }
    known.takenMs = Math.min(known.takenMs, acceptedMs - 1);
    known.noteMessage(acceptedMs, payload.timestamp, isInOrder);
    this.#nodes.touchAll(known);
    return { do: "birth", known, payload };
  }

  #takeDeviceBirth(
    known: KnownNode,
    topic: EdgeTopic,
    part: string,
    payload: Payload,
    acceptedMs: number,
  ): Step {
    if (!known.isOnline) return this.#nodes.hasSnapshots ? { do: "hold", known, part } : filtered("no-birth");
    const life = known.life(part);
    if (life?.isOnline && life.timestamp === payload.timestamp && !known.doubts.has(part))
      return filtered("repeat");
    const refusal = this.#nodes.admitDevice(known, part, payload);
    if (refusal !== undefined) return { do: "settle", outcome: "lost/sparkplug-limit", detail: refusal };
    const { seq } = known.edge;
    // Its seq is counted already: the same again would be taken for a repetition.
    known.edge.seq = undefined;
    known.edge.take(topic, payload, acceptedMs);
    known.edge.seq = seq;
    if (acceptedMs < known.newestMs) known.doubts.set(part, known.newestMs);
    else known.doubts.delete(part);
    this.#nodes.weigh(known);
    return { do: "device-birth", known, part, payload };
  }

  /**
   * Compares the seq with the last one. A gap puts all parts in doubt, when something was lost on the way here: what the send
   * agent has not had either, or keeps back by a rule, it knows about, and no snapshot of it would tell more.
   */
  #count(known: KnownNode, payload: Payload, acceptedMs: number): "repeat" | undefined {
    const { edge, anchor } = known;
    const { seq, timestamp } = payload;
    if (seq === undefined) return undefined;
    const edgeSeq = edge.seq;
    const last = edgeSeq ?? (anchor !== undefined && acceptedMs > anchor.takenMs ? anchor.seq : undefined);
    if (edgeSeq === seq && (timestamp ?? 0n) <= known.newestTimestamp) return "repeat";
    edge.seq = seq;
    known.anchor = undefined;
    this.#nodes.noteLosses(known);
    const isFirst = edgeSeq === undefined;
    const isNext = last === undefined || seq === (last + 1) % SEQ_COUNT;
    if (!isNext) this.#nodes.gaps++;
    if (!(isNext ? hidesBirth(known, seq) : isFirst || known.suspect > 0)) {
      // All that was lost was lost before this one, and has hidden nothing.
      if (acceptedMs > known.suspectUntilMs) known.suspect = 0;
      return undefined;
    }
    known.suspect = 0;
    known.noteGap(acceptedMs);
    this.#nodes.touchAll(known);
    return undefined;
  }
}

/**
 * A birth that was lost with all up to this seq leaves no gap when as many messages had come before it. That takes as many
 * losses on the way here, which are known.
 */
function hidesBirth(known: KnownNode, seq: number): boolean {
  return seq > 0 && known.suspect >= seq;
}

/** Both clocks say so: one of them alone may have been set back. */
function isBehind(known: KnownNode, { timestamp }: Payload, acceptedMs: number): boolean {
  return acceptedMs < known.newestMs && timestamp !== undefined && timestamp < known.newestTimestamp;
}

/** A birth that was replayed late, of a life that is not known yet. */
function isNews(known: KnownNode, part: string, { timestamp }: Payload): boolean {
  const since = known.life(part)?.timestamp ?? -1n;
  return timestamp !== undefined && timestamp > since && timestamp >= (known.edge.life?.timestamp ?? 0n);
}

function takeDeath(known: KnownNode, payload: Payload, acceptedMs: number, isInOrder: boolean): Step {
  const { edge } = known;
  const bdSeq = bdSeqOf(payload);
  // A snapshot of its life may have told a time from before the clock over there was set back; its number is proof enough.
  const isOfThisLife = isInOrder && bdSeq !== undefined && bdSeq === edge.bdSeq;
  if ((acceptedMs < known.bornMs && !isOfThisLife) || !known.isOnline) return filtered("stale-death");
  if (bdSeq !== undefined && edge.bdSeq !== undefined) {
    const ahead = BigInt.asUintN(8, bdSeq - edge.bdSeq);
    // Ahead: the birth of that life was lost, and it is over, too.
    if (ahead > BD_SEQ_AHEAD_MAX) return filtered("stale-death");
    edge.bdSeq = bdSeq;
  }
  markDead(known, acceptedMs);
  known.newestMs = Math.max(known.newestMs, acceptedMs);
  return { do: "death", known };
}

export function markDead(known: KnownNode, nowMs: number): void {
  const { life, devices } = known.edge;
  for (const each of [life, ...devices.values()]) {
    if (!each?.isOnline) continue;
    each.isOnline = false;
    each.sinceMs = nowMs;
  }
}

function takeDeviceDeath(
  known: KnownNode,
  topic: EdgeTopic,
  part: string,
  payload: Payload,
  acceptedMs: number,
): Step {
  const life = known.life(part);
  if (!known.isOnline || !life?.isOnline) return filtered("stale-death");
  const { seq } = known.edge;
  known.edge.seq = undefined;
  known.edge.take(topic, payload, acceptedMs);
  known.edge.seq = seq;
  return { do: "device-death", known, part, payload };
}

export function bdSeqOf({ metrics }: Payload): bigint | undefined {
  const metric = metrics.find(({ name }) => name === BD_SEQ);
  return metric === undefined ? undefined : readLong(metric);
}

export function filtered(rule: string): Step {
  return { do: "settle", outcome: `filtered/${rule}` };
}
