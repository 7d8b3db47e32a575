// A Sparkplug edge node made of code that we did not write: the sparkplug-client package. It is born when it connects and when it
// is asked to, counts how often, and can be told to misbehave as real ones do.
import { newClient, type UPayload } from "sparkplug-client";
import { get } from "sparkplug-payload";

const codec = get("spBv1.0");
if (codec === undefined || codec === null) throw new Error("sparkplug-payload has no codec for spBv1.0");
export const { decodePayload, encodePayload } = codec;

export type EdgeMetric = NonNullable<UPayload["metrics"]>[number];

export type EdgeWishes = {
  readonly port: number;
  readonly group: string;
  readonly node: string;
  readonly metrics: readonly EdgeMetric[];
  readonly devices?: Readonly<Record<string, readonly EdgeMetric[]>>;
  /** Does not answer to requests for a rebirth. */
  readonly isDeaf?: boolean;
  readonly compress?: boolean;
};

export class EdgeNode implements AsyncDisposable {
  births = 0;
  /** Of the birth that comes next. */
  metrics: readonly EdgeMetric[];
  readonly commands: UPayload[] = [];
  readonly #wishes: EdgeWishes;
  readonly #client: ReturnType<typeof newClient>;
  readonly #born: Promise<void>;

  constructor(wishes: EdgeWishes) {
    this.#wishes = wishes;
    this.metrics = wishes.metrics;
    this.#client = newClient({
      serverUrl: `mqtt://127.0.0.1:${wishes.port}`,
      username: "",
      password: "",
      groupId: wishes.group,
      edgeNode: wishes.node,
      clientId: `edge-${wishes.group}-${wishes.node}`,
      publishDeath: true,
      mqttOptions: { reconnectPeriod: 50 },
    });
    this.#born = new Promise((resolve) => {
      this.#client.on("birth", () => {
        this.bear();
        resolve();
      });
    });
    this.#client.on("ncmd", (payload) => {
      this.commands.push(payload);
      const wantsRebirth = payload.metrics?.some(
        ({ name, value }) => name === "Node Control/Rebirth" && value === true,
      );
      if (wantsRebirth && !wishes.isDeaf) this.bear();
    });
    this.#client.on("error", () => {});
  }

  static async start(wishes: EdgeWishes): Promise<EdgeNode> {
    const edge = new EdgeNode(wishes);
    await edge.#born;
    return edge;
  }

  bear(): void {
    const { compress = false, devices = {} } = this.#wishes;
    const options = { compress };
    this.births++;
    const control = { name: "Node Control/Rebirth", type: "Boolean", value: false } as const;
    const timestamp = Date.now();
    this.#client.publishNodeBirth({ timestamp, metrics: [control, ...this.metrics] }, options);
    for (const [device, metrics] of Object.entries(devices))
      this.#client.publishDeviceBirth(device, { timestamp, metrics: [...metrics] }, options);
  }

  data(...metrics: EdgeMetric[]): void {
    this.#client.publishNodeData({ timestamp: Date.now(), metrics }, this.#options);
  }

  deviceData(device: string, ...metrics: EdgeMetric[]): void {
    this.#client.publishDeviceData(device, { timestamp: Date.now(), metrics }, this.#options);
  }

  deviceDeath(device: string): void {
    this.#client.publishDeviceDeath(device, { timestamp: Date.now(), metrics: [] });
  }

  /** Loses messages: the next has a sequence number that is too high by as many. */
  skip(count: number): void {
    const counter = this.#client as unknown as { seq: number };
    counter.seq = (counter.seq + count) % 256;
  }

  get #options() {
    return { compress: this.#wishes.compress ?? false };
  }

  stop(): void {
    this.#client.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.stop();
  }
}
