// One edge node as the business side hears it: born once a connection and again when there is reason to, then data in one gapless
// seq, then dead. What cannot be said now waits; what was said and not handed over is said again after the next birth, as
// history where the birth has told newer values.

import type { Life } from "../../../../shared/sparkplug/birth.ts";
import type { Metric, Payload } from "../../../../shared/sparkplug/payload.ts";
import { formatTopic } from "../../../../shared/sparkplug/topic.ts";
import type { MetricFate } from "./follower.ts";
import { type KnownNode, NODE_PART } from "./known-node.ts";
import type { Line } from "./line.ts";
import {
  phraseBirth,
  phraseData,
  phraseDeath,
  phraseDeviceDeath,
  phraseDeviceRebirth,
  phraseRebirth,
  phraseSame,
  phraseValues,
} from "./phrases.ts";
import type { Settle } from "./settling.ts";

export type DataItem = {
  readonly part: string;
  /** Whose metrics it names. */
  readonly life: Life | undefined;
  readonly payload: Payload;
  readonly fates: readonly MetricFate[];
  readonly settle: Settle;
};

/** Something else that counts as said when the next births are. */
type ToldItem = { readonly settle: Settle };

export type VoiceRim = {
  wall(): number;
  /** A birth was published: for the retained copies. */
  certify(topic: string, payload: Uint8Array): void;
  /** The broker takes no packet of this size. */
  oversize(topic: string, bytes: number): void;
  /** What it has published of the node has changed. */
  touch(known: KnownNode): void;
  count(what: VoiceCount): void;
};

export type VoiceCount = "births" | "deviceBirths" | "data" | "deaths" | "deviceDeaths";

const SEQ_COUNT = 256;
const NOBODY: Settle = () => {};
/** Of an edge node without a birth hosts take nothing: it must not be held for one that never comes. */
const UNBORN = ["lost/oversize", "the broker does not take the birth of its edge node"] as const;

export class Voice {
  readonly known: KnownNode;
  readonly #rim: VoiceRim;
  line: Line | undefined;
  /** The hosts of this connection know its birth. */
  isBorn = false;
  /** The broker takes no birth of this size: then no data either. */
  isMute = false;
  bornSteadyMs = Number.NEGATIVE_INFINITY;
  /** When a host has asked too soon after the last birth: at what time it gets one. */
  rebirthAtMs: number | undefined;
  /** Devices whose birth the broker did not take. */
  readonly #muteDevices = new Set<string>();
  /** Devices that the hosts of this connection hold for alive. */
  readonly #bornDevices = new Set<string>();
  #seq = 0;
  #waiting: (DataItem | ToldItem)[] = [];

  constructor(known: KnownNode, rim: VoiceRim) {
    this.known = known;
    this.#rim = rim;
  }

  /** Messages that wait for the connection. */
  get waiting(): number {
    return this.#waiting.length;
  }

  get canSpeak(): boolean {
    return this.line?.session.isOnline === true;
  }

  /** The connection is gone, and with it what the hosts are sure of. */
  lose(): void {
    this.isBorn = false;
    this.isMute = false;
    this.#muteDevices.clear();
    this.#bornDevices.clear();
  }

  /** NBIRTH and the DBIRTHs of all devices that are alive, with current values; then what has waited. */
  birth(steadyMs: number, settle: Settle = NOBODY): void {
    const life = this.known.edge.life;
    if (!this.canSpeak || life === undefined) {
      this.#tellLater(settle);
      return;
    }
    this.#beginBirth(steadyMs, phraseRebirth(life, this.#bdSeq, this.#rim.wall()), settle);
    if (this.isBorn)
      for (const [device, each] of this.known.edge.devices)
        if (each.isOnline) this.#deviceBirth(device, each);
    this.#drain();
  }

  /** The NBIRTH as it came; the DBIRTHs come behind it. */
  firstBirth(steadyMs: number, payload: Payload, settle: Settle): void {
    if (!this.canSpeak) {
      this.#tellLater(settle);
      return;
    }
    this.#beginBirth(steadyMs, phraseBirth(payload, this.#bdSeq), settle);
    this.#drain();
  }

  /** The DBIRTH as it came, or as it would be told now. */
  deviceBirth(device: string, payload: Payload | undefined, settle: Settle = NOBODY): void {
    const life = this.known.edge.devices.get(device);
    if (this.isMute) {
      settle(...UNBORN);
      return;
    }
    if (!this.isBorn || life === undefined) {
      this.#tellLater(settle);
      return;
    }
    this.#deviceBirth(device, life, payload, settle);
  }

