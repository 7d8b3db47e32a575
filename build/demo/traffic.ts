// The two ends that belong to neither agent: a publisher in the plant and a subscriber at headquarters,
// plain MQTT.js clients with counts of their own.
import { readFileSync } from "node:fs";
import { connectAsync, type MqttClient } from "mqtt";
import type { CertificateFiles } from "../../test/support/certificates.ts";
import { Comparison } from "./comparison.ts";
import { createPlantMessage, staysBehind } from "./plant-data.ts";

const TICK_MS = 20;
const UNACKNOWLEDGED_MAX = 2_000;

export type Arrival = { readonly topic: string; readonly payload: Uint8Array };

export class Traffic {
  readonly comparison = new Comparison();
  /** Acknowledged by the plant broker. */
  published = 0;
  staying = 0;
  readonly #latest = new Map<string, Arrival>();
  #handedOver = 0;
  #dueAtStart = 0;
  #startedAtMs = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  private constructor(
    private readonly plant: MqttClient,
    private readonly headquarters: MqttClient,
  ) {
    headquarters.on("message", (topic, payload) => {
      this.comparison.take(topic, payload);
      this.#latest.set(topic, { topic, payload });
    });
  }

  static async connect(
    plantPort: number,
    hqPort: number,
    reader: CertificateFiles,
    caFile: string,
  ): Promise<Traffic> {
    const plant = await connectAsync(`mqtt://127.0.0.1:${plantPort}`, { clientId: "plc-gateway" });
    const headquarters = await connectAsync(`mqtts://localhost:${hqPort}`, {
      clientId: "dashboard",
      ca: readFileSync(caFile),
      cert: readFileSync(reader.certFile),
      key: readFileSync(reader.keyFile),
    });
    const traffic = new Traffic(plant, headquarters);
    await headquarters.subscribeAsync("plant/#", { qos: 1 });
    return traffic;
  }

  /** Messages handed to MQTT.js whose acknowledgement is still out. */
  get unacknowledged(): number {
    return this.#handedOver - this.published;
  }

  /** The latest arrival of each topic, by name. */
  listLatest(): Arrival[] {
    return [...this.#latest.values()].sort((one, other) => (one.topic < other.topic ? -1 : 1));
  }

  start(messagesPerSecond: number): void {
    this.#startedAtMs = performance.now();
    this.#timer = setInterval(() => this.#publishDue(messagesPerSecond), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async disconnect(): Promise<void> {
    this.stop();
    await Promise.allSettled([this.plant.endAsync(true), this.headquarters.endAsync(true)]);
  }

  // What a slow machine cannot take is not made up for later: the rate falls, and memory stays bounded.
  #publishDue(messagesPerSecond: number): void {
    const due = Math.floor(((performance.now() - this.#startedAtMs) * messagesPerSecond) / 1_000);
    const room = UNACKNOWLEDGED_MAX - this.unacknowledged;
    for (let count = Math.min(due - this.#dueAtStart, room); count > 0; count -= 1) this.#publishOne();
    this.#dueAtStart = due;
  }

  #publishOne(): void {
    const { topic, payload } = createPlantMessage(this.#handedOver, Date.now());
    this.#handedOver += 1;
    if (staysBehind(topic)) this.staying += 1;
    else this.comparison.expect(topic, payload);
    this.plant.publish(topic, Buffer.from(payload), { qos: 1 }, (error) => {
      if (!error) this.published += 1;
    });
  }
}
