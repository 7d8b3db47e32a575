// The connection on which the agent speaks to the edge nodes behind a broker: as the host application that Sparkplug expects, it
// publishes its STATE, and asks for rebirths. It is not the connection that messages are taken from: a host's session is always
// clean [tck-id-message-flow-phid-sparkplug-clean-session-50], and that one must not be.
//
//   connect, will: offline at T ─► subscribe to its own STATE ─► publish: online at T      (retained, QoS 1, the same T)
//
// It is there only while the source takes messages and the journal keeps them: then edge nodes that wait for a primary host
// send, and otherwise they keep what they have. Nothing else is ever published, and nothing that is heard is acted on but STATE.
import type { Logger } from "../../../shared/log.ts";
import { type BrokerClient, createBrokerConnection } from "../../../shared/mqtt/connection.ts";
import { formatState, parseState } from "../../../shared/sparkplug/state.ts";
import { formatTopic, type StateFormat } from "../../../shared/sparkplug/topic.ts";
import type { SubscribeSource } from "../source-config.ts";
import type { Voice, VoiceState } from "./voice.ts";

export type HostSessionOptions = {
  /** The source whose broker it is. */
  readonly source: SubscribeSource;
  readonly clientId: string;
  /** undefined: it has no STATE and asks for rebirths only. */
  readonly host: { readonly id: string; readonly format: StateFormat } | undefined;
};

export type HostRim = { readonly log: Logger; clock(): number; random(): number };

const REPEAT_LOG_MS = 60_000;
/** Somebody else says that we are offline: it is put right at most this often. */
const CORRECT_MS = 1000;
const FAREWELL_MS = 500;
/** How long our own STATE may take to come back; a broker of MQTT 3.1.1 says nothing when it refuses it. */
const ECHO_MS = 5000;

export class HostSession implements Voice {
  readonly #options: HostSessionOptions;
  readonly #rim: HostRim;
  readonly #label: string;
  #client: BrokerClient | undefined;
  #isOnline = false;
  #isClosing = false;
  #problem: string | undefined;
  #loggedMs = Number.NEGATIVE_INFINITY;
  /** Of the will, and so of the birth, of this connection. */
  #timestampMs = 0;
  /** STATE of ours that was seen with a later time than our clock's: the next is later still. */
  #floorMs = 0;
  /** Our STATE was published on this connection, and has not come back on our subscription. */
  #isEchoDue = false;
  #echo: ReturnType<typeof setTimeout> | undefined;
  #correction: ReturnType<typeof setTimeout> | undefined;

  constructor(options: HostSessionOptions, rim: HostRim) {
    this.#options = options;
    this.#rim = rim;
    this.#label = `sparkplug of source ${options.source.name}`;
  }

