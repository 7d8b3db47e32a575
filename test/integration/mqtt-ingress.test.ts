// The ingress tap between MQTT.js and a real mosquitto: what is acknowledged, what comes again, and what comes once.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { MqttClient } from "mqtt";
import { type BrokerSession, createBrokerConnection } from "../../shared/mqtt/connection.ts";
import {
  createIngressTap,
  type InboundPublish,
  type InboundRefusal,
  type IngressTap,
} from "../../shared/mqtt/ingress-tap.ts";
import { createAuthority, issue, type Mosquitto, mosquittoPath, startMosquitto } from "./mqtt-lab.ts";

type Scheme = "mqtt" | "mqtts" | "ws" | "wss";

let broker: Mosquitto<Scheme>;
let caPem = "";
let serial = 0;
const open = new Set<MqttClient>();

type Ingress = {
  readonly client: MqttClient;
  readonly tap: IngressTap;
  readonly publishes: InboundPublish[];
  readonly refusals: InboundRefusal[];
  readonly problems: string[];
  /** Resolves when so many publishes and refusals have come since the start. */
  readonly came: (count: number) => Promise<void>;
  readonly sessions: BrokerSession[];
  /** Resolves when subscribed for the n-th time. */
  readonly subscribed: (count: number) => Promise<void>;
};

function startIngress(
  scheme: Scheme,
  version: 4 | 5,
  filter: string,
  options: {
    clientId?: string;
    cleanStart?: boolean;
    packetBytesMax?: number;
    receiveMaximum?: number;
    isAcking?: boolean;
  },
): Ingress {
  const waiting: { list: unknown[]; count: number; resolve: () => void }[] = [];
  const check = () => {
    for (const one of waiting) if (one.list.length >= one.count) one.resolve();
  };
  const until = (list: unknown[], count: number) =>
    new Promise<void>((resolve) => {
      waiting.push({ list, count, resolve });
      check();
    });
  const publishes: InboundPublish[] = [];
  const refusals: InboundRefusal[] = [];
  const all: unknown[] = [];
  const problems: string[] = [];
  const sessions: BrokerSession[] = [];
  const subscriptions: number[] = [];
  const receiveMaximum = options.receiveMaximum ?? 100;
  const take = (delivery: InboundPublish | InboundRefusal) => {
    all.push(delivery);
    if (options.isAcking ?? true) tap.ack([delivery]);
    check();
  };
  const tap = createIngressTap({
    version,
    packetBytesMax: options.packetBytesMax ?? 1_000_000,
    receiveMaximum,
    onPublish: (publish) => {
      publishes.push(publish);
      take(publish);
    },
    onRefusal: (refusal) => {
      refusals.push(refusal);
      take(refusal);
    },
    onProtocolError: (reason) => problems.push(reason),
  });
  const isSecure = scheme === "mqtts" || scheme === "wss";
  const tls = { caPem, certPem: undefined, keyPem: undefined, serverName: "broker.example", alpn: [] };
  const client = createBrokerConnection({
    label: "source line",
    address: { scheme, host: "127.0.0.1", port: broker.ports[scheme], path: "/" },
    tls: () => (isSecure ? tls : undefined),
    version,
    clientId: options.clientId ?? `ingress-${serial++}`,
    login: () => ({ username: undefined, password: undefined }),
    cleanStart: options.cleanStart ?? true,
    sessionExpirySeconds: 3600,
    receiveMaximum,
    keepaliveSeconds: 30,
    connectTimeoutSeconds: 5,
    reconnectMinMs: 20,
    reconnectMaxMs: 50,
    random: Math.random,
    wrap: (socket) => tap.wrap(socket),
    onOnline: (session) => {
      sessions.push(session);
      client.subscribe(filter, { qos: 2 }, () => {
        subscriptions.push(1);
        check();
      });
    },
    onOffline: () => {},
  });
  open.add(client);
  client.connect();
  return {
    client,
    tap,
    publishes,
    refusals,
    problems,
    came: (count) => until(all, count),
    sessions,
    subscribed: (count) => until(subscriptions, count),
  };
}

async function stop(client: MqttClient): Promise<void> {
  open.delete(client);
  await client.endAsync(true);
}

/** Publishes from a client of its own, which is MQTT.js as it is. */
async function publish(
  topic: string,
  payloads: readonly (string | Buffer)[],
  qos: 0 | 1 | 2,
  properties?: object,
): Promise<void> {
  const online = Promise.withResolvers<void>();
  const client = createBrokerConnection({
    label: "publisher",
    address: { scheme: "mqtt", host: "127.0.0.1", port: broker.ports.mqtt, path: "" },
    tls: () => undefined,
    version: 5,
    clientId: `publisher-${serial++}`,
    login: () => ({ username: undefined, password: undefined }),
    cleanStart: true,
    sessionExpirySeconds: undefined,
    receiveMaximum: undefined,
    keepaliveSeconds: 30,
    connectTimeoutSeconds: 5,
    reconnectMinMs: 20,
    reconnectMaxMs: 50,
    random: Math.random,
    onOnline: () => online.resolve(),
    onOffline: () => {},
  });
  client.connect();
  await online.promise;
  for (const payload of payloads)
    await client.publishAsync(topic, payload, { qos, ...(properties ? { properties } : {}) });
  await client.endAsync();
}

const texts = (publishes: readonly InboundPublish[]) =>
  publishes.map(({ payload }) => Buffer.from(payload).toString());
const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