  data(item: DataItem): void {
    if (this.isMute || this.#muteDevices.has(item.part)) item.settle(...UNBORN);
    else if (!this.isBorn) this.#waiting.push(item);
    else this.#sayData(item);
  }

  /** Values that a snapshot knew newer. */
  values(part: string, metrics: readonly Metric[]): void {
    if (!this.isBorn) return;
    const topic = this.#topic(part, "NDATA", "DDATA");
    this.#say(topic, (seq) => phraseValues(metrics, seq, this.#rim.wall()), NOBODY, "data");
  }

  /** The DDEATH as it came, or one of our own. */
  deviceDeath(device: string, payload: Payload | undefined, settle: Settle = NOBODY): void {
    if (this.isMute) {
      settle(...UNBORN);
      return;
    }
    if (!this.isBorn) {
      this.#tellLater(settle);
      return;
    }
    this.#sayDeviceDeath(device, payload, settle);
  }

  #sayDeviceDeath(device: string, payload: Payload | undefined, settle: Settle): void {
    this.#bornDevices.delete(device);
    const phrase = (seq: number) =>
      payload === undefined ? phraseDeviceDeath(seq, this.#rim.wall()) : phraseSame(payload, seq);
    this.#say(this.#topic(device, "NDEATH", "DDEATH"), phrase, settle, "deviceDeaths");
  }

  /** The NDEATH of the last birth that was published, if there was one. Acknowledged, so that a goodbye can wait for it. */
  death(settle: Settle = NOBODY): void {
    const { publishedBdSeq } = this.known;
    if (publishedBdSeq === undefined) {
      settle("forwarded");
      this.#giveUp();
      return;
    }
    if (!this.canSpeak) {
      this.#tellLater(settle);
      return;
    }
    this.#sayDeath(publishedBdSeq);
    settle("forwarded");
    this.#giveUp();
  }

  #sayDeath(publishedBdSeq: number): void {
    this.isBorn = false;
    this.known.publishedBdSeq = undefined;
    this.#rim.touch(this.known);
    this.#rim.count("deaths");
    const topic = this.#topic(NODE_PART, "NDEATH", "DDEATH");
    this.line?.publishDeath(topic, phraseDeath(publishedBdSeq, this.#rim.wall()));
  }

  /** The next births will have told it. */
  #tellLater(settle: Settle): void {
    if (settle !== NOBODY) this.#waiting.push({ settle });
  }

  get #bdSeq(): number {
    return this.line?.bdSeq ?? 0;
  }

  #beginBirth(steadyMs: number, payload: Uint8Array, settle: Settle): void {
    this.#seq = 0;
    this.rebirthAtMs = undefined;
    this.bornSteadyMs = steadyMs;
    this.#muteDevices.clear();
    this.#bornDevices.clear();
    const topic = this.#topic(NODE_PART, "NBIRTH", "DBIRTH");
    this.isBorn = this.#say(topic, () => payload, settle, "births");
    this.isMute = !this.isBorn;
    if (this.isMute) {
      // Hosts would hold its earlier life for the present one, with the values of then.
      if (this.known.publishedBdSeq !== undefined) this.#sayDeath(this.known.publishedBdSeq);
      return;
    }
    this.known.publishedBdSeq = this.#bdSeq;
    this.#rim.touch(this.known);
    this.#rim.certify(topic, payload);
  }

  #deviceBirth(device: string, life: Life, asItCame?: Payload, settle: Settle = NOBODY): void {
    const topic = this.#topic(device, "NBIRTH", "DBIRTH");
    let bytes: Uint8Array = new Uint8Array();
    const phrase = (seq: number) => {
      bytes =
        asItCame === undefined ? phraseDeviceRebirth(life, seq, this.#rim.wall()) : phraseSame(asItCame, seq);
      return bytes;
    };
    this.#muteDevices.delete(device);
    if (this.#say(topic, phrase, settle, "deviceBirths")) {
      this.#bornDevices.add(device);
      this.#rim.certify(topic, bytes);
      return;
    }
    this.#muteDevices.add(device);
    // Hosts would hold its earlier life for the present one, with the values of then.
    if (this.#bornDevices.has(device)) this.#sayDeviceDeath(device, undefined, NOBODY);
  }

  #sayData(item: DataItem): void {
    const { part, payload, fates, settle } = item;
    const topic = this.#topic(part, "NDATA", "DDATA");
    const again = () => this.#waiting.push(item);
    this.#say(topic, (seq) => phraseData(payload, seq, fates), settle, "data", again);
  }

  /** What has waited, behind the births that have just been said. */
  #drain(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const item of waiting) {
      if (this.isMute) item.settle(...UNBORN);
      else if (!("payload" in item)) item.settle("forwarded");
      else if (item.life !== this.known.life(item.part)) item.settle("filtered/old-life");
      else
        this.#sayData({
          ...item,
          fates: item.payload.metrics.map((metric, index) => judge(metric, index, item)),
        });
    }
  }

  /** It is dead: nothing that waits will be said. */
  #giveUp(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const item of waiting) item.settle("payload" in item ? "filtered/node-dead" : "forwarded");
  }

  /** False when the broker takes no packet of this size: then its seq is not used. `again`: it was not handed over. */
  #say(
    topic: string,
    phrase: (seq: number) => Uint8Array,
    settle: Settle,
    what: VoiceCount,
    // What else is lost with the connection is told by the births of the next one.
    again: () => void = () => this.#tellLater(settle),
  ): boolean {
    const payload = phrase(this.#seq);
    if (this.line?.takes(topic, payload.length) === false) {
      this.#rim.oversize(topic, payload.length);
      settle("lost/oversize", `${payload.length} bytes, and the broker takes less`);
      return false;
    }
    this.#seq = (this.#seq + 1) % SEQ_COUNT;
    this.#rim.count(what);
    const done = (problem?: string) => (problem === undefined ? settle("forwarded") : again());
    this.line?.session.publish({ topic, payload, qos: 0, retain: false, done });
    return true;
  }

  #topic(
    part: string,
    nodeType: "NBIRTH" | "NDATA" | "NDEATH",
    deviceType: "DBIRTH" | "DDATA" | "DDEATH",
  ): string {
    const { group, node } = this.known;
    return part === NODE_PART
      ? formatTopic({ type: nodeType, group, node, device: undefined })
      : formatTopic({ type: deviceType, group, node, device: part });
  }
}

/** Behind a birth that has told the current values. */
function judge(metric: Metric, index: number, { life, payload, fates }: DataItem): MetricFate {
  const fate = fates[index];
  if (fate === "unresolved" || fate === "history" || life === undefined) return fate ?? "unresolved";
  return life.table.apply(metric, payload.timestamp, true) === "older" ? "history" : "as-is";
}
