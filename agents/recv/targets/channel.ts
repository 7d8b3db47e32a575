// One MQTT session of a target: connects and stays connected, publishes what it is given in order, within the broker's
// limits and at no more than its rate, and hands over to a fresh session when its login is about to end or its
// certificate has changed. A target has one of them, or several that share its messages by topic or by device.
// Publishes only: it never subscribes and resumes no session.
import type { MqttSession } from "../../../shared/config/mqtt-session.ts";
import { countPayloadBytes, type Message } from "../../../shared/message.ts";
import {
  type BrokerSession,
  type BrokerWill,
  createBrokerConnection,
  type Login,
} from "../../../shared/mqtt/connection.ts";
import { createEgressTap, type EgressOutcome } from "../../../shared/mqtt/egress-tap.ts";
import type { ConnectionFault } from "../../../shared/mqtt/explain.ts";
import { countPacketBytes, measurePublish } from "../../../shared/mqtt/publish-encode.ts";
import type { TlsSettings } from "../../../shared/mqtt/transport.ts";
import type { PublishRate } from "./publish-rate.ts";
import type { TargetState } from "./target.ts";

/** Messages of QoS 0 that may be published while an older one of QoS 1 or 2 waits for its acknowledgement. */
const AHEAD_MESSAGES_MAX = 4096;
/** Payloads that may wait here, in bytes; the message that goes over it is the last one until there is room. */
const WAITING_BYTES_MAX = 4_194_304;
/** Before a session is replaced, what is under way may be acknowledged for this long; the rest goes again, marked. */
const DRAIN_MS = 10_000;

/** A login that may end; from `renewAtMs` of the wall clock on, the session is replaced by one with a new login. */
export type ChannelLogin = Login & { readonly renewAtMs?: number | undefined };

export type ChannelOptions = {
  /** For sentences: "target hq". */
  readonly label: string;
  readonly session: MqttSession;
  readonly clientId: string;
  /** Asked before each attempt. */
  readonly tls: () => TlsSettings | undefined;
  /** Asked before each attempt; the user and password of the session when absent. */
  readonly login?: (() => ChannelLogin) | undefined;
  /** What to look at when the login is refused. */
  readonly loginHint?: string | undefined;
  /** The same when it ends the connection without a word. */
  readonly closedHint?: string | undefined;
  /** The key of the profile that has the address. */
  readonly addressKey?: string | undefined;
  readonly will?: BrokerWill | undefined;
  /** Goes where the broker sends its clients instead. */
  readonly followsReference?: boolean;
  /** The message as it is sent now: what it is called may have changed since it was published here. */
  readonly readdress?: ((message: Message) => Message) | undefined;
  readonly inflightMax: number;
  /** Bytes of packets of QoS 1 and 2 that may be unacknowledged; undefined = no limit. */
  readonly inflightBytesMax?: number | undefined;
  /** A message that is not acknowledged for so long is sent again, on a new session; undefined = it is waited for. */
  readonly ackTimeoutMs?: number | undefined;
  /** Of this channel alone, or one that several channels share. */
  readonly rate?: PublishRate | undefined;
};

export type ChannelRim = {
  /** The wall clock. */
  clock(): number;
  /** A clock that only runs forward. */
  steady(): number;
  random(): number;
};

export type ChannelEvents = {
  online(session: BrokerSession): void;
  offline(fault: ConnectionFault, retryMs: number): void;
  protocolError(reason: string): void;
  /** A message was not acknowledged in time; a new session begins. */
  unacknowledged(waitedMs: number): void;
  /** There may be room again. */
  ready(): void;
};

type Waiting = { readonly message: Message; readonly onSettled: (outcome: EgressOutcome) => void };

export class Channel {
  readonly #options: ChannelOptions;
  readonly #rim: ChannelRim;
  readonly #events: ChannelEvents;
  readonly #version: 4 | 5;
  readonly #tap;
  readonly #client;
  readonly #rate: PublishRate | undefined;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #inflightBytes = 0;
  #drainSinceMs: number | undefined;
  #renewAtMs = Number.POSITIVE_INFINITY;
  #session: BrokerSession | undefined;
  #state: TargetState = "connecting";
  #problem: string | undefined;
  #connections = 0;
  /** connect() was called: MQTT.js cannot end what has not begun. */
  #hasBegun = false;
  /** The goodbye of a session that is replaced has been said. */
  #isGoing = false;
  /** Called when nothing is unsettled: close() waits for it. */
  #finish = () => {};