describe.skipIf(mosquittoPath === undefined)("with mosquitto (skipped when it is not installed)", () => {
  beforeAll(async () => {
    const ca = await createAuthority("Lab");
    caPem = ca.certificate;
    const server = await issue(ca, "broker.example");
    const listeners = {
      mqtt: {},
      mqtts: { server },
      ws: { websockets: true },
      wss: { websockets: true, server },
    };
    broker = await startMosquitto(listeners, ["max_queued_messages 0", "max_inflight_messages 50"]);
  });
  afterAll(async () => {
    for (const client of open) client.end(true);
    await broker.stop();
  });

  for (const version of [4, 5] as const) {
    test.each(["mqtt", "mqtts", "ws", "wss"] as const)(
      `createIngressTap() takes every QoS in order over %s, MQTT ${version}`,
      async (scheme) => {
        const topic = `order/${scheme}/${version}`;
        const ingress = startIngress(scheme, version, topic, {});
        await ingress.subscribed(1);
        for (const qos of [0, 1, 2] as const) {
          const before = ingress.publishes.length;
          await publish(topic, numbers(120), qos);
          await ingress.came(before + 120);
          const since = ingress.publishes.slice(before);
          expect(texts(since)).toEqual(numbers(120));
          expect(new Set(since.map((one) => one.qos))).toEqual(new Set([qos]));
        }
        expect(ingress.publishes.length).toBe(360);
        expect(ingress.problems).toEqual([]);
        await stop(ingress.client);
      },
    );

    test(`createIngressTap() gets unacknowledged messages again after a reconnect, and QoS 2 once, MQTT ${version}`, async () => {
      const topic = `again/${version}`;
      const clientId = `again-${version}`;
      const options = { clientId, cleanStart: false, isAcking: false };
      const ingress = startIngress("mqtt", version, topic, options);
      await ingress.subscribed(1);
      await publish(topic, ["one"], 1);
      await publish(topic, ["two"], 2);
      await ingress.came(2);
      ingress.client.stream.destroy();
      await ingress.subscribed(2);
      // "one" comes again as a new delivery; "two" is remembered, though it is not yet committed.
      await ingress.came(3);
      await publish(topic, ["three"], 1);
      await ingress.came(4);
      expect(ingress.sessions.map(({ sessionPresent }) => sessionPresent)).toEqual([false, true]);
      expect(texts(ingress.publishes)).toEqual(["one", "two", "one", "three"]);
      expect(ingress.publishes.map(({ dup }) => dup)).toEqual([false, false, true, false]);
      ingress.tap.ack(ingress.publishes);
      // A whole round trip after the acknowledgements: the broker has them.
      await ingress.client.unsubscribeAsync("none");
      ingress.client.stream.destroy();
      await ingress.subscribed(3);
      await publish(topic, ["four"], 2);
      await ingress.came(5);
      expect(texts(ingress.publishes).slice(4)).toEqual(["four"]);
      await stop(ingress.client);
    });

    test(`createIngressTap() goes on after an oversize message, MQTT ${version}`, async () => {
      const topic = `large/${version}`;
      const ingress = startIngress("mqtt", version, topic, { packetBytesMax: 10_000 });
      await ingress.subscribed(1);
      for (const qos of [0, 1, 2] as const) await publish(topic, [Buffer.alloc(500_000), "small"], qos);
      await ingress.came(6);
      expect(texts(ingress.publishes)).toEqual(["small", "small", "small"]);
      expect(ingress.refusals.map(({ reason, topic, qos }): unknown[] => [reason, topic, qos])).toEqual(
        ([0, 1, 2] as const).map((qos) => ["oversize", topic, qos]),
      );
      expect(ingress.refusals.every(({ packetBytes }) => packetBytes > 500_000)).toBe(true);
      await stop(ingress.client);
    });

    test(`IngressTap.pause() holds a flood back and loses nothing of QoS 1, MQTT ${version}`, async () => {
      const topic = `flood/${version}`;
      const ingress = startIngress("mqtt", version, topic, { receiveMaximum: 10 });
      await ingress.subscribed(1);
      ingress.tap.pause();
      await publish(topic, numbers(500), 1);
      expect(ingress.publishes.length).toBe(0);
      ingress.tap.resume();
      await ingress.came(500);
      expect(texts(ingress.publishes)).toEqual(numbers(500));
      await stop(ingress.client);
    });
  }

  test("createIngressTap() hands on the properties that may cross, and only those", async () => {
    const ingress = startIngress("mqtt", 5, "properties", {});
    await ingress.subscribed(1);
    await publish("properties", ["x"], 1, {
      payloadFormatIndicator: true,
      messageExpiryInterval: 77,
      contentType: "text/plain",
      responseTopic: "secret/way/back",
      correlationData: Buffer.from("id"),
      userProperties: { unit: "°C", tag: ["a", "b"] },
    });
    await ingress.came(1);
    expect(ingress.publishes[0]?.properties).toEqual({
      payloadFormat: 1,
      messageExpirySeconds: 77,
      contentType: "text/plain",
      userProperties: [
        ["unit", "°C"],
        ["tag", "a"],
        ["tag", "b"],
      ],
    });
    await stop(ingress.client);
  });

  test("createIngressTap() takes shared subscriptions: two clients get each message once between them", async () => {
    const two = [1, 2].map(() => startIngress("mqtt", 5, "$share/group/shared", {}));
    await Promise.all(two.map((ingress) => ingress.subscribed(1)));
    await publish("shared", numbers(50), 1);
    await new Promise<void>((resolve) => collect(two, 50, resolve));
    const all = two.flatMap((ingress) => texts(ingress.publishes));
    expect(all.sort((a, b) => Number(a) - Number(b))).toEqual(numbers(50));
    for (const { client } of two) await stop(client);
  });
});

function collect(all: readonly Ingress[], count: number, done: () => void): void {
  const total = all.reduce((sum, { publishes }) => sum + publishes.length, 0);
  if (total >= count) done();
  else setImmediate(collect, all, count, done);
}
