// Merges the birth snapshots of the send agent into what is known, and says what the business side has to be told. Pure.
// They come in a stream of their own, early or late: the life they tell of decides (bdSeq and timestamps of its births), then the
// timestamp of each metric, and of what may change back and forth (who is alive) the send agent's clock; never the arrival.
import { begin } from "../../../../shared/sparkplug/birth.ts";
import type { Metric, Payload } from "../../../../shared/sparkplug/payload.ts";
import { parsePayload } from "../../../../shared/sparkplug/payload.ts";
import { rewritePayload } from "../../../../shared/sparkplug/rewrite.ts";
import {
  SNAPSHOT_FIELD,
  type SnapshotMark,
  type SnapshotTopic,
} from "../../../../shared/sparkplug/snapshot.ts";
import { markDead } from "./follower.ts";
import { type KnownNode, NODE_PART } from "./known-node.ts";
import type { KnownNodes } from "./known-nodes.ts";

/** What a snapshot has changed. */
export type SnapshotNews =
  | { readonly news: "nothing"; readonly why?: string }
  /** The edge node has a life that was not known: it is to be born, with the devices that are known to be alive. */
  | { readonly news: "birth"; readonly known: KnownNode }
  | { readonly news: "device-birth"; readonly known: KnownNode; readonly part: string }
  /** Its life is the one that is known, and these metrics have newer values. `wasInDoubt`: that is settled now. */
  | {
      readonly news: "values";
      readonly known: KnownNode;
      readonly part: string;
      readonly metrics: readonly Metric[];
      readonly wasInDoubt: boolean;
    }
  | { readonly news: "death"; readonly known: KnownNode }
  | { readonly news: "device-death"; readonly known: KnownNode; readonly part: string };

const NOTHING: SnapshotNews = { news: "nothing" };

export function mergeSnapshot(
  nodes: KnownNodes,
  { group, node, device }: SnapshotTopic,
  payload: Payload,
  mark: SnapshotMark,
  isInOrder: boolean,
): SnapshotNews {
  nodes.hasSnapshots = true;
  const known = nodes.find(group, node);
  if (isInOrder && known !== undefined && device === undefined)
    nodes.noteSnapshotOrder(known, Number(mark.takenMs));
  const isKnownLife =
    known?.edge.life !== undefined &&
    known.edge.life.timestamp === mark.nodeBirthTimestamp &&
    known.edge.bdSeq === mark.bdSeq;
  if (device === undefined) {
    if (known !== undefined && isKnownLife) return mergeNode(nodes, known, payload, mark);
    return adoptNode(nodes, known, { group, node, device }, payload, mark);
  }
  if (known === undefined || !isKnownLife) return NOTHING;
  const life = known.edge.devices.get(device);
  if (life?.timestamp === mark.birthTimestamp) return mergePart(nodes, known, device, payload, mark);
  return adoptDevice(nodes, known, device, payload, mark);
}

function adoptNode(
  nodes: KnownNodes,
  known: KnownNode | undefined,
  { group, node }: SnapshotTopic,
  payload: Payload,
  mark: SnapshotMark,
): SnapshotNews {
  const takenMs = Number(mark.takenMs);
  // Of an earlier life than the one that is known.
  if (known?.edge.life !== undefined && takenMs <= known.bornMs) return NOTHING;
  const birth = withoutMark(payload);
  const admitted = nodes.admit(group, node, birth);
  if (typeof admitted === "string") return { news: "nothing", why: admitted };
  const { edge } = admitted;
  const wasAlive = admitted.isOnline;
  markDead(admitted, takenMs);
  edge.life = { ...begin(birth, takenMs), timestamp: mark.nodeBirthTimestamp, isOnline: mark.isOnline };
  edge.bdSeq = mark.bdSeq;
  edge.isComplete = mark.isComplete;
  // What is counted on is later than the snapshot, if something has come that was accepted behind it.
  if (admitted.newestMs <= takenMs) {
    edge.seq = undefined;
    admitted.anchor = mark.seq === undefined ? undefined : { takenMs, seq: mark.seq };
    admitted.doubts.clear();
  } else if (!settles(admitted, NODE_PART, takenMs)) admitted.doubts.set(NODE_PART, admitted.newestMs);
  admitted.bornMs = takenMs;
  admitted.takenMs = takenMs;
  nodes.touchAll(admitted);
  if (mark.isOnline) return { news: "birth", known: admitted };
  return wasAlive ? { news: "death", known: admitted } : NOTHING;
}

