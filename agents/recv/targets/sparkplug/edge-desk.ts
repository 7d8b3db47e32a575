// Where messages, snapshots and commands come together: what each means is decided by the follower, and told by the speaker; what
// cannot be told yet is held. Every message is settled under a name, none twice.
import type { Counters } from "../../../../shared/counters.ts";
import type { Message } from "../../../../shared/message.ts";
import { matchTopic } from "../../../../shared/mqtt/topic.ts";
import { BD_SEQ } from "../../../../shared/sparkplug/birth.ts";
import { openPayload } from "../../../../shared/sparkplug/inflate.ts";
import {
  OWN_TOPICS,
  parseSnapshotTopic,
  readMark,
  type SnapshotTopic,
} from "../../../../shared/sparkplug/snapshot.ts";
import { isSparkplugTopic, isStateTopic, parseTopic } from "../../../../shared/sparkplug/topic.ts";
import type { Origin } from "../outcome.ts";
import { type CommandRefusal, isHostOnline, judgeCommand } from "./command.ts";
import { Follower, type Step } from "./follower.ts";
import { type Held, Holding } from "./holding.ts";
import { type KnownNode, NODE_PART } from "./known-node.ts";
import type { KnownNodes } from "./known-nodes.ts";
import type { Line } from "./line.ts";
import type { Command } from "./session.ts";
import { type Settle, Settling } from "./settling.ts";
import { mergeSnapshot, type SnapshotNews } from "./snapshots.ts";
import type { Speaker } from "./speaker.ts";

/** Messages that may be unsettled, beside those that are held. */
const WINDOW_MESSAGES = 16_384;
/** Payloads of unsettled messages. */
const UNSETTLED_BYTES_MAX = 67_108_864;
/** Messages between the cursor and the newest that was taken, settled ones included. */
const FLIGHTS_MAX = 400_000;

export type EdgeDeskOptions = {
  /** Filters of GROUP/NODE. */
  readonly nodes: readonly string[];
  readonly holdMs: number;
};

export type EdgeDeskRim = {
  steady(): number;
  refused(reason: CommandRefusal, topic: string): void;
  unreadable(reason: string, topic: string): void;
  /** A birth for which there is no room. */
  noRoom(why: string, topic: string): void;
};

export class EdgeDesk {
  readonly #options: EdgeDeskOptions;
  readonly #known: KnownNodes;
  readonly #speaker: Speaker;
  readonly #counters: Counters;
  readonly #rim: EdgeDeskRim;
  readonly #follower: Follower;
  readonly #holding: Holding;
  /** When something was last taken, by the clock that only runs forward. */
  lastTakenMs = Number.NEGATIVE_INFINITY;
  #unsettled = 0;
  #unsettledBytes = 0;
  /** Told when the disk has what they changed. */
  readonly settling = new Settling();

  constructor(
    options: EdgeDeskOptions,
    known: KnownNodes,
    speaker: Speaker,
    counters: Counters,
    rim: EdgeDeskRim,
  ) {
    this.#options = options;
    this.#known = known;
    this.#speaker = speaker;
    this.#counters = counters;
    this.#rim = rim;
    this.#follower = new Follower(known);
    this.#holding = new Holding(options.holdMs);
  }

  /** Messages that wait for a birth or a snapshot. */
  get held(): number {
    return this.#holding.count;
  }

