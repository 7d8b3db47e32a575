// The ways in: several sources at several brokers, topic filters with a QoS each, logins, TLS and mutual TLS, filter
// rules. And a source whose broker or whose agent is away for a while: what the broker held for us arrives.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createCertificateSet } from "../support/certificates.ts";
import type { Mosquitto } from "../support/mosquitto.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFirstDifference, firstArrivals, makePayloads } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type SendStatus, sum, unaccounted } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";

const USER = "tidegate";
const PASSWORD = "geheim # = [1]";

requireTools(["mosquitto", "mosquitto_passwd"])("several sources", () => {
  let site: Site;
  let plant: Mosquitto;
  let far: Collector;
  let near: Publisher;
  let send: Awaited<ReturnType<Site["startBoth"]>>["send"];

  beforeAll(async () => {
    site = await Site.open();
    const { server, client, caFile } = await createCertificateSet(site.workspace.directory);
    const users = { [USER]: PASSWORD };
    plant = await site.startBroker({
      listeners: [
        {},
        { users },
        { tls: { server, caFile }, users },
        { tls: { server, caFile, requireCertificate: true } },
        { websockets: true },
        { tls: { server, caFile, requireCertificate: true }, websockets: true },
      ],
    });
    const business = await site.startBroker();
    site.workspace.write("password", PASSWORD);
    const mutual = { ca_file: caFile, cert_file: client.certFile, key_file: client.keyFile };
    const source = (name: string, scheme: string, listener: number, more: TomlTable = {}) => ({
      name,
      url: `${scheme}://localhost:${plant.ports[listener]}`,
      topics: [`${name}/#`],
      ...more,
    });
    site.writeSend(
      [
        source("open", "mqtt", 0, {
          qos: 1,
          topics: ["open/one/#", { filter: "open/zero/+", qos: 0 }, { filter: "open/+/two", qos: 2 }],
        }),
        source("login-file", "mqtt", 1, { username: USER, password_file: "password" }),
        source("login-env", "mqtt", 1, {
          username: USER,
          password_env: "TEST_SOURCE_PASSWORD",
          mqtt_version: "3.1.1",
        }),
        source("tls", "mqtts", 2, { username: USER, password_file: "password", tls: { ca_file: caFile } }),
        source("mutual", "mqtts", 3, { tls: mutual }),
        source("mutual-311", "mqtts", 3, { tls: mutual, mqtt_version: "3.1.1" }),
        source("ws", "ws", 4),
        source("wss", "wss", 5, { tls: mutual }),
      ],
      { filter: [{ name: "no-debug", drop: ["+/debug/#", "open/+/secret"] }] },
    );
    site.writeRecv();
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    far = site.use(await Collector.start({ door: business.port }));
    near = site.use(await Publisher.start({ door: plant.port }));
    const recv = await waitUntilReady(site.startRecv());
    send = await waitUntilReady(site.startSend({ env: { TEST_SOURCE_PASSWORD: PASSWORD } }));
    await recv.waitForLog("target connected", ({ msg }) => msg === "target hq is connected");
  }, 60_000);

  afterAll(() => site[Symbol.asyncDispose]());

  test.each(["login-file", "login-env", "tls", "mutual", "mutual-311", "ws", "wss"])(
    "take in what their broker has: %s",
    async (name) => {
      for (const index of [1, 2, 3]) await near.publish(`${name}/${index}`, name, { qos: 1 });
      const messages = await far.waitForCount(3, name, () => send.tail());
      expect(messages.map(({ topic }) => topic)).toEqual([1, 2, 3].map((index) => `${name}/${index}`));
    },
  );

  test("ask for each topic filter with its own QoS, or that of the source", async () => {
    for (const topic of ["open/one/x", "open/zero/x", "open/y/two"])
      await near.publish(topic, topic, { qos: 2 });
    const messages = await far.waitForCount(3, "open", () => send.tail());
    const granted = Object.fromEntries(messages.map(({ topic, qos }) => [topic, qos]));
    expect(granted).toEqual({ "open/one/x": 1, "open/zero/x": 0, "open/y/two": 2 });
  });

  test("keep back what a filter rule names, count it, and let the rest pass", async () => {
    for (const topic of ["tls/debug/x", "open/one/secret", "tls/plain"])
      await near.publish(topic, "x", { qos: 1 });
    await far.waitForCount(1, "tls/plain", () => send.tail());
    const status = await send.waitForStatus<SendStatus>(
      "two filtered",
      ({ ledger }) => sum(ledger.filtered) === 2,
    );
    expect(status.ledger.filtered).toEqual({ "no-debug": 2 });
    expect(unaccounted(status.ledger)).toBe(0);
    expect(far.messages.filter(({ topic }) => /debug|secret/.test(topic))).toEqual([]);
  });
});

requireTools(["mosquitto"])("a source", () => {
  test.each(["5", "3.1.1"])(
    "of MQTT %s is subscribed again when its broker is back, by itself",
    async (version) => {
      await using site = await Site.open();
      const plant = await site.startBroker();
      const business = await site.startBroker();
      const topics = ["plant/#"];
      site.writeSend([
        { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics, mqtt_version: version },
      ]);
      site.writeRecv();
      site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
      const far = site.use(await Collector.start({ door: business.port }));
      const { send } = await site.startBoth();
      for (const round of [1, 2]) {
        await plant.stop("SIGKILL");
        await send.waitForStatus<SendStatus>(
          "the source down",
          ({ sources }) => sources[0]?.state === "down",
        );
        await plant.start();
        await waitUntilReady(send);
        await using near = await Publisher.start({ door: plant.port });
        await near.publish(`plant/${round}`, "back", { qos: 1 });
        await far.waitForCount(1, `plant/${round}`, () => send.tail());
      }
      const told = send.logs.filter(({ msg }) => msg.includes("lost the connection of source line"));
      expect(told).toHaveLength(2);
    },
    60_000,
  );

  test.each(["5", "3.1.1"])(
    "of MQTT %s gets what its broker held while the agent was down",
    async (version) => {
      await using site = await Site.open();
      const plant = await site.startBroker({ persistence: true });
      const business = await site.startBroker();
      const topics = [{ filter: "plant/#", qos: 2 }];
      site.writeSend([
        { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics, mqtt_version: version },
      ]);
      site.writeRecv();
      site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
      const far = site.use(await Collector.start({ door: business.port }));
      const { send } = await site.startBoth();
      expect(await send.stop()).toBe(0);
      const count = 3000;
      const near = await Publisher.start({ door: plant.port });
      await near.publishAll(
        makePayloads(count).map((payload, index) => ({
          topic: "plant/held",
          payload,
          options: { qos: index < count / 2 ? 1 : 2 },
        })),
      );
      await near[Symbol.asyncDispose]();
      await plant.restart();
      const again = site.startSend();
      const messages = await far.waitForCount(count, "plant", () => again.tail());
      const payloads = messages.map(({ payload }) => payload);
      expect(findFirstDifference(firstArrivals(payloads), count)).toBeUndefined();
      const subscribed = await again.waitForLog(
        "subscribed",
        ({ msg }) => msg === "source line is subscribed",
      );
      expect(subscribed.sessionPresent).toBe(true);
    },
    60_000,
  );
});
