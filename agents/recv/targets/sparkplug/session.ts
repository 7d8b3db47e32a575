// One MQTT connection that speaks as one edge node, or as many: it leaves the death of a node as its will, anew with each
// attempt, listens for the commands of host applications before it says that it is online, and publishes in order.
// Refuses from the broker: packets that are larger than a command can be (skipped unread), and more commands in a second than
// a host has reason to send (reading rests, and the broker waits).
import type { MqttSession } from "../../../../shared/config/mqtt-session.ts";
import {
  type BrokerSession,
  type BrokerWill,
  createBrokerConnection,
} from "../../../../shared/mqtt/connection.ts";
import type { ConnectionFault } from "../../../../shared/mqtt/explain.ts";
import { createIngressTap, type InboundPublish } from "../../../../shared/mqtt/ingress-tap.ts";
import type { TlsSettings } from "../../../../shared/mqtt/transport.ts";
import type { TargetState } from "../target.ts";

/** A rebirth command takes some 60 bytes. */
const COMMAND_BYTES_MAX = 65_536;
const COMMANDS_PER_SECOND = 200;
const RECEIVE_MAXIMUM = 20;
/** DISCONNECT with Will Message [MQTT5 3.14.2.1]. */
const WITH_WILL = 0x04;

export type SessionOptions = {
  /** For sentences: "target hq". */
  readonly label: string;
  readonly session: MqttSession;
  readonly clientId: string;
  /** Asked before each attempt. */
  readonly tls: () => TlsSettings | undefined;
  /** Asked before each attempt: the death of the node that it speaks for, with the bdSeq that its next birth will have. */
  readonly nextWill: () => BrokerWill | undefined;
  /** Asked at each connection: what it listens to; empty: to nothing. */
  readonly filters: () => readonly string[];
  readonly random: () => number;
};

export type Command = { readonly topic: string; readonly payload: Uint8Array; readonly retain: boolean };

export type SessionEvents = {
  /** Taken, and subscribed: births may go. `refused`: topic filters that the broker does not allow. */
  online(broker: BrokerSession, refused: readonly string[]): void;
  offline(fault: ConnectionFault, retryMs: number): void;
  command(command: Command): void;
  oversize(): void;
  protocolError(reason: string): void;
  /** What was waiting has gone. */
  drained(): void;
};

export type Outgoing = {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Called once: with QoS 0 when it was handed over, with 1 when it was acknowledged; a reason why not. */
  readonly done?: ((problem?: string) => void) | undefined;
};

/** A connection as those who speak over it see it. */
export type EdgeSession = Pick<
  Session,
  | "state"
  | "problem"
  | "connections"
  | "isOnline"
  | "isListening"
  | "waitingBytes"
  | "connect"
  | "publish"
  | "tick"
  | "renew"
  | "close"
>;

export class Session {
  readonly #options: SessionOptions;
  readonly #events: SessionEvents;
  readonly #tap;
  readonly #client;
  #state: TargetState = "connecting";
  #problem: string | undefined;
  #connections = 0;
  #isOnline = false;
  #isListening = false;
  #finish = () => {};
  #queue: Outgoing[] = [];
  #queueBytes = 0;
  /** The socket takes no more for now. */
  #isBlocked = false;
  #commands = 0;
  #secondMs = 0;