function adoptDevice(
  nodes: KnownNodes,
  known: KnownNode,
  device: string,
  payload: Payload,
  mark: SnapshotMark,
): SnapshotNews {
  const takenMs = Number(mark.takenMs);
  const life = known.edge.devices.get(device);
  if (life !== undefined && takenMs <= life.sinceMs && !known.doubts.has(device)) return NOTHING;
  const birth = withoutMark(payload);
  const refusal = nodes.admitDevice(known, device, birth);
  if (refusal !== undefined) return { news: "nothing", why: refusal };
  const wasAlive = life?.isOnline === true;
  known.edge.devices.delete(device);
  known.edge.devices.set(device, {
    ...begin(birth, takenMs),
    timestamp: mark.birthTimestamp,
    isOnline: mark.isOnline,
  });
  settles(known, device, takenMs);
  known.takenMs = Math.max(known.takenMs, takenMs);
  nodes.touch(known, device);
  nodes.touchAll(known);
  if (!known.isOnline) return NOTHING;
  if (mark.isOnline) return { news: "device-birth", known, part: device };
  return wasAlive ? { news: "device-death", known, part: device } : NOTHING;
}

/** The node's own snapshot; that it is dead or alive after all goes for its devices, too. */
function mergeNode(nodes: KnownNodes, known: KnownNode, payload: Payload, mark: SnapshotMark): SnapshotNews {
  const takenMs = Number(mark.takenMs);
  const life = known.edge.life;
  nodes.noteLosses(known);
  if (takenMs >= known.newestMs) {
    // What was lost before it was taken has hidden no birth. It may have been some time on its way: the one before it was not.
    known.suspect = Math.max(0, known.suspect - known.suspectBefore);
    known.suspectBefore = known.suspect;
  }
  if (
    life !== undefined &&
    life.isOnline !== mark.isOnline &&
    takenMs > Math.max(life.sinceMs, known.newestMs)
  ) {
    if (!mark.isOnline) {
      markDead(known, takenMs);
      nodes.touchAll(known);
      return { news: "death", known };
    }
    life.isOnline = true;
    life.sinceMs = takenMs;
    applyNewer(known, NODE_PART, payload, takenMs);
    settles(known, NODE_PART, takenMs);
    nodes.touchAll(known);
    return { news: "birth", known };
  }
  return mergePart(nodes, known, NODE_PART, payload, mark);
}

function mergePart(
  nodes: KnownNodes,
  known: KnownNode,
  part: string,
  payload: Payload,
  mark: SnapshotMark,
): SnapshotNews {
  const takenMs = Number(mark.takenMs);
  const life = known.life(part);
  if (life === undefined) return NOTHING;
  if (part !== NODE_PART && life.isOnline !== mark.isOnline && takenMs > life.sinceMs && known.isOnline) {
    life.isOnline = mark.isOnline;
    life.sinceMs = takenMs;
    applyNewer(known, part, payload, takenMs);
    settles(known, part, takenMs);
    nodes.touch(known, part);
    return { news: mark.isOnline ? "device-birth" : "device-death", known, part };
  }
  const metrics = applyNewer(known, part, payload, takenMs);
  const wasInDoubt = settles(known, part, takenMs);
  if (metrics.length === 0 && !wasInDoubt) return NOTHING;
  if (metrics.length > 0) known.takenMs = Math.max(known.takenMs, takenMs);
  nodes.touch(known, part);
  return life.isOnline && known.isOnline ? { news: "values", known, part, metrics, wasInDoubt } : NOTHING;
}

/**
 * The metrics that the snapshot knows newer: all that differ, when it was taken after the last message of the edge node that
 * came, for then it has had that, too.
 */
function applyNewer(known: KnownNode, part: string, payload: Payload, takenMs: number): Metric[] {
  const table = known.life(part)?.table;
  const only = takenMs > known.newestMs ? "other" : true;
  return payload.metrics.filter((metric) => table?.apply(metric, payload.timestamp, only) === "applied");
}

/** True when the part was in doubt and the snapshot, taken after what made it so, has settled that. */
function settles(known: KnownNode, part: string, takenMs: number): boolean {
  const sinceMs = known.doubts.get(part);
  if (sinceMs === undefined || takenMs < sinceMs) return false;
  return known.doubts.delete(part);
}

/** What a birth would be: the mark is between the two agents. */
export function withoutMark(payload: Payload): Payload {
  const birth = parsePayload(rewritePayload(payload, { dropFields: [SNAPSHOT_FIELD] }));
  // It has been read before, and one field less cannot spoil it.
  return typeof birth === "string" ? payload : birth;
}