  /**
   * Messages that may be under way, as the runner counts them: from its cursor on. What waits for a snapshot keeps the
   * cursor behind it, and must not hold up the others.
   */
  get room(): number {
    if (this.#unsettledBytes > UNSETTLED_BYTES_MAX) return 0;
    return this.#unsettled - this.held >= WINDOW_MESSAGES ? 0 : FLIGHTS_MAX;
  }

  /** `origin` is undefined for what somebody sends again. */
  take({ topic, payload, acceptedMs }: Message, onSettled: Settle, origin?: Origin): void {
    const isInOrder = origin !== undefined && this.#known.noteTaken(origin);
    this.lastTakenMs = this.#rim.steady();
    let bytes = payload.length;
    this.#unsettled++;
    this.#unsettledBytes += bytes;
    const told: Settle = (outcome, detail) => {
      this.#unsettled--;
      this.#unsettledBytes -= bytes;
      onSettled(outcome, detail);
    };
    const settle: Settle = (outcome, detail) => this.settling.add(told, outcome, detail);
    if (topic.startsWith(OWN_TOPICS)) {
      this.#takeOwn(topic, payload, isInOrder, settle);
      return;
    }
    const parsed = isSparkplugTopic(topic) ? parseTopic(topic) : "other";
    if (typeof parsed === "string") settle("filtered/not-sparkplug");
    else if (parsed.type === "STATE") settle("filtered/state");
    else if (parsed.type === "NCMD" || parsed.type === "DCMD") settle("filtered/command");
    else if (!this.#isWanted(parsed.group, parsed.node)) settle("filtered/nodes");
    else {
      const opened = openPayload(payload);
      if (typeof opened === "string") {
        // Which aliases it would have given nobody can tell.
        if (parsed.type === "NBIRTH" || parsed.type === "DBIRTH")
          this.#known.find(parsed.group, parsed.node)?.noteGap(acceptedMs);
        this.#refuseUnreadable(opened, topic, settle);
        return;
      }
      // What waits is what came out of a compressed one.
      const moreBytes = Math.max(0, opened.bytes.length - bytes);
      bytes += moreBytes;
      this.#unsettledBytes += moreBytes;
      const step = this.#follower.take(parsed, opened, acceptedMs, isInOrder);
      const sinceMs = this.#rim.steady();
      this.#perform(step, { topic: parsed, payload: opened, acceptedMs, isInOrder, settle, sinceMs });
    }
  }

  /** What a host application has sent. */
  command({ topic, payload, retain }: Command, line: Line): void {
    if (isStateTopic(topic)) {
      // It has missed the births, unless it was there before: nobody tells.
      if (isHostOnline(topic, payload, retain)) this.#speaker.askAll();
      return;
    }
    const verdict = judgeCommand(topic, payload, retain);
    if ("refuse" in verdict) {
      this.refuse(verdict.refuse, topic);
      return;
    }
    const known = this.#known.find(verdict.group, verdict.node);
    const voice = known && this.#speaker.find(known);
    // The main connection may hear what is for a node that has one of its own.
    if (voice?.line !== undefined && voice.line !== line) return;
    if (verdict.writes) this.refuse("write", topic);
    if (known === undefined || !this.#speaker.ask(known)) this.refuse("unknown", topic);
    else this.#counters.add("commands/answered");
  }

  refuse(reason: CommandRefusal, topic: string): void {
    this.#counters.add(`commands/refused/${reason}`);
    this.#rim.refused(reason, topic);
  }

  /** To be called every few milliseconds, with a clock that only runs forward. */
  tick(steadyMs: number): void {
    for (const { settle } of this.#holding.expire(steadyMs)) settle("filtered/unresolved");
  }

  #takeOwn(topic: string, payload: Uint8Array, isInOrder: boolean, settle: Settle): void {
    const parsed = parseSnapshotTopic(topic);
    if (parsed === undefined) {
      settle("filtered/tidegate-internal");
      return;
    }
    if (!this.#isWanted(parsed.group, parsed.node)) {
      settle("filtered/nodes");
      return;
    }
    const opened = openPayload(payload);
    const mark = typeof opened === "string" ? opened : readMark(opened);
    if (typeof opened === "string" || typeof mark === "string") {
      this.#refuseUnreadable(String(mark), topic, settle);
      return;
    }
    this.#counters.add("snapshots");
    this.#tell(mergeSnapshot(this.#known, parsed, opened, mark, isInOrder), parsed);
    settle("filtered/birth-snapshot");
  }

  #refuseUnreadable(reason: string, topic: string, settle: Settle): void {
    this.#counters.add(`malformed/${reason}`);
    this.#rim.unreadable(reason, topic);
    settle("lost/malformed", reason);
  }

  #isWanted(group: string, node: string): boolean {
    const name = `${group}/${node}`;
    return this.#options.nodes.some((filter) => matchTopic(filter, name));
  }

  #perform(step: Step, held: Held): void {
    const { settle } = held;
    switch (step.do) {
      case "settle":
        if (step.outcome === "lost/sparkplug-limit") this.#rim.noRoom(step.detail ?? "", held.topic.node);
        settle(step.outcome, step.detail);
        return;
      case "hold":
        if (!this.#holding.add(step.known, step.part, held)) settle("filtered/unresolved");
        return;
      case "birth":
        // Nobody can tell any more which life they were of.
        for (const older of this.#holding.takeOlder(
          step.known,
          held.isInOrder ? Number.POSITIVE_INFINITY : held.acceptedMs,
        ))
          older.settle("filtered/unresolved");
        this.#speaker.firstBirth(step.known, step.payload, settle);
        return;
      case "death":
        this.#speaker.death(step.known, settle);
        return;
      default:
        this.#performPart(step, held);
    }
  }

  #performPart(
    step: Extract<Step, { readonly part: string; readonly payload: unknown }>,
    { settle }: Held,
  ): void {
    const { known, part, payload } = step;
    const voice = this.#speaker.voice(known);
    if (step.do === "data") voice.data({ part, life: known.life(part), payload, fates: step.fates, settle });
    else if (step.do === "device-death") voice.deviceDeath(part, payload, settle);
    else {
      voice.deviceBirth(part, payload, settle);
      if (!known.doubts.has(part)) this.#release(known, part);
    }
  }

  /** What a snapshot has changed. */
  #tell(news: SnapshotNews, { group, node }: SnapshotTopic): void {
    switch (news.news) {
      case "nothing":
        if (news.why !== undefined) this.#rim.noRoom(news.why, `${group}/${node}`);
        return;
      case "birth":
        this.#speaker.birth(news.known, "snapshot");
        this.#releaseAll(news.known);
        return;
      case "death":
        this.#speaker.death(news.known);
        return;
      case "device-birth":
        this.#speaker.voice(news.known).deviceBirth(news.part, undefined);
        this.#release(news.known, news.part);
        return;
      case "device-death":
        this.#speaker.voice(news.known).deviceDeath(news.part, undefined);
        return;
      case "values":
        this.#tellValues(news);
        this.#release(news.known, news.part);
    }
  }

  #tellValues({ known, part, metrics, wasInDoubt }: Extract<SnapshotNews, { news: "values" }>): void {
    // A gap is behind us: hosts get all of it anew, the devices with it.
    if (wasInDoubt && part === NODE_PART) this.#speaker.birth(known, "gap");
    else {
      const told = metrics.filter(({ name }) => name !== BD_SEQ);
      if (told.length > 0) this.#speaker.voice(known).values(part, told);
    }
  }

  #release(known: KnownNode, part: string): void {
    if (this.#holding.count === 0) return;
    for (const held of this.#holding.take(known, part)) this.#retake(held);
  }

  #releaseAll(known: KnownNode): void {
    if (this.#holding.count === 0) return;
    for (const held of this.#holding.takeAll(known)) this.#retake(held);
  }

  #retake(held: Held): void {
    this.#perform(this.#follower.retake(held.topic, held.payload, held.acceptedMs), held);
  }
}
