// Follows the edge nodes of one source by the messages that it takes in: keeps what a birth snapshot needs, notices what was
// missed, and says which messages stay in the plant. The messages themselves cross unchanged, malformed ones too: those
// are counted, and nothing is learnt from them.
// Pure; the time is an argument. Bounded by the limits of the book.
import { BD_SEQ, type Trouble } from "../../../shared/sparkplug/birth.ts";
import { Book, type BookRefusal } from "../../../shared/sparkplug/book.ts";
import { type OpenFault, openPayload } from "../../../shared/sparkplug/inflate.ts";
import { type Payload, readLong } from "../../../shared/sparkplug/payload.ts";
import { takeSnapshot, tellDeath } from "../../../shared/sparkplug/snapshot.ts";
import {
  type EdgeTopic,
  isSparkplugTopic,
  parseTopic,
  type TopicFault,
} from "../../../shared/sparkplug/topic.ts";
import type { SparkplugConfig } from "../sparkplug-config.ts";
import { formatGhost, Ghosts } from "./ghosts.ts";
import { type Ask, Rebirths } from "./rebirths.ts";
import { type SnapshotKey, SnapshotPlan } from "./snapshot-plan.ts";

/** The rules under which commands and the states of host applications stay in the plant. */
export const COMMAND_RULE = "sparkplug-command";
export const STATE_RULE = "sparkplug-state";

export type Malformed = TopicFault | OpenFault;

/** After a lost connection an edge node may take so many times rebirth_min_seconds to show that it lives, and at least so long. */
const PATIENCE = 2;
const PATIENCE_MS_MIN = 10_000;
/** Snapshots at a time: what the link does not take now is not worked out now. */
const SNAPSHOTS_PER_TICK = 200;

export type FollowerCounts = {
  births: number;
  deaths: number;
  staleDeaths: number;
  /** Edge nodes that were not heard of again after a lost connection. */
  presumedDead: number;
  repeats: number;
  historical: number;
  snapshots: number;
  /** Snapshots larger than a message may be. */
  snapshotsTooLarge: number;
  readonly troubles: Map<Trouble, number>;
  readonly malformed: Map<Malformed, number>;
  /** Messages of edge nodes that are not followed because of a limit. */
  readonly refused: Map<BookRefusal, number>;
};

export class Follower {
  readonly book: Book;
  readonly rebirths: Rebirths;
  readonly counts: FollowerCounts = {
    births: 0,
    deaths: 0,
    staleDeaths: 0,
    presumedDead: 0,
    repeats: 0,
    historical: 0,
    snapshots: 0,
    snapshotsTooLarge: 0,
    troubles: new Map(),
    malformed: new Map(),
    refused: new Map(),
  };
  readonly #config: SparkplugConfig;
  readonly #groups: ReadonlySet<string> | undefined;
  readonly #plan: SnapshotPlan;
  readonly #ghosts = new Ghosts();
  /** Edge nodes that have to show that they live, and when who does not is taken for dead: only once it was asked. */
  readonly #suspects = new Map<string, { readonly group: string; readonly node: string; dueMs: number }>();
  /** Who was found dead without having been known in this run. */
  readonly #obituaries = new Map<string, { readonly key: SnapshotKey; readonly payload: Uint8Array }>();
  #notes = new Map<string, string | undefined>();

  constructor(config: SparkplugConfig, nowMs: number) {
    this.#config = config;
    const { nodesMax, metricsPerNodeMax: metricsMax, memoryBytesMax: bytesMax } = config;
    this.book = new Book({ nodesMax, metricsMax, bytesMax });
    this.rebirths = new Rebirths(
      { minMs: config.rebirthMinMs, perSecondMax: config.rebirthsPerSecondMax, nodesMax },
      nowMs,
    );
    this.#groups = config.groups === undefined ? undefined : new Set(config.groups);
    this.#plan = new SnapshotPlan(config.snapshotMs);
  }

  /** Whom the last run knew to be alive: by GROUP/NODE what drainNotes() had of them. */
  remember(notes: ReadonlyMap<string, string>): void {
    this.#ghosts.remember(notes);
  }

