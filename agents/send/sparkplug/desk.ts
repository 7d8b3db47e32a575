// Sparkplug at one source: stands between the source and the agent's core, shows the follower every message on its way, keeps
// commands in the plant, hands snapshots to the core and the requests for rebirths to the voice.
//
//   source ─► desk ─────────────► core          every message, unchanged; commands and STATE set aside
//              └─► follower ─► snapshots ─► core          on the agent's own topics and its last stream
//                     └─► requests ─► voice ─► edge nodes           in the plant; nothing comes back over the link
import { type Logger, LogLimiter } from "../../../shared/log.ts";
import type { Message, Qos } from "../../../shared/message.ts";
import { REBIRTH } from "../../../shared/sparkplug/birth.ts";
import { encodeMetric, encodePayload } from "../../../shared/sparkplug/rewrite.ts";
import { formatSnapshotTopic } from "../../../shared/sparkplug/snapshot.ts";
import { formatTopic } from "../../../shared/sparkplug/topic.ts";
import type { Keeper } from "../ingress/listen/keeper.ts";
import type { LossReason } from "../intake.ts";
import type { Notes } from "../journal.ts";
import type { SparkplugConfig } from "../sparkplug-config.ts";
import { collectFigures, type SparkplugFigures } from "./figures.ts";
import { Follower, type Given } from "./follower.ts";
import type { Ask } from "./rebirths.ts";
import type { SnapshotKey } from "./snapshot-plan.ts";
import type { Voice } from "./voice.ts";

const TICK_MS = 100;
const LOG_MS = 10_000;
/** Snapshots that have not left yet: above it no more are made, so that a slow link does not collect them. */
const OWN_WAITING_MAX = 256;

/** What the desk needs of the core. */
export type DeskCore = Keeper & {
  readonly ownWaiting: number;
  readonly messageBytesMax: number;
  acceptOwn(message: Message): boolean;
  filterOf(topic: string): string | undefined;
};

/** What the desk needs to know of its source. */
export type DeskSource = {
  /** Whether it takes messages, and they are kept. */
  isReady(): boolean;
  /** How often it has connected. */
  sessions(): number;
};

export type DeskRim = { readonly log: Logger; clock(): number; steady(): number };