  get state(): VoiceState {
    if (this.#client === undefined) return "resting";
    return this.#isOnline ? "online" : "connecting";
  }

  get problem(): string | undefined {
    return this.#client === undefined ? undefined : this.#problem;
  }

  setReady(isReady: boolean): void {
    if (isReady && this.#client === undefined && !this.#isClosing) this.#open();
    else if (!isReady && this.#client !== undefined) void this.close();
  }

  say(topic: string, payload: Uint8Array): boolean {
    if (!this.#isOnline || this.#client?.connected !== true) return false;
    this.#client.publish(topic, Buffer.from(payload), { qos: 0, retain: false });
    return true;
  }

  /** Says that it goes, and goes. */
  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    clearTimeout(this.#correction);
    clearTimeout(this.#echo);
    if (client === undefined) return;
    this.#isClosing = true;
    const wasOnline = this.#isOnline;
    this.#isOnline = false;
    if (wasOnline && client.connected) {
      // The will is not published after a goodbye, so this is [tck-id-operational-behavior-host-application-termination].
      const said = new Promise<void>((resolve) =>
        this.#publishState(client, false, this.#nextMs(), () => resolve()),
      );
      await Promise.race([said, new Promise((resolve) => setTimeout(resolve, FAREWELL_MS))]);
    }
    await new Promise<void>((resolve) => client.end(!wasOnline, {}, () => resolve()));
    this.#isClosing = false;
  }

  #open(): void {
    const { source, clientId, host } = this.#options;
    const version = source.mqttVersion === "5" ? 5 : 4;
    const client: BrokerClient = createBrokerConnection({
      label: this.#label,
      address: source.url,
      tls: () => source.tls,
      proxy: source.proxy,
      version,
      clientId,
      login: () => ({ username: source.username, password: source.password }),
      cleanStart: true,
      sessionExpirySeconds: 0,
      receiveMaximum: undefined,
      keepaliveSeconds: source.keepaliveSeconds,
      connectTimeoutSeconds: source.connectTimeoutSeconds,
      reconnectMinMs: source.reconnectMinMs,
      reconnectMaxMs: source.reconnectMaxMs,
      random: () => this.#rim.random(),
      will: host === undefined ? undefined : () => this.#makeWill(host.format),
      onOnline: () => this.#greet(client),
      onOffline: (fault, retryMs) => {
        if (client !== this.#client) return;
        this.#isOnline = false;
        // Brokers that refuse it close the connection, or say nothing at all.
        const sentence = this.#isEchoDue ? this.#describeRefusal() : fault.sentence;
        this.#isEchoDue = false;
        this.#complain(sentence, { fault: fault.id, code: fault.code, retryMs });
      },
    });
    client.on("message", (topic, payload) => this.#hear(client, topic, payload));
    this.#client = client;
    client.connect();
  }

  #makeWill(format: StateFormat) {
    this.#timestampMs = this.#nextMs();
    const payload = formatState(format, false, this.#timestampMs);
    return { topic: this.#stateTopic, payload, qos: 1, retain: true } as const;
  }

  get #stateTopic(): string {
    const { host } = this.#options;
    return host === undefined ? "" : formatTopic({ type: "STATE", host: host.id, format: host.format });
  }

  /** Later than any that edge nodes may have from us, or they would ignore it. */
  #nextMs(): number {
    this.#floorMs = Math.max(Math.trunc(this.#rim.clock()), this.#floorMs + 1);
    return this.#floorMs;
  }

  #greet(client: BrokerClient): void {
    const ready = (isSaid = true) => {
      if (client !== this.#client) return;
      // Without its STATE it may still ask for births; what is wrong stays to be seen.
      this.#isOnline = true;
      if (!isSaid) return;
      this.#problem = undefined;
      this.#loggedMs = Number.NEGATIVE_INFINITY;
      this.#rim.log.info({ source: this.#options.source.name }, `${this.#label} is connected`);
    };
    if (this.#options.host === undefined) {
      ready();
      return;
    }
    client.subscribe(this.#stateTopic, { qos: 1 }, (error, granted) => {
      if (client !== this.#client) return;
      if (error || (granted?.[0]?.qos ?? 0x80) >= 0x80) {
        if (client.connected)
          this.#complain(
            `the broker refuses a subscription to ${this.#stateTopic}; allow it in its access list`,
            {},
          );
        return;
      }
      this.#awaitEcho(client);
      this.#publishState(client, true, this.#timestampMs, ready);
    });
  }

  #awaitEcho(client: BrokerClient): void {
    this.#isEchoDue = true;
    clearTimeout(this.#echo);
    this.#echo = setTimeout(() => {
      if (client === this.#client && client.connected) this.#complain(this.#describeRefusal(), {});
    }, ECHO_MS);
  }

  #publishState(
    client: BrokerClient,
    isOnline: boolean,
    timestampMs: number,
    done: (isSaid: boolean) => void,
  ): void {
    const { host } = this.#options;
    if (host === undefined) {
      done(true);
      return;
    }
    const payload = formatState(host.format, isOnline, timestampMs);
    client.publish(this.#stateTopic, payload, { qos: 1, retain: true }, (error) => {
      done(!error);
    });
  }

  /** Its own STATE, and only that: the last word on it must be ours [tck-id-message-flow-hid-sparkplug-state-message-delivered]. */
  #hear(client: BrokerClient, topic: string, payload: Uint8Array): void {
    const { host } = this.#options;
    if (client !== this.#client || host === undefined || topic !== this.#stateTopic) return;
    const state = parseState(host.format, payload);
    if (typeof state === "string") return;
    if (state.isOnline) {
      clearTimeout(this.#echo);
      this.#isEchoDue = false;
    }
    if (state.timestampMs !== undefined && state.timestampMs > this.#timestampMs) {
      // From an earlier run with a clock ahead of ours, or from another host with our id: edge nodes go by the later time.
      this.#floorMs = Math.max(this.#floorMs, state.timestampMs);
      this.#isOnline = false;
      this.#complain(
        `a later ${topic} was there, of a clock that is ahead or of another host with this id`,
        {},
      );
      client.renew();
    } else if (!state.isOnline && this.#isOnline) {
      clearTimeout(this.#correction);
      this.#correction = setTimeout(() => {
        if (client === this.#client && client.connected)
          this.#publishState(client, true, this.#timestampMs, () => {});
      }, CORRECT_MS);
    }
  }

  #describeRefusal(): string {
    const { clientId, source } = this.#options;
    const who = source.username === undefined ? clientId : `${source.username} (${clientId})`;
    return `the broker does not pass on ${this.#stateTopic}; allow ${who} to publish and to read it in its access list`;
  }

  #complain(sentence: string, details: object): void {
    const isNews = sentence !== this.#problem || this.#rim.clock() - this.#loggedMs >= REPEAT_LOG_MS;
    this.#problem = sentence;
    if (!isNews) return;
    this.#loggedMs = this.#rim.clock();
    this.#rim.log.warn({ source: this.#options.source.name, ...details }, `${this.#label}: ${sentence}`);
  }
}
