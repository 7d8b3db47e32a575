// The egress tap with createBrokerConnection() and a real Mosquitto: all QoS, both versions, connections cut at any
// byte, a broker that restarts, and what it refuses.
import { afterEach, expect, test } from "bun:test";
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import mqtt, { type MqttClient } from "mqtt";
import type { Message, Qos } from "../../shared/message.ts";
import { createBrokerConnection } from "../../shared/mqtt/connection.ts";
import { createEgressTap, type EgressOutcome, type EgressTap } from "../../shared/mqtt/egress-tap.ts";
import { type Mosquitto, startMosquitto } from "../support/mosquitto.ts";
import { requireTools } from "../support/requirements.ts";
import { waitFor } from "../support/wait.ts";
import { Workspace } from "../support/workspace.ts";
import { seededRandom } from "../unit/shared/mqtt/fake-socket.ts";

const DEADLINE_MS = 40_000;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startBroker(persistence = false): Promise<Mosquitto> {
  const lines = ["max_queued_messages 0", "max_inflight_messages 2000", "set_tcp_nodelay true"];
  const broker = await startMosquitto({ persistence, lines });
  cleanups.push(() => broker.remove());
  return broker;
}

type Received = { topic: string; number: number; userProperties: unknown };

/** Receives everything, also what came while it was away. */
async function subscribe(port: number, version: 4 | 5): Promise<Received[]> {
  const received: Received[] = [];
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
    protocolVersion: version,
    clientId: "subscriber",
    clean: false,
    reconnectPeriod: 50,
    ...(version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}),
  });
  cleanups.push(() => client.endAsync(true));
  client.on("error", () => {});
  client.on("message", (topic, payload, packet) => {
    received.push({ topic, number: Number(payload), userProperties: packet.properties?.userProperties });
  });
  await client.subscribeAsync("t/#", { qos: 2 });
  return received;
}

type Publisher = {
  readonly tap: EgressTap;
  readonly client: MqttClient;
  readonly problems: string[];
  readonly faults: string[];
  readonly outcomes: EgressOutcome[];
  connections: number;
  publish(number: number, qos: Qos, more?: Partial<Message>): void;
};

function startPublisher(
  port: number,
  version: 4 | 5,
  inflightMax = 100,
  scheme: "mqtt" | "ws" = "mqtt",
): Publisher {
  const problems: string[] = [];
  const faults: string[] = [];
  const outcomes: EgressOutcome[] = [];
  const tap = createEgressTap({
    ...{ version, inflightMax, clock: () => performance.now(), onRoom: () => {} },
    onProtocolError: (reason) => problems.push(reason),
  });
  const client = createBrokerConnection({
    label: "target test",
    address: { scheme, host: "127.0.0.1", port, path: "/" },
    ...{ tls: () => undefined, version, clientId: "publisher" },
    login: () => ({ username: undefined, password: undefined }),
    ...{ cleanStart: true, sessionExpirySeconds: undefined, receiveMaximum: undefined, keepaliveSeconds: 30 },
    ...{ connectTimeoutSeconds: 10, reconnectMinMs: 10, reconnectMaxMs: 30, random: () => 0.5 },
    wrap: (socket) => tap.wrap(socket),
    onOnline: (session) => {
      publisher.connections++;
      tap.open(session);
    },
    onOffline: (fault) => faults.push(fault.sentence),
  });
  const publisher: Publisher = {
    ...{ tap, client, problems, faults, outcomes, connections: 0 },
    publish(number, qos, more) {
      const payload = Buffer.from(String(number));
      const plain = { payload, qos, retain: false, properties: undefined, acceptedMs: 0 };
      tap.publish({ topic: `t/${number}`, ...plain, ...more }, (outcome) => outcomes.push(outcome));
    },
  };
  cleanups.push(() => new Promise<void>((resolve) => client.end(true, {}, () => resolve())));
  client.connect();
  return publisher;
}