  constructor(options: SessionOptions, events: SessionEvents) {
    this.#options = options;
    this.#events = events;
    const { session, clientId, label } = options;
    const version = session.mqttVersion === "5" ? 5 : 4;
    this.#tap = createIngressTap({
      version,
      packetBytesMax: COMMAND_BYTES_MAX,
      receiveMaximum: RECEIVE_MAXIMUM,
      onPublish: (publish) => this.#take(publish),
      onRefusal: (refusal) => {
        events.oversize();
        if (refusal.qos > 0) queueMicrotask(() => this.#tap.ack([refusal]));
      },
      onProtocolError: (reason) => events.protocolError(reason),
    });
    this.#client = createBrokerConnection({
      label,
      address: session.url,
      tls: options.tls,
      proxy: session.proxy,
      version,
      clientId,
      login: () => ({ username: session.username, password: session.password }),
      cleanStart: true,
      sessionExpirySeconds: undefined,
      receiveMaximum: version === 5 ? RECEIVE_MAXIMUM : undefined,
      keepaliveSeconds: session.keepaliveSeconds,
      connectTimeoutSeconds: session.connectTimeoutSeconds,
      reconnectMinMs: session.reconnectMinMs,
      reconnectMaxMs: session.reconnectMaxMs,
      random: options.random,
      will: options.nextWill,
      wrap: (socket) => this.#tap.wrap(socket),
      onOnline: (broker) => this.#subscribe(broker),
      onRenewing: () => this.#lose(),
      onOffline: (fault, retryMs) => {
        this.#state = "down";
        this.#problem = fault.sentence;
        this.#lose();
        events.offline(fault, retryMs);
      },
    });
  }

  get state(): TargetState {
    return this.#state;
  }

  /** What is wrong, in a sentence, while it is not connected. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Times it has connected. */
  get connections(): number {
    return this.#connections;
  }

  /** Births may go. */
  get isOnline(): boolean {
    return this.#isOnline;
  }

  /** It hears commands. */
  get isListening(): boolean {
    return this.#isListening;
  }

  /** Bytes that wait for the socket. */
  get waitingBytes(): number {
    return this.#queueBytes;
  }

  connect(): void {
    this.#client.connect();
  }

  /** In the order of the calls. While it is not online nothing goes, and `done` says so. */
  publish(outgoing: Outgoing): void {
    if (!this.#isOnline) {
      outgoing.done?.("it is not connected");
      return;
    }
    this.#queue.push(outgoing);
    this.#queueBytes += outgoing.payload.length;
    this.#pump();
  }

  /** To be called every few milliseconds, with a clock that only runs forward. */
  tick(steadyMs: number): void {
    if (steadyMs - this.#secondMs < 1000) return;
    this.#secondMs = steadyMs;
    if (this.#commands >= COMMANDS_PER_SECOND) this.#tap.resume();
    this.#commands = 0;
  }

  /** Ends this connection in good order and begins the next one at once, with a new will. */
  renew(): void {
    if (!this.#isOnline) return;
    this.#isOnline = false;
    this.#client.renew();
  }

  /** Disconnects; what was published is given `graceMs`. `withWill`: the broker is to publish the will all the same. */
  close(graceMs: number, withWill: boolean): Promise<void> {
    return new Promise((resolve) => {
      const isFive = this.#options.session.mqttVersion === "5";
      const words = withWill && isFive ? { reasonCode: WITH_WILL } : {};
      const timer = setTimeout(() => this.#client.end(true, {}, () => resolve()), graceMs);
      this.#finish = () => {
        this.#finish = () => {};
        this.#client.end(false, words, () => {
          clearTimeout(timer);
          this.#lose();
          resolve();
        });
      };
      if (!this.#isOnline || this.#isIdle) this.#finish();
    });
  }

  get #isIdle(): boolean {
    return this.#queue.length === 0 && !this.#isBlocked;
  }

  #take(publish: InboundPublish): void {
    const { topic, payload, retain, qos } = publish;
    this.#commands++;
    if (this.#commands === COMMANDS_PER_SECOND) this.#tap.pause();
    if (qos > 0) queueMicrotask(() => this.#tap.ack([publish]));
    // A copy: a view would keep the whole chunk of the socket alive.
    this.#events.command({ topic, payload: Uint8Array.from(payload), retain });
  }

  /** First the commands, then the births: a host that asks at once must be heard [tck-id-message-flow-edge-node-ncmd-subscribe]. */
  #subscribe(broker: BrokerSession): void {
    const { session } = this.#options;
    const filters = this.#options.filters();
    this.#isListening = filters.some((filter) => filter.includes("/NCMD/"));
    if (filters.length === 0) {
      this.#begin(broker, []);
      return;
    }
    const { stream } = this.#client;
    const timer = setTimeout(() => stream.destroy(), session.connectTimeoutSeconds * 1000);
    stream.once("close", () => clearTimeout(timer));
    // rh 2: nothing that somebody has retained [MQTT5 3.8.3.1].
    const topics = Object.fromEntries(filters.map((filter) => [filter, { qos: 1 as const, rh: 2 as const }]));
    this.#client.subscribe(topics, (error, asked, answer) => {
      clearTimeout(timer);
      // The connection went away meanwhile.
      if (stream !== this.#client.stream || (error && answer === undefined)) return;
      const codes = (answer?.granted ?? []) as readonly number[];
      const refused = (asked ?? []).filter((_, index) => (codes[index] ?? 0x80) >= 0x80);
      this.#begin(
        broker,
        refused.map(({ topic }) => topic),
      );
    });
  }

  #begin(broker: BrokerSession, refused: readonly string[]): void {
    this.#state = "connected";
    this.#problem = undefined;
    this.#connections++;
    this.#isOnline = true;
    this.#isBlocked = false;
    this.#events.online(broker, refused);
  }

  #pump(): void {
    while (!this.#isBlocked && this.#isOnline) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#send(next);
    }
  }

  #send({ topic, payload, qos, retain, done }: Outgoing): void {
    let isSettled = false;
    this.#queueBytes -= payload.length;
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    this.#client.publish(topic, bytes, { qos, retain }, (error) => {
      const wasBlocked = isSettled === false && this.#isBlocked;
      isSettled = true;
      done?.(error ? error.message : undefined);
      if (qos === 1 || !wasBlocked) return;
      this.#isBlocked = false;
      this.#pump();
      if (!this.#isIdle) return;
      this.#events.drained();
      this.#finish();
    });
    // Handed over in part: the rest goes when the socket has room.
    if (qos === 0 && !isSettled) this.#isBlocked = true;
  }

  #lose(): void {
    this.#isOnline = false;
    this.#isBlocked = false;
    const queue = this.#queue;
    this.#queue = [];
    this.#queueBytes = 0;
    for (const { done } of queue) done?.("the connection was lost");
  }
}
