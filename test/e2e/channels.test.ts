// What every target has since it may have several connections: topics shared among them in order, topic rules, a rate,
// and certificates that are read again when they change.
import { expect, test } from "bun:test";
import { copyFileSync, renameSync } from "node:fs";
import { createCertificateSet } from "../support/certificates.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";

async function openSite(site: Site, profile: object) {
  const plant = await site.startBroker();
  const business = await site.startBroker();
  site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
  site.writeRecv();
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}`, ...profile });
  const far = site.use(await Collector.start({ door: business.port }));
  const near = site.use(await Publisher.start({ door: plant.port }));
  const { recv } = await site.startBoth();
  return { business, far, near, recv };
}

requireTools(["mosquitto"])("a target", () => {
  test("with several connections spreads the topics and keeps each in order", async () => {
    await using site = await Site.open();
    const { business, far, near, recv } = await openSite(site, { connections: 4 });
    const topics = Array.from({ length: 40 }, (_, index) => `plant/${index}`);
    const all = Array.from({ length: 4000 }, (_, number) => ({
      topic: topics[number % 40] as string,
      payload: String(number),
      options: { qos: 1 as const },
    }));
    await near.publishAll(all);
    const messages = await far.waitForCount(4000);
    for (const topic of topics) {
      const numbers = messages
        .filter((message) => message.topic === topic)
        .map(({ payload }) => Number(payload));
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    }
    const ids = business.log().matchAll(/as (plant-7-hq-\d+) /g);
    expect([...new Set([...ids].map(([, id]) => id))].sort()).toEqual(
      [1, 2, 3, 4].map((n) => `plant-7-hq-${n}`),
    );
    const publishers = [...business.log().matchAll(/Received PUBLISH from (plant-7-hq-\d+) /g)];
    expect(new Set(publishers.map(([, id]) => id)).size).toBe(4);
    expect((await recv.readStatus<RecvStatus>()).targets[0]).toMatchObject({
      state: "connected",
      connections: 4,
    });
  }, 60_000);

  test("with several connections keeps a topic in order that comes at QoS 0 and 1 by turns, under load", async () => {
    await using site = await Site.open();
    // With a window, the broker itself would let QoS 0 overtake what waits for it.
    const business = await site.startBroker({ lines: ["max_inflight_messages 0"] });
    const listenPort = await findFreeTcpPort();
    const listener = [{ address: `127.0.0.1:${listenPort}` }];
    site.writeSend([{ name: "line", type: "listen", anonymous: true, listener }]);
    site.writeRecv();
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}`, connections: 4 });
    const far = site.use(await Collector.start({ door: business.port }));
    const { recv } = await site.startBoth();
    const near = site.use(await Publisher.start({ door: listenPort }));
    const all = Array.from({ length: 20_000 }, (_, number) => {
      const qos = number % 97 === 0 ? (1 as const) : (0 as const);
      return { topic: `plant/${number % 40}`, payload: String(number), options: { qos } };
    });
    await near.publishAll(all);
    const messages = await far.waitForCount(all.length, undefined, () => recv.tail());
    for (let topic = 0; topic < 40; topic++) {
      const numbers = messages
        .filter((message) => message.topic === `plant/${topic}`)
        .map(({ payload }) => Number(payload));
      expect(numbers).toEqual(Array.from({ length: 500 }, (_, turn) => turn * 40 + topic));
    }
    const isDone = ({ targets }: RecvStatus) => targets[0]?.ledger.held === 0;
    const { targets } = await recv.waitForStatus<RecvStatus>("all done", isDone);
    expect(targets[0]?.ledger).toMatchObject({ forwarded: all.length });
  }, 60_000);

  test("has rules that rename, lower, strip and keep back, the first that matches first", async () => {
    await using site = await Site.open();
    const { far, near, recv } = await openSite(site, {
      topic_prefix: "hq/",
      rule: [
        { name: "no-debug", match: "plant/+/debug/#", action: "drop" },
        { match: "plant/{line}/{sensor}/t", topic: "dt/{sensor}/{line}", qos_max: 0, retain: "strip" },
        { match: "plant/{line}/#", topic: "raw/{line}/{#}" },
      ],
    });
    const options = { qos: 1 as const, retain: true };
    await near.publish("plant/7/debug/x", "a", options);
    await near.publish("plant/7/s1/t", "b", options);
    await near.publish("plant/7/s1/p/q", "c", options);
    const messages = await far.waitForCount(2);
    expect(messages.map(({ topic, qos, retain }) => [topic, qos, retain])).toEqual([
      ["hq/dt/s1/7", 0, false],
      ["hq/raw/7/s1/p/q", 1, true],
    ]);
    const status = await recv.waitForStatus<RecvStatus>(
      "all handled",
      ({ targets }) => targets[0]?.ledger.held === 0,
    );
    expect(status.targets[0]?.ledger).toMatchObject({
      accepted: 3,
      forwarded: 2,
      filtered: { "no-debug": 1 },
    });
  }, 60_000);

  test("keeps to its rate", async () => {
    await using site = await Site.open();
    const { far, near } = await openSite(site, { messages_per_second: 40 });
    const startedMs = performance.now();
    await near.publishAll(
      Array.from({ length: 120 }, (_, n) => ({
        topic: "plant/x",
        payload: String(n),
        options: { qos: 1 as const },
      })),
    );
    await far.waitForCount(120);
    // A tenth of a second's worth goes at once, the rest at the rate: slower machines only take longer.
    expect(performance.now() - startedMs).toBeGreaterThan(((120 - 4) / 40) * 1000 - 100);
    expect(far.messages.map(({ payload }) => Number(payload))).toEqual(
      Array.from({ length: 120 }, (_, n) => n),
    );
  }, 60_000);
});