  /** What is to be kept about who is alive, since the last call; undefined: nothing, and undefined for a name: it goes. */
  drainNotes(): ReadonlyMap<string, string | undefined> | undefined {
    if (this.#notes.size === 0) return undefined;
    const notes = this.#notes;
    this.#notes = new Map();
    return notes;
  }

  /**
   * Learns from a message; the rule that keeps it in the plant, or undefined. What a filter of the configuration keeps back
   * must not cross in a snapshot either: then `isKeptBack`. Calls onMalformed with the reason when it is none.
   */
  take(
    topic: string,
    payload: Uint8Array,
    isKeptBack: boolean,
    nowMs: number,
    onMalformed: (reason: Malformed) => void,
  ): string | undefined {
    if (!isSparkplugTopic(topic)) return undefined;
    const parsed = parseTopic(topic);
    if (typeof parsed === "string") {
      this.#noteMalformed(parsed, onMalformed);
      return undefined;
    }
    if (parsed.type === "STATE") return STATE_RULE;
    if (parsed.type === "NCMD" || parsed.type === "DCMD") return COMMAND_RULE;
    if (this.#groups?.has(parsed.group) === false) return undefined;
    const opened = openPayload(payload);
    if (typeof opened === "string") this.#noteMalformed(opened, onMalformed);
    else if (isKeptBack) this.book.find(parsed.group, parsed.node)?.pass(parsed, opened);
    else this.#follow(parsed, opened, nowMs);
    return undefined;
  }

  #follow(topic: EdgeTopic, payload: Payload, nowMs: number): void {
    const { group, node, device } = topic;
    const { edge, event, refusal } = this.book.take(topic, payload, nowMs);
    const { counts } = this;
    // The death of an earlier life is no sign of life.
    if (topic.type !== "NDEATH" || event.kind === "death") this.#suspects.delete(`${group}/${node}`);
    if (topic.type === "NDEATH" && edge === undefined) this.#layGhost(topic, payload);
    if (refusal !== undefined) {
      counts.refused.set(refusal, (counts.refused.get(refusal) ?? 0) + 1);
      return;
    }
    counts.historical += event.historical;
    switch (event.kind) {
      case "birth":
        counts.births++;
        this.#ghosts.lay(group, node);
        if (edge?.life !== undefined)
          this.#notes.set(`${group}/${node}`, formatGhost(edge.bdSeq, edge.life.timestamp));
        this.rebirths.settle(group, node);
        this.#hurryAll(group, node, nowMs);
        break;
      case "death":
        counts.deaths++;
        this.#notes.set(`${group}/${node}`, undefined);
        this.rebirths.settle(group, node);
        this.#hurryAll(group, node, nowMs);
        break;
      case "device-birth":
      case "device-death":
        if (event.kind === "device-birth") counts.births++;
        else counts.deaths++;
        this.#plan.hurry({ group, node, device }, nowMs);
        break;
      case "stale-death":
        counts.staleDeaths++;
        break;
      case "repeat":
        counts.repeats++;
        break;
    }
    if (event.trouble === undefined) return;
    this.#noteTrouble({ group, node, reason: event.trouble });
    // Those that come behind will learn from it that values may be missing.
    if (edge !== undefined && event.trouble === "sequence-gap")
      this.#plan.hurry({ group, node, device: undefined }, nowMs);
  }

  #hurryAll(group: string, node: string, nowMs: number): void {
    this.#plan.hurry({ group, node, device: undefined }, nowMs);
    for (const device of this.book.find(group, node)?.devices.keys() ?? [])
      this.#plan.hurry({ group, node, device }, nowMs);
  }

