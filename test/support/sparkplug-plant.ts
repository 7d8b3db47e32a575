// Edge nodes of a plant for tests: they publish exactly the payloads that a test wants, as the Eclipse project's own encoder
// writes them, with the seq of an edge node. For how a real client behaves, sparkplug-client is used beside them.
import { connectAsync, type MqttClient } from "mqtt";
import { encodeSparkplug } from "./sparkplug-book.ts";

export type Metric = Readonly<Record<string, unknown>>;

export class PlantNode {
  #seq = 0;
  #bdSeq = -1;

  constructor(
    private readonly client: MqttClient,
    readonly group: string,
    readonly node: string,
  ) {}

  /** `fresh`: a new session, with the next bdSeq. */
  async birth(metrics: readonly Metric[], fresh = true, timestamp = Date.now()): Promise<void> {
    if (fresh) this.#bdSeq++;
    this.#seq = 0;
    const own = [
      { name: "bdSeq", datatype: 4, longValue: this.#bdSeq, timestamp },
      { name: "Node Control/Rebirth", datatype: 11, booleanValue: false, timestamp },
    ];
    await this.#send("NBIRTH", undefined, { timestamp, metrics: [...own, ...metrics] });
  }

  async deviceBirth(device: string, metrics: readonly Metric[], timestamp = Date.now()): Promise<void> {
    await this.#send("DBIRTH", device, { timestamp, metrics });
  }

  async data(metrics: readonly Metric[], device?: string, timestamp = Date.now()): Promise<Buffer> {
    return this.#send(device === undefined ? "NDATA" : "DDATA", device, { timestamp, metrics });
  }

  async deviceDeath(device: string): Promise<void> {
    await this.#send("DDEATH", device, { timestamp: Date.now(), metrics: [] });
  }

  async death(): Promise<void> {
    const metrics = [{ name: "bdSeq", datatype: 4, longValue: this.#bdSeq }];
    await this.publish("NDEATH", undefined, encodeSparkplug({ timestamp: Date.now(), metrics }));
  }

  async publish(type: string, device: string | undefined, payload: Buffer): Promise<void> {
    const topic = `spBv1.0/${this.group}/${type}/${this.node}${device === undefined ? "" : `/${device}`}`;
    // Not 0, so that the broker has it when this returns.
    await this.client.publishAsync(topic, payload, { qos: 1 });
  }

  async #send(type: string, device: string | undefined, payload: object): Promise<Buffer> {
    const bytes = encodeSparkplug({ ...payload, seq: this.#seq });
    this.#seq = (this.#seq + 1) % 256;
    await this.publish(type, device, bytes);
    return bytes;
  }
}

export class SparkplugPlant implements AsyncDisposable {
  private constructor(private readonly client: MqttClient) {}

  static async start(door: number): Promise<SparkplugPlant> {
    return new SparkplugPlant(await connectAsync(`mqtt://127.0.0.1:${door}`, { protocolVersion: 5 }));
  }

  node(group: string, node: string): PlantNode {
    return new PlantNode(this.client, group, node);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.endAsync(true);
  }
}
