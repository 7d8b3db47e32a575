// Brokers that bridge into the agent: Mosquitto in both versions, with and without its private marks, its notifications, and a
// backlog that it kept while the agent was away. Ten thousand idle connections while a bridge goes on.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type SendStatus, unaccounted } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";

type ListenStatus = SendStatus & {
  readonly sources: readonly {
    readonly listen?: { readonly clients: number; readonly refused: Record<string, number> };
  }[];
};

const BRIDGES: [version: string, tryPrivate: boolean, notifications: boolean][] = [
  ["mqttv311", true, true],
  ["mqttv311", false, false],
  ["mqttv50", true, true],
  ["mqttv50", false, false],
];

async function openSite(more: readonly string[], port: number) {
  const site = await Site.open();
  const business = await site.startBroker();
  const listener = [{ address: `127.0.0.1:${port}` }];
  site.writeSend([
    { name: "floor", type: "listen", anonymous: true, connections_per_second_max: 10_000, listener },
  ]);
  site.writeRecv();
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
  const far = site.use(await Collector.start({ door: business.port }));
  const plant = await site.startBroker({
    persistence: true,
    lines: [
      "connection into-the-diode",
      `address 127.0.0.1:${port}`,
      "topic plant/# out 2",
      "topic commands/# in 1",
      "cleansession false",
      "restart_timeout 1",
      ...more,
    ],
  });
  return { site, far, plant };
}

requireTools(["mosquitto"])("a Mosquitto bridge", () => {
  test.each(BRIDGES)(
    "of %s (try_private %p, notifications %p) carries each QoS, and its backlog after a restart",
    async (version, tryPrivate, notifications) => {
      const port = await findFreeTcpPort();
      const { site, far, plant } = await openSite(
        [`bridge_protocol_version ${version}`, `try_private ${tryPrivate}`, `notifications ${notifications}`],
        port,
      );
      await using _site = site;
      const { send } = await site.startBoth();
      const one = (status: ListenStatus) => status.sources[0]?.listen?.clients === 1;
      await send.waitForStatus<ListenStatus>("the bridge", one, 40_000);
      await using near = await Publisher.start({ door: plant.port });
      for (const qos of [0, 1, 2] as const)
        await near.publishAll(
          Array.from({ length: 50 }, (_, index) => ({
            topic: `plant/${qos}`,
            payload: String(index),
            options: { qos },
          })),
        );
      await far.waitForCount(150, "plant", () => send.tail());
      if (notifications) {
        const filtered = (status: ListenStatus) => (status.ledger.filtered["dollar-topics"] ?? 0) > 0;
        await send.waitForStatus<ListenStatus>("the bridge's notification", filtered);
      }
      const status = await send.readStatus<ListenStatus>();
      expect(status.sources[0]?.listen?.refused).toEqual({});
      expect(unaccounted(status.ledger)).toBe(0);
      await send.kill();
      await near.publishAll(
        Array.from({ length: 500 }, (_, index) => ({
          topic: "plant/backlog",
          payload: String(index),
          options: { qos: 2 as const },
        })),
      );
      const again = await waitUntilReady(site.startSend());
      const messages = await far.waitForCount(500, "plant/backlog", () => again.tail(), 60_000);
      expect(messages.map(({ payload }) => Number(payload))).toEqual(
        Array.from({ length: 500 }, (_, index) => index),
      );
      expect(far.below("$SYS")).toEqual([]);
    },
    120_000,
  );

  test("goes on while thousands of idle connections come and are held", async () => {
    const port = await findFreeTcpPort();
    const { site, far } = await openSite(["bridge_protocol_version mqttv311"], port);
    await using _site = site;
    const { send } = await site.startBoth();
    const one = (status: ListenStatus) => status.sources[0]?.listen?.clients === 1;
    await send.waitForStatus<ListenStatus>("the bridge", one, 40_000);
    const readMegabytes = () =>
      Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${send.pid}/status`, "utf8"))?.[1]) / 1000;
    const before = readMegabytes();
    const count = idleCount();
    const sockets: Bun.Socket<undefined>[] = [];
    let welcomed = 0;
    await using near = await Publisher.start({ door: port });
    let published = 0;
    const publish = async (messages: number) => {
      const batch = Array.from({ length: messages }, (_, index) => ({
        topic: "plant/busy",
        payload: String(published + index),
        options: { qos: 1 as const },
      }));
      published += messages;
      await near.publishAll(batch);
    };
    let isFlowing = true;
    const flow = (async () => {
      while (isFlowing) await publish(50);
    })();
    for (let i = 0; i < count; i++) {
      const id = `idle${String(i).padStart(6, "0")}`;
      const connect = Buffer.concat([Buffer.from("101600044d5154540402012c000a", "hex"), Buffer.from(id)]);
      sockets.push(
        await Bun.connect({
          hostname: "127.0.0.1",
          port,
          socket: { open: (socket) => void socket.write(connect), data: () => void welcomed++ },
        }),
      );
    }
    await waitFor(
      `${count} idle clients`,
      60_000,
      () => welcomed === count,
      () => `${welcomed}\n${send.tail()}`,
    );
    const perConnection = ((readMegabytes() - before) * 1000) / count;
    process.stderr.write(`${count} idle connections: ${perConnection.toFixed(1)} kB each\n`);
    isFlowing = false;
    await flow;
    await publish(500);
    const busy = await far.waitForCount(published, "plant/busy", () => send.tail(), 60_000);
    expect(busy.map(({ payload }) => Number(payload))).toEqual(
      Array.from({ length: published }, (_, index) => index),
    );
    const status = await send.readStatus<ListenStatus>();
    expect(status.sources[0]?.listen?.clients).toBe(count + 2);
    expect(perConnection).toBeLessThan(50);
    for (const socket of sockets) socket.terminate();
    const two = (status: ListenStatus) => status.sources[0]?.listen?.clients === 2;
    await send.waitForStatus<ListenStatus>("them gone", two);
  }, 180_000);
});

/** Both ends are on this host: each connection takes a descriptor here and one in the agent. */
function idleCount(): number {
  const limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
  return Math.min(10_000, limit - 500);
}