requireTools(["mosquitto"])("a certificate file that changes", () => {
  test("is used from the next connection on, which comes at once and loses and doubles nothing", async () => {
    await using site = await Site.open();
    const set = await createCertificateSet(site.workspace.directory);
    const other = await set.authority.issue("other-client", { usage: "client" });
    const plant = await site.startBroker();
    const business = await site.startBroker({
      listeners: [
        {},
        {
          tls: { server: set.server, caFile: set.caFile, requireCertificate: true },
          lines: ["use_identity_as_username true"],
        },
      ],
      lines: ["per_listener_settings true"],
    });
    const cert = site.workspace.path("own.pem");
    const key = site.workspace.path("own.key");
    copyFileSync(set.client.certFile, cert);
    copyFileSync(set.client.keyFile, key);
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
    site.writeRecv();
    site.writeTarget("hq", {
      url: `mqtts://localhost:${business.ports[1]}`,
      tls: { ca_file: set.caFile, cert_file: cert, key_file: key },
    });
    const far = site.use(await Collector.start({ door: business.port }));
    const near = site.use(await Publisher.start({ door: plant.port }));
    const { recv } = await site.startBoth();
    let number = 0;
    const load = setInterval(() => void near.publish("plant/x", String(number++), { qos: 1 }), 5);
    await far.waitForCount(20);
    // The key first and alone: a pair that does not fit changes nothing.
    replace(other.keyFile, key);
    await waitFor(
      "the refusal",
      30_000,
      () => recv.tail().includes("cannot use the changed certificates"),
      () => recv.tail(),
    );
    replace(other.certFile, cert);
    await waitFor(
      "the change",
      30_000,
      () => recv.tail().includes("certificates read again"),
      () => recv.tail(),
    );
    await recv.waitForStatus<RecvStatus>(
      "a second connection",
      ({ targets }) => targets[0]?.connections === 2,
    );
    const before = far.messages.length;
    await far.waitForCount(before + 20);
    clearInterval(load);
    const messages = await far.waitForCount(number);
    expect(messages.map(({ payload }) => Number(payload))).toEqual(
      Array.from({ length: number }, (_, n) => n),
    );
    expect(recv.tail()).not.toContain("lost the connection");
  }, 90_000);
});

/** As careful tools do: written beside, then moved into place. */
function replace(from: string, to: string): void {
  copyFileSync(from, `${to}.new`);
  renameSync(`${to}.new`, to);
}
