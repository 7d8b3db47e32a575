// The receive side of Sparkplug without sockets and without a clock: a plant whose messages can be lost, held up and sent again, the
// desk and the speaker under test, connections that a test opens and cuts, and a strict host that listens to all of them.
import { EdgeDesk } from "../../../../../../agents/recv/targets/sparkplug/edge-desk.ts";
import type { KnownNode } from "../../../../../../agents/recv/targets/sparkplug/known-node.ts";
import { type KnownLimits, KnownNodes } from "../../../../../../agents/recv/targets/sparkplug/known-nodes.ts";
import type {
  EdgeSession,
  Outgoing,
  SessionEvents,
} from "../../../../../../agents/recv/targets/sparkplug/session.ts";
import { Speaker } from "../../../../../../agents/recv/targets/sparkplug/speaker.ts";
import type { SparkplugSettings } from "../../../../../../agents/recv/types/sparkplug.ts";
import { Counters } from "../../../../../../shared/counters.ts";
import type { Message } from "../../../../../../shared/message.ts";
import type { BrokerWill } from "../../../../../../shared/mqtt/connection.ts";
import { EdgeNode } from "../../../../../../shared/sparkplug/birth.ts";
import { parsePayload } from "../../../../../../shared/sparkplug/payload.ts";
import { formatSnapshotTopic, takeSnapshot } from "../../../../../../shared/sparkplug/snapshot.ts";
import { type EdgeTopic, parseTopic } from "../../../../../../shared/sparkplug/topic.ts";
import { encodeSparkplug, HostBook } from "../../../../../support/sparkplug-book.ts";

type Json = Readonly<Record<string, unknown>>;

/** Both clocks begin here, the edge nodes' and the send agent's. */
export const START = 1_700_000_000_000;

export const SETTINGS: SparkplugSettings = {
  nodes: ["#"],
  connections: "shared",
  connectionsMax: 100,
  certificates: false,
  deathAfterMs: 30_000,
  rebirthMinMs: 0,
  holdMs: 60_000,
  nodesMax: 1000,
  metricsMax: 100_000,
  stateBytesMax: 100_000_000,
};

/** A connection to the broker: what is published on it the host hears, if it is there. */
export class FakeSession implements EdgeSession {
  state: "connecting" | "connected" | "down" = "connecting";
  problem: string | undefined;
  connections = 0;
  isOnline = false;
  isListening = true;
  waitingBytes = 0;
  will: BrokerWill | undefined;
  isClosed = false;
  renewals = 0;
  /** Takes what is published and does not hand it over until the connection is cut. */
  isStuck = false;
  readonly #stuck: Outgoing[] = [];

  constructor(
    readonly of: string,
    private readonly nextWill: () => BrokerWill | undefined,
    private readonly events: SessionEvents,
    private readonly book: HostBook,
  ) {}

  connect(): void {}

  /** The broker takes it. */
  open(packetBytesMax?: number): void {
    this.will = this.nextWill();
    this.isOnline = true;
    this.state = "connected";
    this.connections++;
    const broker = {
      sessionPresent: false,
      receiveMaximum: 100,
      packetBytesMax,
      qosMax: 2,
      retainAvailable: true,
    };
    this.events.online(broker as never, []);
  }