/** Publishes as there is room, and waits until all is settled. */
async function publishAll(
  publisher: Publisher,
  count: number,
  qosOf: (number: number) => Qos,
): Promise<void> {
  let number = 0;
  await waitFor(
    "all to be settled",
    DEADLINE_MS,
    async () => {
      for (let turn = 0; turn < 200 && number < count; turn++) {
        while (publisher.tap.room > 0 && number < count) publisher.publish(number, qosOf(number++));
        await new Promise((resolve) => setImmediate(resolve));
      }
      return number === count && publisher.tap.pending === 0;
    },
    () => JSON.stringify({ number, pending: publisher.tap.pending, faults: publisher.faults.slice(-3) }),
  );
}

/** All numbers are there, and the first time each comes it comes after the one before. */
function checkOrder(received: readonly Received[], count: number): void {
  let next = 0;
  for (const { number } of received) {
    if (number > next) throw new Error(`${number} came before ${next}`);
    if (number === next) next++;
  }
  expect(next).toBe(count);
}

/** Passes bytes on until `isCut` says so: then both ends are closed at once. */
async function startProxy(
  port: number,
  isCut: (fromClient: Buffer, connection: number) => number | undefined,
): Promise<number> {
  const sockets = new Set<Socket>();
  let connection = 0;
  const server: Server = createServer((client) => {
    const mine = connection++;
    const broker = connectTcp(port, "127.0.0.1");
    const end = () => {
      client.destroy();
      broker.destroy();
    };
    for (const socket of [client, broker]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
    broker.on("data", (chunk) => client.write(chunk));
    client.on("data", (chunk: Buffer) => {
      const cutAt = isCut(chunk, mine);
      broker.write(cutAt === undefined ? chunk : chunk.subarray(0, cutAt));
      // The broker gets what came before the cut; what it answers is lost.
      if (cutAt !== undefined) broker.end(end);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  return address !== null && typeof address === "object" ? address.port : 0;
}

requireTools(["mosquitto"])("EgressTap with Mosquitto", () => {
  for (const version of [4, 5] as const) {
    for (const qos of [0, 1, 2] as const) {
      test(`EgressTap.publish() delivers 5,000 messages once, in order, QoS ${qos}, MQTT ${version}`, async () => {
        const broker = await startBroker();
        const received = await subscribe(broker.port, version);
        const publisher = startPublisher(broker.port, version);
        await publishAll(publisher, 5000, () => qos);
        await waitFor("all messages", DEADLINE_MS, () => received.length >= 5000);
        expect(received.map(({ number }) => number)).toEqual(Array.from({ length: 5000 }, (_, i) => i));
        expect(publisher.problems).toEqual([]);
        expect(publisher.connections).toBe(1);
      }, 60_000);
    }

    for (const qos of [1, 2] as const) {
      test(`EgressTap loses nothing when the connection is cut at any byte, QoS ${qos}, MQTT ${version}`, async () => {
        const broker = await startBroker();
        const received = await subscribe(broker.port, version);
        const random = seededRandom(10 * version + qos);
        let left = 2000;
        const port = await startProxy(broker.port, (chunk) => {
          left -= chunk.length;
          if (left > 0) return undefined;
          const cutAt = chunk.length + left;
          left = Math.floor(random() * 20_000);
          return cutAt;
        });
        const publisher = startPublisher(port, version, 50);
        await publishAll(publisher, 6000, () => qos);
        await waitFor("the last message", DEADLINE_MS, () => received.some(({ number }) => number === 5999));
        checkOrder(received, 6000);
        expect(publisher.connections).toBeGreaterThan(5);
        expect(publisher.problems).toEqual([]);
      }, 60_000);
    }

    test(`EgressTap loses nothing of QoS 1 and 2 when the broker restarts in mid-stream, MQTT ${version}`, async () => {
      const broker = await startBroker(true);
      const received = await subscribe(broker.port, version);
      const publisher = startPublisher(broker.port, version);
      let restarts = 0;
      const restarting = (async () => {
        for (; restarts < 3; restarts++) {
          const before = received.length;
          await waitFor("some messages", DEADLINE_MS, () => received.length > before + 500);
          await broker.restart("SIGTERM");
        }
      })();
      // As many as it takes, so that every restart falls into the stream.
      let count = 0;
      while (restarts < 3) {
        const base = count;
        const chunk = {
          ...publisher,
          publish: (number: number, qos: Qos) => publisher.publish(base + number, qos),
        };
        await publishAll(chunk, 1000, (number) => (number % 2 === 0 ? 1 : 2));
        count += 1000;
      }
      await restarting;
      await waitFor("the last message", DEADLINE_MS, () =>
        received.some(({ number }) => number === count - 1),
      );
      // MQTT keeps the order of each QoS by itself.
      for (const rest of [0, 1]) {
        const mine = received.filter(({ number }) => number % 2 === rest);
        checkOrder(
          mine.map((each) => ({ ...each, number: (each.number - rest) / 2 })),
          count / 2,
        );
      }
      expect(publisher.connections).toBe(4);
      expect(publisher.problems).toEqual([]);
    }, 60_000);

    test(`EgressTap sends a QoS 2 message again that Mosquitto forgot after its PUBREC, MQTT ${version}`, async () => {
      const broker = await startBroker();
      const received = await subscribe(broker.port, version);
      // Cut exactly before the first PUBREL: Mosquitto has said PUBREC, and drops the message with the session.
      const port = await startProxy(broker.port, (chunk, connection) =>
        connection === 0 && chunk[0] === 0x62 ? 0 : undefined,
      );
      const publisher = startPublisher(port, version);
      publisher.publish(0, 2);
      await waitFor("it to be settled", DEADLINE_MS, () => publisher.tap.pending === 0);
      await waitFor("the message", DEADLINE_MS, () => received.length > 0);
      expect(publisher.connections).toBe(2);
      expect(received.map(({ number }) => number)).toEqual([0]);
    });
  }

  test("EgressTap keeps the order of user properties through a broker", async () => {
    const broker = await startBroker();
    const received = await subscribe(broker.port, 5);
    const publisher = startPublisher(broker.port, 5);
    const userProperties = [...["z", "a", "m", "b"].map((name) => [name, `of ${name}`] as const)];
    publisher.publish(1, 1, { properties: { userProperties } });
    await waitFor("the message", DEADLINE_MS, () => received.length > 0);
    expect(Object.entries(received[0]?.userProperties ?? {})).toEqual(
      userProperties.map((pair) => [...pair]),
    );
  });

  test("EgressTap says which message the broker refuses, and goes on", async () => {
    const workspace = new Workspace("acl");
    cleanups.push(() => workspace.remove());
    const rules = workspace.write("acl", "topic readwrite t/#\n");
    const broker = await startMosquitto({ listeners: [{ lines: [`acl_file ${rules}`] }] });
    cleanups.push(() => broker.remove());
    const publisher = startPublisher(broker.port, 5);
    for (const qos of [1, 2] as const) publisher.publish(qos, qos, { topic: "forbidden" });
    publisher.publish(3, 2);
    await waitFor(
      "all to be settled",
      DEADLINE_MS,
      () => publisher.tap.pending === 0 && publisher.connections === 1,
    );
    const refused = { kind: "refused", code: 0x87, reason: "not authorized (0x87)" } as const;
    expect(publisher.outcomes).toEqual([refused, refused, { kind: "forwarded" }]);
  });

  test("EgressTap.publish() delivers over WebSocket, large payloads between small ones", async () => {
    const broker = await startMosquitto({ listeners: [{}, { websockets: true }] });
    cleanups.push(() => broker.remove());
    const received = await subscribe(broker.port, 5);
    const publisher = startPublisher(broker.ports[1] ?? 0, 5, 100, "ws");
    // A number with leading zeros is still that number.
    const sizes = [1, 20_000, 3, 65_536, 300_000, 100];
    for (let number = 0; number < 60; number++) {
      const payload = Buffer.from(String(number).padStart(sizes[number % 6] ?? 1, "0"));
      publisher.publish(number, (number % 3) as Qos, { payload });
    }
    await waitFor("all messages", DEADLINE_MS, () => received.length === 60);
    const numbers = received.map(({ number }) => number).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 60 }, (_, i) => i));
  });
});