export class SparkplugDesk implements Keeper {
  readonly #config: SparkplugConfig;
  readonly #name: string;
  readonly #core: DeskCore;
  readonly #rim: DeskRim;
  readonly #follower: Follower;
  readonly #limiter = new LogLimiter(LOG_MS);
  #voices: readonly Voice[] = [];
  #source: DeskSource = { isReady: () => false, sessions: () => 0 };
  #wasReady = false;
  /** Of the source, when it was last ready; undefined: never yet. */
  #sessions: number | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(config: SparkplugConfig, source: string, core: DeskCore, rim: DeskRim) {
    this.#config = config;
    this.#name = source;
    this.#core = core;
    this.#rim = rim;
    this.#follower = new Follower(config, rim.steady());
    this.#follower.remember(core.readNotes(this.#notePrefix));
  }

  get #notePrefix(): string {
    return `sparkplug/${this.#name}/`;
  }

  get figures(): SparkplugFigures {
    return collectFigures(this.#config, this.#follower, this.#voices);
  }

  /** Begins to speak. */
  start(voices: readonly Voice[], source: DeskSource): void {
    this.#voices = voices;
    this.#source = source;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  /** Says goodbye to the edge nodes, before the source stops taking what they send. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#voices.map((voice) => voice.close()));
  }

  accept(source: string, message: Message, onSettled?: () => void, notes?: Notes): void {
    const { topic, payload } = message;
    const isKeptBack = this.#core.filterOf(topic) !== undefined;
    const rule = this.#follower.take(topic, payload, isKeptBack, this.#rim.steady(), (reason) =>
      this.#warn(reason, `${reason} in a Sparkplug message, which crosses as it is`, {
        topic: topic.slice(0, 256),
      }),
    );
    const all = this.#addNotes(notes);
    // A rule of the configuration comes before ours.
    if (rule === undefined || isKeptBack) this.#core.accept(source, message, onSettled, all);
    else this.#core.setAside(source, rule, message.qos, onSettled ?? NOTHING, notes);
  }

  refuse(
    source: string,
    reason: LossReason,
    topic: string,
    payloadBytes: number,
    qos: Qos,
    onSettled: () => void,
    notes?: Notes,
  ): void {
    this.#core.refuse(source, reason, topic, payloadBytes, qos, onSettled, notes);
  }

  setAside(source: string, rule: string, qos: Qos, onSettled: () => void, notes?: Notes): void {
    this.#core.setAside(source, rule, qos, onSettled, notes);
  }

  note(notes: Notes, onKept: () => void): void {
    this.#core.note(notes, onKept);
  }

  readNotes(prefix: string): Map<string, string> {
    return this.#core.readNotes(prefix);
  }

  /** What is known of who is alive is kept with the message that told it. */
  #addNotes(notes: Notes | undefined): Notes | undefined {
    const known = this.#follower.drainNotes();
    if (known === undefined) return notes;
    const all = new Map(notes);
    for (const [name, value] of known) all.set(this.#notePrefix + name, value);
    return all;
  }

  #tick(): void {
    const isReady = this.#source.isReady();
    if (isReady) this.#noteReady(this.#source.sessions());
    this.#wasReady = isReady;
    for (const voice of this.#voices) voice.setReady(isReady);
    const nowMs = this.#rim.steady();
    if (isReady) {
      this.#follower.judgeSuspects(nowMs, this.#rim.clock());
      this.#follower.askAround(nowMs, (ask) => this.#ask(ask));
    }
    if (this.#core.ownWaiting < OWN_WAITING_MAX)
      this.#follower.tellDue(nowMs, this.#rim.clock(), (key, payload) => this.#tell(key, payload));
    const notes = this.#addNotes(undefined);
    if (notes !== undefined) this.#core.note(notes, NOTHING);
  }

  /** The source may have been away and back between two ticks, and even before the first. */
  #noteReady(sessions: number): void {
    const isFirst = this.#sessions === undefined;
    if (isFirst && sessions <= 1) this.#follower.doubtGhosts();
    else if (isFirst || !this.#wasReady || sessions !== this.#sessions) this.#follower.doubt();
    this.#sessions = sessions;
  }

  #ask({ group, node, reason }: Ask): boolean {
    const timestamp = BigInt(Math.trunc(this.#rim.clock()));
    const payload = encodePayload(
      timestamp,
      [encodeMetric({ name: REBIRTH, timestamp, value: true })],
      undefined,
    );
    const topic = formatTopic({ type: "NCMD", group, node, device: undefined });
    const voice = this.#voices[0];
    if (voice?.say(topic, payload) !== true) return false;
    const alike = this.#limiter.allow(`rebirth ${reason}`, this.#rim.steady());
    if (alike !== undefined)
      this.#rim.log.info(
        { source: this.#name, group, node, reason, alike },
        `source ${this.#name}: asked edge node ${group}/${node} to be born again: ${reason}`,
      );
    return true;
  }

  #tell(key: SnapshotKey, payload: Uint8Array): Given {
    const topic = formatSnapshotTopic(key);
    if (payload.length > this.#core.messageBytesMax) {
      this.#warn("snapshot", `the birth of ${topic} has ${payload.length} bytes, over message_bytes_max`, {});
      return "too-large";
    }
    const acceptedMs = this.#rim.clock();
    const message = { topic, payload, qos: 0, retain: false, properties: undefined, acceptedMs } as const;
    return this.#core.ownWaiting < OWN_WAITING_MAX && this.#core.acceptOwn(message) ? "taken" : "full";
  }

  #warn(kind: string, sentence: string, details: object): void {
    const alike = this.#limiter.allow(kind, this.#rim.steady());
    if (alike === undefined) return;
    this.#rim.log.warn({ source: this.#name, alike, ...details }, `source ${this.#name}: ${sentence}`);
  }
}

function NOTHING(): void {}