  /** Without a goodbye: the broker publishes the will. */
  cut(id = "reset"): void {
    const was = this.isOnline;
    // It was asked for before the attempt.
    if (!was) this.nextWill();
    this.isOnline = false;
    this.isStuck = false;
    for (const { done } of this.#stuck.splice(0)) done?.("the connection was lost");
    if (was && this.will !== undefined) this.book.take(this.will.topic, this.will.payload, 1, false);
    this.events.offline({ id, code: undefined, sentence: id } as never, 0);
  }

  publish(outgoing: Outgoing): void {
    if (!this.isOnline) outgoing.done?.("it is not connected");
    else if (this.isStuck) this.#stuck.push(outgoing);
    else {
      const { topic, payload, qos, retain, done } = outgoing;
      this.book.take(topic, Buffer.from(payload), qos, retain);
      done?.();
    }
  }

  tick(): void {}

  renew(): void {
    this.renewals++;
    this.isOnline = false;
  }

  async close(_graceMs: number, withWill: boolean): Promise<void> {
    if (this.isOnline && withWill && this.will !== undefined)
      this.book.take(this.will.topic, this.will.payload, 1, false);
    this.isOnline = false;
    this.isClosed = true;
  }
}

export class Lab {
  readonly host = new HostBook();
  readonly sessions: FakeSession[] = [];
  readonly counters = new Counters();
  readonly known: KnownNodes;
  readonly speaker: Speaker;
  readonly desk: EdgeDesk;
  readonly outcomes: string[] = [];
  readonly refused: string[] = [];
  readonly bdSeqs = new Map<string, number>();
  /** What was lost on the way here, of all messages. */
  lost = 0;
  /** The clock here. */
  steadyMs = 0;
  /** The clocks of the plant. */
  plantMs = START;
  /** How far the send agent's is ahead of the edge nodes'. */
  agentOffMs = 0;

  constructor(over: Partial<SparkplugSettings> = {}, limits: Partial<KnownLimits> = {}) {
    const settings = { ...SETTINGS, ...over };
    this.known = new KnownNodes({ ...settings, bytesMax: settings.stateBytesMax, ...limits });
    this.speaker = new Speaker(settings, {
      wall: () => this.plantMs,
      steady: () => this.steadyMs,
      nextBdSeq: (unit) => {
        const next = ((this.bdSeqs.get(unit) ?? -1) + 1) % 256;
        this.bdSeqs.set(unit, next);
        return next;
      },
      certify: () => {},
      oversize: () => {},
      touch: (node) => this.known.touch(node, ""),
      count: (what) => this.counters.add(`published/${what}`),
      open: (node: KnownNode | undefined) => (nextWill, events) => {
        const session = new FakeSession(node?.key ?? "", nextWill, events, this.host);
        this.sessions.push(session);
        return session;
      },
      mainWill: () => undefined,
      online: () => {},
      offline: () => {},
      command: (command, line) => this.desk.command(command, line),
      oversizeCommand: () => {},
      protocolError: () => {},
      drained: () => {},
      noLine: (node, why) => this.refused.push(`${node.key}: ${why}`),
    });
    this.known.lost = () => this.lost;
    this.known.senderNowMs = () => this.plantMs + this.agentOffMs;
    this.known.onEvicted = (node) => this.speaker.forget(node);
    this.desk = new EdgeDesk(settings, this.known, this.speaker, this.counters, {
      steady: () => this.steadyMs,
      refused: (reason) => this.refused.push(reason),
      unreadable: (reason) => this.refused.push(reason),
      noRoom: (why) => this.refused.push(why),
    });
  }

  get main(): FakeSession {
    return this.speaker.main.session as FakeSession;
  }

  sessionOf(key: string): FakeSession {
    const found = this.sessions.findLast(({ of }) => of === key);
    if (found === undefined) throw new Error(`${key} has no connection`);
    return found;
  }

  /** Contents of the spool that were taken. */
  content = 0;

  /** As the spool hands it over; what becomes of it is in `outcomes`, in the order of settling. */
  take(message: Message, isLate = false): void {
    const origin = { id: ++this.content, index: 0, isLate };
    this.desk.take(message, (outcome) => this.outcomes.push(outcome), origin);
    this.desk.settling.release();
  }

  /** They fill gaps: what was sent later came before them. */
  takeLate(...messages: readonly Message[]): void {
    for (const message of messages) this.take(message, true);
  }

  takeAll(messages: readonly Message[]): void {
    for (const message of messages) this.take(message);
  }

  /** They never get here. */
  lose(...messages: readonly Message[]): void {
    this.lost += messages.length;
  }