  #noteMalformed(reason: Malformed, onMalformed: (reason: Malformed) => void): void {
    const { malformed } = this.counts;
    malformed.set(reason, (malformed.get(reason) ?? 0) + 1);
    onMalformed(reason);
  }

  /**
   * The source was without its broker for a while: births and data that it missed are not sent again. So all are asked to be
   * born again, and who was alive has to show that it still is.
   */
  doubt(): void {
    for (const edge of this.book) {
      const { group, node, isOnline } = edge;
      if (this.#config.rebirth) edge.isComplete = false;
      this.#suspect(group, node, isOnline);
    }
    this.doubtGhosts();
  }

  /** The same for those of whom only the last run knew. */
  doubtGhosts(): void {
    for (const { group, node } of this.#ghosts) this.#suspect(group, node, true);
  }

  #suspect(group: string, node: string, isOnline: boolean): void {
    if (!this.#config.rebirth) return;
    this.#noteTrouble({ group, node, reason: "connection-lost" });
    if (isOnline) this.#suspects.set(`${group}/${node}`, { group, node, dueMs: Number.POSITIVE_INFINITY });
  }

  /** To be called while the source is connected. */
  judgeSuspects(nowMs: number, wallMs: number): void {
    for (const [key, { group, node, dueMs }] of this.#suspects) {
      if (dueMs > nowMs) continue;
      this.#suspects.delete(key);
      this.counts.presumedDead++;
      this.#notes.set(key, undefined);
      const edge = this.book.find(group, node);
      const ghost = this.#ghosts.find(group, node);
      this.#ghosts.lay(group, node);
      edge?.presumeDead(nowMs);
      if (edge !== undefined) this.#hurryAll(group, node, nowMs);
      else if (ghost !== undefined) {
        const payload = tellDeath(ghost.bdSeq, ghost.born, wallMs);
        this.#obituaries.set(key, { key: { group, node, device: undefined }, payload });
      }
    }
  }

  /** The death of a life that the last run knew. */
  #layGhost({ group, node }: EdgeTopic, payload: Payload): void {
    const ghost = this.#ghosts.find(group, node);
    const metric = payload.metrics.find(({ name }) => name === BD_SEQ);
    const bdSeq = metric === undefined ? undefined : readLong(metric);
    if (ghost === undefined || (bdSeq !== undefined && ghost.bdSeq !== undefined && bdSeq !== ghost.bdSeq))
      return;
    this.#ghosts.lay(group, node);
    this.#suspects.delete(`${group}/${node}`);
    this.#notes.set(`${group}/${node}`, undefined);
  }

  #noteTrouble(ask: Ask): void {
    const { troubles } = this.counts;
    troubles.set(ask.reason, (troubles.get(ask.reason) ?? 0) + 1);
    if (this.#config.rebirth) this.rebirths.want(ask);
  }

  /** Asks who is to be asked. */
  askAround(nowMs: number, say: (ask: Ask) => boolean): void {
    const patienceMs = Math.max(PATIENCE * this.#config.rebirthMinMs, PATIENCE_MS_MIN);
    this.rebirths.tick(nowMs, (ask) => {
      if (!say(ask)) return false;
      const suspect = this.#suspects.get(`${ask.group}/${ask.node}`);
      if (suspect !== undefined) suspect.dueMs = Math.min(suspect.dueMs, nowMs + patienceMs);
      return true;
    });
  }

  /**
   * Hands over the snapshots that are due, until `give` takes no more. Times: `nowMs` of the steady clock that also take() is
   * given, `wallMs` for the snapshot itself.
   */
  tellDue(nowMs: number, wallMs: number, give: (key: SnapshotKey, payload: Uint8Array) => Given): void {
    for (const [name, { key, payload }] of this.#obituaries) {
      if (give(key, payload) === "full") return;
      this.counts.snapshots++;
      this.#obituaries.delete(name);
    }
    for (const key of this.#plan.listDue(nowMs).slice(0, SNAPSHOTS_PER_TICK)) {
      const edge = this.book.find(key.group, key.node);
      const payload = edge === undefined ? undefined : takeSnapshot(edge, key.device, wallMs);
      if (payload === undefined) {
        this.#plan.forget(key);
        continue;
      }
      const given = give(key, payload);
      if (given === "full") return;
      if (given === "taken") this.counts.snapshots++;
      else this.counts.snapshotsTooLarge++;
      this.#plan.noteSent(key, nowMs);
    }
  }
}

/** full: there is no room now. */
export type Given = "taken" | "too-large" | "full";
