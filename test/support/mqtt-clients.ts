// MQTT clients for tests, one that collects what a broker delivers and one that publishes with a window.
// They know nothing of the agents.
import { readFileSync } from "node:fs";
import { createConnection } from "node:net";
import { connectAsync, type IClientOptions, type IClientPublishOptions, MqttClient } from "mqtt";
import type { CertificateFiles } from "./certificates.ts";
import { waitFor } from "./wait.ts";

export type ClientWishes = {
  /** A port of loopback, or the path of a Unix socket. */
  readonly door: number | string;
  /** 4 is MQTT 3.1.1, 5 (unless told) is MQTT 5. */
  readonly version?: 4 | 5;
  readonly tls?: { readonly caFile: string; readonly client?: CertificateFiles };
  readonly username?: string;
  readonly password?: string;
  /** Keeps its session at the broker under this client id, so that nothing is missed while either is away. */
  readonly session?: string;
};

export type Received = {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly properties: NonNullable<IClientPublishOptions["properties"]>;
};

/** Publications that may be unacknowledged at a time; Mosquitto's own limit is the 200 of test/support/site.ts. */
const WINDOW = 100;

function connect(wishes: ClientWishes): Promise<MqttClient> {
  const { door, tls, version = 5, username, password, session } = wishes;
  const options: IClientOptions = {
    protocolVersion: version,
    connectTimeout: 10_000,
    reconnectPeriod: 50,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(session === undefined ? {} : { clientId: session, clean: false }),
    ...(session === undefined || version === 4 ? {} : { properties: { sessionExpiryInterval: 3600 } }),
  };
  if (typeof door === "string") return connectThrough(door, options);
  if (tls === undefined) return connectAsync(`mqtt://127.0.0.1:${door}`, options);
  options.ca = readFileSync(tls.caFile);
  if (tls.client !== undefined) {
    options.cert = readFileSync(tls.client.certFile);
    options.key = readFileSync(tls.client.keyFile);
  }
  return connectAsync(`mqtts://localhost:${door}`, options);
}

function connectThrough(path: string, options: IClientOptions): Promise<MqttClient> {
  const client = new MqttClient(() => createConnection({ path }), options);
  return new Promise((resolve, reject) => {
    client.once("connect", () => resolve(client));
    client.once("error", reject);
  });
}

/** Subscribes to a filter at QoS 2 and keeps all that comes, in order; connects again when the broker was away. */
export class Collector implements AsyncDisposable {
  readonly messages: Received[] = [];

  private constructor(private readonly client: MqttClient) {
    client.on("message", (topic, payload, { qos, retain, properties }) => {
      this.messages.push({ topic, payload, qos, retain, properties: properties ?? {} });
    });
  }

  static async start(wishes: ClientWishes, filter = "#"): Promise<Collector> {
    const client = await connect(wishes);
    const collector = new Collector(client);
    await client.subscribeAsync(filter, { qos: 2, rap: true });
    return collector;
  }

  /** The messages under a topic or below it. */
  below(topic: string): Received[] {
    return this.messages.filter(
      (message) => message.topic === topic || message.topic.startsWith(`${topic}/`),
    );
  }

  /** Waits until that many have come, of those below a topic when it is given. */
  async waitForCount(
    count: number,
    topic?: string,
    explain = () => "",
    deadlineMs = 30_000,
  ): Promise<Received[]> {
    const read = () => (topic === undefined ? this.messages : this.below(topic));
    await waitFor(
      `${count} messages${topic === undefined ? "" : ` below ${topic}`}`,
      deadlineMs,
      () => read().length >= count,
      () => `there are ${read().length}\n${explain()}`,
    );
    return read();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.endAsync(true);
  }
}

export type Outgoing = {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  readonly options?: IClientPublishOptions;
};

export class Publisher implements AsyncDisposable {
  private constructor(private readonly client: MqttClient) {}

  static async start(wishes: ClientWishes): Promise<Publisher> {
    return new Publisher(await connect(wishes));
  }

  /** Resolves when the broker has acknowledged (QoS 0: when it was written). */
  async publish(
    topic: string,
    payload: string | Uint8Array,
    options: IClientPublishOptions = {},
  ): Promise<void> {
    await this.client.publishAsync(topic, Buffer.from(payload as Uint8Array), options);
  }

  /** Publishes in order, with a bounded number under way. */
  async publishAll(messages: readonly Outgoing[]): Promise<void> {
    const flights: Promise<void>[] = [];
    for (const [index, { topic, payload, options }] of messages.entries()) {
      if (index >= WINDOW) await flights[index - WINDOW];
      flights.push(this.publish(topic, payload, options));
    }
    await Promise.all(flights);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.endAsync(true);
  }
}