  constructor(options: ChannelOptions, rim: ChannelRim, events: ChannelEvents) {
    this.#options = options;
    this.#rim = rim;
    this.#events = events;
    this.#rate = options.rate;
    const { session, clientId, label, will } = options;
    const version = session.mqttVersion === "5" ? 5 : 4;
    this.#version = version;
    this.#tap = createEgressTap({
      version,
      inflightMax: options.inflightMax,
      clock: () => rim.steady(),
      ...(options.readdress === undefined ? {} : { readdress: options.readdress }),
      mayResend: (message) => this.#mayResend(message),
      onRoom: () => events.ready(),
      onProtocolError: (reason) => events.protocolError(reason),
    });
    this.#client = createBrokerConnection({
      label,
      address: session.url,
      tls: options.tls,
      proxy: session.proxy,
      version,
      clientId,
      login: () => {
        const login = options.login?.() ?? { username: session.username, password: session.password };
        this.#renewAtMs = login.renewAtMs ?? Number.POSITIVE_INFINITY;
        return login;
      },
      loginHint: options.loginHint,
      closedHint: options.closedHint,
      addressKey: options.addressKey,
      cleanStart: true,
      sessionExpirySeconds: undefined,
      receiveMaximum: undefined,
      keepaliveSeconds: session.keepaliveSeconds,
      connectTimeoutSeconds: session.connectTimeoutSeconds,
      reconnectMinMs: session.reconnectMinMs,
      reconnectMaxMs: session.reconnectMaxMs,
      random: () => rim.random(),
      will,
      followsReference: options.followsReference ?? false,
      resetsBackoff: () => this.#tap.isTesting,
      wrap: (socket) => this.#tap.wrap(socket),
      onOnline: (granted) => {
        this.#session = granted;
        this.#state = "connected";
        this.#problem = undefined;
        this.#connections++;
        this.#drainSinceMs = undefined;
        this.#isGoing = false;
        events.online(granted);
        this.#tap.open(granted);
      },
      onRenewing: () => {
        this.#drainSinceMs = undefined;
        this.#isGoing = false;
      },
      onOffline: (fault, retryMs) => {
        this.#state = "down";
        this.#problem = fault.sentence;
        this.#drainSinceMs = undefined;
        this.#isGoing = false;
        events.offline(fault, retryMs);
      },
    });
  }

  connect(): void {
    this.#hasBegun = true;
    this.#client.connect();
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

  /** What the broker said when it last took us; undefined before it did. */
  get session(): BrokerSession | undefined {
    return this.#session;
  }

  /** Messages that are not settled. */
  get pending(): number {
    return this.#tap.pending + this.#waiting.length;
  }

  /** What waits here takes as much memory as it may. */
  get isFull(): boolean {
    return this.#waitingBytes >= WAITING_BYTES_MAX;
  }

  /** Messages that may be unsettled now; 0 while nothing can go. */
  get window(): number {
    if (this.isFull || this.#tap.room === 0 || this.#drainSinceMs !== undefined) return 0;
    // With a rate, more would only wait here instead of in the spool.
    if (this.#rate !== undefined) return this.#options.inflightMax;
    return this.#options.inflightMax + AHEAD_MESSAGES_MAX;
  }

  /** Sends a message of QoS 0 at once, if nothing is before it and nothing holds it back; true: it is forwarded. */
  sendNow(message: Message): boolean {
    if (this.#waiting.length > 0 || this.#drainSinceMs !== undefined) return false;
    if (this.#rate !== undefined || this.#options.inflightBytesMax !== undefined) return false;
    return this.#tap.sendNow(message);
  }

  /** `onSettled` is called once, after this call. What cannot go now waits, in order. */
  publish(message: Message, onSettled: (outcome: EgressOutcome) => void): void {
    const isNext = this.#waiting.length === 0;
    if (isNext && this.#mayGo(message)) this.#send(message, onSettled);
    else {
      this.#waiting.push({ message, onSettled });
      this.#waitingBytes += countPayloadBytes(message);
    }
  }

  /** To be called every few milliseconds, with a clock that only runs forward. */
  tick(steadyMs: number): void {
    this.#rate?.tick(steadyMs);
    this.#tap.goOn();
    this.#lookForStall();
    if (this.#waiting.length > 0) this.#release();
    if (this.#rim.clock() >= this.#renewAtMs) this.renew();
    if (this.#drainSinceMs === undefined) return;
    if (this.#isGoing || (this.#tap.sentCount > 0 && steadyMs - this.#drainSinceMs < DRAIN_MS)) return;
    this.#isGoing = true;
    this.#client.renew();
  }

  /** Ends this session in good order and begins a new one, with a new login and new certificates. */
  renew(): void {
    if (this.#state !== "connected" || this.#drainSinceMs !== undefined) return;
    this.#drainSinceMs = this.#rim.steady();
  }

  /** Delivers what is unsettled within `graceMs`, and disconnects. */
  close(graceMs: number): Promise<void> {
    if (!this.#hasBegun) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#finish = () => {};
        this.#client.end(true, {}, () => resolve());
      }, graceMs);
      this.#finish = () => {
        this.#finish = () => {};
        this.#client.end(false, {}, () => {
          clearTimeout(timer);
          resolve();
        });
      };
      if (this.pending === 0) this.#finish();
    });
  }

  /** What was on its way when a connection ended goes again at the rate, too: it counts as much as anything else. */
  #mayResend(message: Message): boolean {
    if (this.#rate === undefined) return true;
    if (!this.#rate.isOpen) return false;
    this.#rate.take(countBytes(this.#version, message));
    return true;
  }

  /** Some brokers discard without a word what comes too fast, and MQTT sends again on a new connection only. */
  #lookForStall(): void {
    const { ackTimeoutMs } = this.#options;
    if (ackTimeoutMs === undefined || this.#state !== "connected" || this.#drainSinceMs !== undefined) return;
    const { waitedMs } = this.#tap;
    if (waitedMs < ackTimeoutMs) return;
    this.#events.unacknowledged(waitedMs);
    // Nothing to wait for: what is not acknowledged by now is not going to be.
    this.#drainSinceMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * Lets go what may go: while not connected too, because the tap keeps it in order for the next connection; but not with
   * a rate, or all of it would go at once then.
   */
  #release(): void {
    let released = 0;
    for (const { message, onSettled } of this.#waiting) {
      if (!this.#mayGo(message)) break;
      released++;
      this.#waitingBytes -= countPayloadBytes(message);
      this.#send(message, onSettled);
    }
    if (released > 0) this.#waiting = this.#waiting.slice(released);
  }

  #mayGo(message: Message): boolean {
    if (this.#drainSinceMs !== undefined) return false;
    if (this.#rate !== undefined && (this.#state !== "connected" || !this.#rate.isOpen)) return false;
    const { inflightBytesMax } = this.#options;
    // One that is larger than all that may be under way goes alone.
    return (
      inflightBytesMax === undefined ||
      this.#inflightBytes === 0 ||
      this.#inflightBytes + countBytes(this.#version, message) <= inflightBytesMax
    );
  }

  #send(message: Message, onSettled: (outcome: EgressOutcome) => void): void {
    const { inflightBytesMax } = this.#options;
    const isCounted = this.#rate !== undefined || inflightBytesMax !== undefined;
    const bytes = isCounted ? countBytes(this.#version, message) : 0;
    this.#rate?.take(bytes);
    if (message.qos > 0) this.#inflightBytes += bytes;
    this.#tap.publish(message, (outcome) => {
      if (message.qos > 0) this.#inflightBytes -= bytes;
      onSettled(outcome);
      if (this.#waiting.length > 0) this.#release();
      if (this.pending === 0) this.#finish();
    });
  }
}

/** The whole packet, as clouds count; what MQTT cannot say at all counts nothing, for it is not sent. */
function countBytes(version: 4 | 5, message: Message): number {
  const sizes = measurePublish(version, message);
  return sizes === undefined ? 0 : countPacketBytes(sizes, message.qos);
}
