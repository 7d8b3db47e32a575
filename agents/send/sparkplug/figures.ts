// What the status page, /api/status and the metrics say of Sparkplug at one source.
import type { SparkplugConfig } from "../sparkplug-config.ts";
import type { Follower } from "./follower.ts";
import type { Voice, VoiceState } from "./voice.ts";

/** So many edge nodes are shown one by one. */
const CARDS_MAX = 100;

export type SparkplugFigures = {
  readonly nodes: { readonly online: number; readonly offline: number };
  readonly devices: { readonly online: number; readonly offline: number };
  readonly metrics: number;
  readonly memoryBytes: number;
  readonly births: number;
  readonly deaths: number;
  /** What was missed, by kind. */
  readonly troubles: Record<string, number>;
  /** Edge nodes that had something missed and have not been born again yet. */
  readonly incomplete: number;
  readonly rebirths: { readonly asked: number; readonly waiting: number; readonly heldBack: number };
  readonly malformed: Record<string, number>;
  /** Messages of edge nodes that are not followed, by the limit that keeps them out. */
  readonly refused: Record<string, number>;
  readonly evicted: number;
  readonly historical: number;
  readonly repeats: number;
  readonly staleDeaths: number;
  readonly presumedDead: number;
  readonly snapshots: number;
  readonly snapshotsTooLarge: number;
  /** As the edge nodes see the agent. */
  readonly host: {
    readonly id: string | null;
    readonly state: VoiceState;
    readonly problem: string | null;
  };
  /** The first hundred of the edge nodes, those that are not well first. */
  readonly nodeList: readonly {
    readonly group: string;
    readonly node: string;
    readonly online: boolean;
    readonly complete: boolean;
    readonly devices: number;
    readonly metrics: number;
  }[];
};

export function collectFigures(
  config: SparkplugConfig,
  follower: Follower,
  voices: readonly Voice[],
): SparkplugFigures {
  const { book, rebirths, counts } = follower;
  const nodes = { online: 0, offline: 0 };
  const devices = { online: 0, offline: 0 };
  let metrics = 0;
  let incomplete = 0;
  const cards: SparkplugFigures["nodeList"][number][] = [];
  for (const edge of book) {
    nodes[edge.isOnline ? "online" : "offline"]++;
    for (const { isOnline } of edge.devices.values()) devices[isOnline ? "online" : "offline"]++;
    metrics += edge.metrics;
    if (!edge.isComplete) incomplete++;
    const { group, node, isOnline: online, isComplete: complete } = edge;
    cards.push({ group, node, online, complete, devices: edge.devices.size, metrics: edge.metrics });
  }
  const rank = ({ online, complete }: (typeof cards)[number]) => (online ? 1 : 0) + (complete ? 1 : 0);
  const problem = voices.find((voice) => voice.problem !== undefined)?.problem;
  const state = voices.every((voice) => voice.state === "online")
    ? "online"
    : (voices[0]?.state ?? "resting");
  return {
    nodes,
    devices,
    metrics,
    memoryBytes: book.bytes,
    births: counts.births,
    deaths: counts.deaths,
    troubles: Object.fromEntries(counts.troubles),
    incomplete,
    rebirths: { asked: rebirths.asked, waiting: rebirths.waiting, heldBack: rebirths.heldBack },
    malformed: Object.fromEntries(counts.malformed),
    refused: Object.fromEntries(counts.refused),
    evicted: book.evicted,
    historical: counts.historical,
    repeats: counts.repeats,
    staleDeaths: counts.staleDeaths,
    presumedDead: counts.presumedDead,
    snapshots: counts.snapshots,
    snapshotsTooLarge: counts.snapshotsTooLarge,
    host: { id: config.primaryHostId ?? null, state, problem: problem ?? null },
    nodeList: cards.sort((a, b) => rank(a) - rank(b)).slice(0, CARDS_MAX),
  };
}