  /** A host's command, heard on the main connection. */
  command(topic: string, metrics: readonly Json[], retain = false): void {
    const payload = encodeSparkplug({ timestamp: this.plantMs, metrics });
    this.desk.command({ topic, payload, retain }, this.speaker.main);
  }

  askRebirth(group: string, node: string): void {
    this.command(`spBv1.0/${group}/NCMD/${node}`, [
      { name: "Node Control/Rebirth", datatype: 11, booleanValue: true },
    ]);
  }
}

/** An edge node of the plant as the send agent sees it. What its methods return has crossed the link when a lab takes it. */
export class PlantEdge {
  readonly #mirror: EdgeNode;
  #seq = 0;
  #bdSeq: number;

  constructor(
    private readonly lab: Lab,
    readonly group = "g",
    readonly node = "n",
    bdSeq = 6,
  ) {
    this.#mirror = new EdgeNode(group, node);
    this.#bdSeq = bdSeq;
  }

  get key(): string {
    return `${this.group}/${this.node}`;
  }

  birth(metrics: readonly Json[]): Message {
    this.#bdSeq++;
    this.#seq = 0;
    const own = [
      { name: "bdSeq", datatype: 4, longValue: this.#bdSeq },
      { name: "Node Control/Rebirth", datatype: 11, booleanValue: false },
    ];
    return this.#say("NBIRTH", undefined, [...own, ...metrics]);
  }

  deviceBirth(device: string, metrics: readonly Json[]): Message {
    return this.#say("DBIRTH", device, metrics);
  }

  data(metrics: readonly Json[], device?: string): Message {
    return this.#say(device === undefined ? "NDATA" : "DDATA", device, metrics);
  }

  deviceDeath(device: string): Message {
    return this.#say("DDEATH", device, []);
  }

  death(bdSeq = this.#bdSeq): Message {
    return this.#send("NDEATH", undefined, { metrics: [{ name: "bdSeq", datatype: 4, longValue: bdSeq }] });
  }

  /** The snapshot of the node, or of a device, as it is now. */
  snapshot(device?: string): Message {
    const { group, node } = this;
    this.lab.plantMs += 10;
    const payload = takeSnapshot(this.#mirror, device, this.lab.plantMs + this.lab.agentOffMs);
    if (payload === undefined) throw new Error("there is nothing to take a snapshot of");
    return makeMessage(
      formatSnapshotTopic({ group, node, device }),
      payload,
      this.lab.plantMs + this.lab.agentOffMs,
    );
  }

  /** All snapshots. */
  snapshots(): Message[] {
    return [this.snapshot(), ...[...this.#mirror.devices.keys()].map((device) => this.snapshot(device))];
  }

  #say(type: string, device: string | undefined, metrics: readonly Json[]): Message {
    this.lab.plantMs += 10;
    const timestamp = this.lab.plantMs;
    const seq = this.#seq;
    this.#seq = (seq + 1) % 256;
    const stamped = metrics.map((metric) => ({ timestamp, ...metric }));
    return this.#send(type, device, { timestamp, metrics: stamped, seq });
  }

  #send(type: string, device: string | undefined, payload: object): Message {
    const topic = `spBv1.0/${this.group}/${type}/${this.node}${device === undefined ? "" : `/${device}`}`;
    const bytes = encodeSparkplug(payload);
    const parsed = parsePayload(bytes);
    if (typeof parsed === "string") throw new Error(parsed);
    this.#mirror.take(parseTopic(topic) as EdgeTopic, parsed, this.lab.plantMs);
    return makeMessage(topic, bytes, this.lab.plantMs + this.lab.agentOffMs);
  }
}

function makeMessage(topic: string, payload: Uint8Array, acceptedMs: number): Message {
  return { topic, payload, qos: 0, retain: false, properties: undefined, acceptedMs };
}

/** A metric of a birth. */
export function metric(name: string, alias: number | undefined, value: number): Json {
  return { name, ...(alias === undefined ? {} : { alias }), datatype: 3, intValue: value };
}

/** The same in data: by its alias. */
export function change(alias: number, value: number): Json {
  return { alias, intValue: value };
}
