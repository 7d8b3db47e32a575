// Brokers other than Mosquitto that bridge into the listening source: HiveMQ CE with its own client library, in both versions, over a
// death of the agent; and a cluster in the way of EMQX, whose nodes all use the same client ids.
import { expect, test } from "bun:test";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { Hivemq } from "../../support/hivemq.ts";
import { Collector, Publisher } from "../../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../../support/ports.ts";
import { requireTools } from "../../support/requirements.ts";
import { Site, waitUntilReady } from "../../support/site.ts";
import { type SendStatus, unaccounted } from "../../support/status.ts";
import type { TomlTable } from "../../support/toml.ts";

type ListenStatus = SendStatus & {
  readonly sources: readonly {
    readonly listen?: { readonly clients: number; readonly refused: Record<string, number> };
  }[];
};

async function openSite(port: number, source: TomlTable = {}) {
  const site = await Site.open();
  const business = await site.startBroker();
  const listener = [{ address: `127.0.0.1:${port}` }];
  site.writeSend([{ name: "floor", type: "listen", anonymous: true, listener, ...source }]);
  site.writeRecv();
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
  const far = site.use(await Collector.start({ door: business.port }));
  return { site, far };
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

requireTools(["mosquitto", "javac", "mvn"])("HiveMQ CE", () => {
  test.each(["3", "5"] as const)(
    "bridges each QoS over MQTT %s, and what came while the agent was dead",
    async (version) => {
      const port = await findFreeTcpPort();
      const { site, far } = await openSite(port);
      await using _site = site;
      const { send } = await site.startBoth();
      const hivemq = site.use(await Hivemq.start({ port, version, below: "plant/" }));
      await send.waitForStatus<ListenStatus>(
        "the bridge",
        ({ sources }) => sources[0]?.listen?.clients === 1,
        40_000,
      );
      const near = site.use(await Publisher.start({ door: hivemq.port }));
      // A bundle of messages in one payload, and bytes that are no text: both must be the same on the far side.
      const bundle = Buffer.from(
        JSON.stringify(numbers(50).map((value) => ({ name: `°C ${value}`, value }))),
      );
      const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(3000)));
      await near.publishAll([
        { topic: "plant/bundle", payload: bundle, options: { qos: 1, retain: true } },
        { topic: "plant/noise", payload: noise, options: { qos: 2 } },
      ]);
      for (const qos of [0, 1, 2] as const)
        await near.publishAll(
          numbers(30).map((index) => ({
            topic: `plant/${qos}`,
            payload: String(index),
            options: { qos, ...(version === "5" ? { properties: { userProperties: { line: "7" } } } : {}) },
          })),
        );
      await far.waitForCount(92, "plant", () => send.tail());
      expect(far.below("plant/bundle")[0]?.payload.equals(bundle)).toBe(true);
      expect(far.below("plant/noise")[0]?.payload.equals(noise)).toBe(true);
      for (const qos of [0, 1, 2]) {
        const messages = far.below(`plant/${qos}`);
        expect(messages.map(({ payload }) => Number(payload))).toEqual(numbers(30));
        if (version === "5") expect(messages[0]?.properties.userProperties).toMatchObject({ line: "7" });
      }
      await send.kill();
      const backlog = near.publishAll(
        numbers(100).map((index) => ({
          topic: "plant/backlog",
          payload: String(index),
          options: { qos: 2 as const },
        })),
      );
      const again = await waitUntilReady(site.startSend());
      await backlog;
      const messages = await far.waitForCount(100, "plant/backlog", () => again.tail(), 60_000);
      expect(messages.map(({ payload }) => Number(payload)).sort((a, b) => a - b)).toEqual(numbers(100));
      const status = await again.readStatus<ListenStatus>();
      expect(status.sources[0]?.listen?.refused).toEqual({});
      expect(unaccounted(status.ledger)).toBe(0);
    },
    180_000,
  );
});

requireTools(["mosquitto"])("a cluster whose nodes share client ids", () => {
  const WORKERS = 4;

  /** Each node has a pool of workers, and each worker an id that has nothing of the node in it. */
  async function joinNode(port: number, protocolVersion: 4 | 5, node: string): Promise<MqttClient[]> {
    return await Promise.all(
      numbers(WORKERS).map(async (worker) => {
        const options: IClientOptions = {
          protocolVersion,
          clientId: `emqx:bridge:${worker}`,
          clean: false,
          ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 7200 } } : {}),
          reconnectPeriod: 20,
          will: { topic: `plant/${node}/gone`, payload: Buffer.from("x"), qos: 1 },
        };
        const client = await connectAsync(`mqtt://127.0.0.1:${port}`, options);
        await client.subscribeAsync("$share/bridge/commands/#", { qos: 1 });
        return client;
      }),
    );
  }

  test.each([4, 5] as const)(
    "keeps all its connections with shared_client_ids (level %d), over a death of the agent, too",
    async (protocolVersion) => {
      const port = await findFreeTcpPort();
      const { site, far } = await openSite(port, { shared_client_ids: "emqx:*" });
      await using _site = site;
      const { send } = await site.startBoth();
      const nodes = new Map<string, MqttClient[]>();
      for (const node of ["a", "b", "c"]) nodes.set(node, await joinNode(port, protocolVersion, node));
      const publish = (topic: string, count: number) =>
        Promise.all(
          [...nodes].flatMap(([node, clients]) =>
            numbers(count).map((index) =>
              clients[index % WORKERS]?.publishAsync(`plant/${node}/${topic}`, String(index), { qos: 1 }),
            ),
          ),
        );
      await publish("first", 40);
      for (const node of nodes.keys()) await far.waitForCount(40, `plant/${node}/first`, () => send.tail());
      const status = await send.readStatus<ListenStatus>();
      expect(status.sources[0]?.listen).toMatchObject({ clients: 12, refused: {} });
      expect(far.messages).toHaveLength(120);
      await send.kill();
      const again = site.startSend();
      await publish("second", 40);
      for (const node of nodes.keys()) {
        const messages = await far.waitForCount(40, `plant/${node}/second`, () => again.tail());
        expect(new Set(messages.map(({ payload }) => Number(payload)))).toEqual(new Set(numbers(40)));
      }
      const after = await again.waitForStatus<ListenStatus>(
        "all to be back",
        ({ sources }) => sources[0]?.listen?.clients === 12,
      );
      expect(after.sources[0]?.listen?.refused).toEqual({});
      for (const clients of nodes.values()) for (const client of clients) client.end(true);
    },
    60_000,
  );
});
