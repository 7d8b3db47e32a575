// A Sparkplug host application at a broker: what it knows is in its book; it can ask for births and send commands.
import { connectAsync, type MqttClient } from "mqtt";
import { encodeSparkplug, HostBook } from "./sparkplug-book.ts";
import { waitFor } from "./wait.ts";

export class SparkplugHost implements AsyncDisposable {
  private constructor(
    private readonly client: MqttClient,
    readonly book: HostBook,
  ) {
    client.on("message", (topic, payload, { qos, retain }) => book.take(topic, payload, qos, retain));
  }

  /** `isStrict` false: data before a birth is ignored, as it is by a host that has just started. */
  static async start(
    door: number,
    isStrict = true,
    filter = "spBv1.0/#",
    login: { readonly username?: string; readonly password?: string } = {},
  ): Promise<SparkplugHost> {
    const options = { protocolVersion: 5, reconnectPeriod: 50, ...login } as const;
    const client = await connectAsync(`mqtt://127.0.0.1:${door}`, options);
    const host = new SparkplugHost(client, new HostBook(isStrict));
    await client.subscribeAsync(filter, { qos: 1, rap: true });
    return host;
  }

  /** Asks an edge node to be born again, as hosts do. */
  async askRebirth(group: string, node: string): Promise<void> {
    await this.command(`spBv1.0/${group}/NCMD/${node}`, [
      { name: "Node Control/Rebirth", datatype: 11, booleanValue: true },
    ]);
  }

  async command(topic: string, metrics: readonly object[]): Promise<void> {
    await this.client.publishAsync(topic, encodeSparkplug({ timestamp: Date.now(), metrics }), { qos: 0 });
  }

  async publish(topic: string, payload: Buffer, retain = false): Promise<void> {
    await this.client.publishAsync(topic, payload, { qos: 1, retain });
  }

  waitFor(what: string, fits: (book: HostBook) => boolean, explain = () => "", deadlineMs = 30_000) {
    return waitFor(
      what,
      deadlineMs,
      () => fits(this.book),
      () => `${this.book.describe()}\n${explain()}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.endAsync(true);
  }
}
