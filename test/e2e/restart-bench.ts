// What the tests of restarts and stops have in common: a site with one source and one target, both brokers keeping their
// sessions, a load of numbered messages at QoS 1, and ways to wait for all of its numbers.
import type { Mosquitto } from "../support/mosquitto.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { firstArrivals, makePayloads } from "../support/payloads.ts";
import type { Site } from "../support/site.ts";
import type { TomlTable } from "../support/toml.ts";

export const QUICK_TO_NOTICE = { link: { degraded_after_ms: 500, down_after_ms: 1000, patience_ms: 300 } };

export type Bench = { site: Site; plant: Mosquitto; business: Mosquitto; far: Collector; near: Publisher };

export function writeSend(site: Site, plant: Mosquitto, over: TomlTable = {}): void {
  const source = { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] };
  site.writeSend([source], { link: { heartbeat_ms: 200 }, ...over });
}

export async function openBench(site: Site): Promise<Bench> {
  const plant = await site.startBroker({ persistence: true });
  const business = await site.startBroker({ persistence: true });
  writeSend(site, plant);
  site.writeRecv(QUICK_TO_NOTICE);
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
  const far = site.use(await Collector.start({ door: business.port, session: "reader" }));
  const near = site.use(await Publisher.start({ door: plant.port }));
  return { site, plant, business, far, near };
}

export function load(count: number) {
  return makePayloads(count).map((payload) => ({ topic: "plant/x", payload, options: { qos: 1 as const } }));
}

export const payloadsOf = (far: Collector) => far.messages.map(({ payload }) => payload);
export const numbersOf = (far: Collector) =>
  firstArrivals(payloadsOf(far)).map((payload) => payload.readUInt32BE());

/** Waits until every number has come at least once. */
export async function waitForAll(far: Collector, count: number, explain: () => string): Promise<void> {
  await far.waitForCount(count, undefined, explain);
  for (let seen = 0; seen < count; seen = numbersOf(far).length) {
    const more = far.messages.length + count - numbersOf(far).length;
    await far.waitForCount(
      more,
      undefined,
      () => `${numbersOf(far).length} of ${count} numbers\n${explain()}`,
    );
  }
}
