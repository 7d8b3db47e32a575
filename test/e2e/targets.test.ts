// The ways to a target: transports, logins, what a profile does to a message. And what becomes of one target when
// another is dead, slow or away for a while: nothing.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import type { Agent } from "../support/agents.ts";
import { type CertificateSet, createCertificateSet } from "../support/certificates.ts";
import type { Mosquitto } from "../support/mosquitto.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { type RecvStatus, unaccounted } from "../support/status.ts";

const USER = "tidegate";
const PASSWORD = 'pa$$ wörd "quoted" \\ end';
const WAYS = ["mqtt", "mqtts", "ws", "wss"].flatMap((scheme, index) =>
  ["file", "env"].map((from) => ({ scheme, index, from, name: `${scheme}-${from}` })),
);

/** Takes a session of MQTT 5 and then neither reads nor answers: the slowest broker there is. */
async function startSilentBroker(site: Site): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write(Buffer.from([0x20, 3, 0, 0, 0]));
      socket.pause();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  site.use({
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function ledgerOf(status: RecvStatus, name: string) {
  return status.targets.find((target) => target.name === name)?.ledger;
}

requireTools(["mosquitto", "mosquitto_passwd"])("each target", () => {
  let site: Site;
  let certificates: CertificateSet;
  let plant: Mosquitto;
  let business: Mosquitto;
  let far: Collector;
  let near: Publisher;
  let recv: Agent;

  beforeAll(async () => {
    site = await Site.open();
    certificates = await createCertificateSet(site.workspace.directory);
    const users = { [USER]: PASSWORD };
    const tls = { server: certificates.server, caFile: certificates.caFile };
    plant = await site.startBroker();
    business = await site.startBroker({
      listeners: [
        { users },
        { users, tls },
        { users, websockets: true },
        { users, tls, websockets: true },
        {},
      ],
    });
    site.workspace.write("targets.d/password", `${PASSWORD}\n`);
    for (const { scheme, index, from, name } of WAYS) {
      site.writeTarget(name, {
        url: `${scheme}://localhost:${business.ports[index]}${scheme.startsWith("ws") ? "/mqtt" : ""}`,
        username: USER,
        ...(from === "file" ? { password_file: "password" } : { password_env: "TEST_TARGET_PASSWORD" }),
        ...(scheme.endsWith("s") && scheme !== "ws" ? { tls: { ca_file: certificates.caFile } } : {}),
        topic_prefix: `${name}/`,
        mqtt_version: from === "file" ? "5" : "3.1.1",
      });
    }
    const open = `mqtt://127.0.0.1:${business.ports[4]}`;
    for (const qos of [0, 1]) {
      site.writeTarget(`ceiling-${qos}`, { url: open, topic_prefix: `ceiling-${qos}/`, qos_max: qos });
    }
    site.writeTarget("strip", { url: open, topic_prefix: "strip/", retain: "strip" });
    site.writeTarget("some", {
      url: open,
      topic_prefix: "some/",
      topics: ["plant/+/wanted", "plant/deep/#"],
    });
    site.writeTarget("dead", { url: "mqtt://127.0.0.1:1", topic_prefix: "dead/" });
    site.writeTarget("slow", {
      url: `mqtt://127.0.0.1:${await startSilentBroker(site)}`,
      connect_timeout_seconds: 5,
    });
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"], qos: 2 }]);
    site.writeRecv();
    far = site.use(await Collector.start({ door: business.ports[4] ?? 0 }));
    recv = site.startRecv({ env: { TEST_TARGET_PASSWORD: PASSWORD } });
    await recv.waitForStatus<RecvStatus>(
      "all targets but the dead one connected",
      ({ targets }) => targets.filter(({ state }) => state === "connected").length === targets.length - 1,
    );
    const send = site.startSend();
    await send.waitForLog("subscribed", ({ msg }) => msg === "source line is subscribed");
    near = site.use(await Publisher.start({ door: plant.port }));
  }, 60_000);

  afterAll(() => site[Symbol.asyncDispose]());

  test.each(WAYS)("over $scheme with its password from $from gets every message", async ({ name }) => {
    for (const qos of [0, 1, 2] as const) await near.publish(`plant/${name}/${qos}`, `via ${name}`, { qos });
    const messages = await far.waitForCount(3, `${name}/plant/${name}`, () => recv.tail());
    expect(messages.map(({ topic, qos }) => [topic, qos])).toEqual(
      [0, 1, 2].map((qos) => [`${name}/plant/${name}/${qos}`, qos]),
    );
  });

  test.each([0, 1] as const)("publishes with its qos_max %d at most", async (ceiling) => {
    for (const qos of [0, 1, 2] as const) await near.publish(`plant/q${ceiling}`, `${qos}`, { qos });
    const messages = await far.waitForCount(3, `ceiling-${ceiling}/plant/q${ceiling}`, () => recv.tail());
    expect(messages.map(({ qos }) => qos)).toEqual([0, 1, 2].map((qos) => Math.min(qos, ceiling)));
  });

  test('with retain = "strip" publishes without the flag, and only that one does', async () => {
    await near.publish("plant/kept", "kept", { qos: 1, retain: true });
    const [stripped] = await far.waitForCount(1, "strip/plant/kept", () => recv.tail());
    const [forwarded] = await far.waitForCount(1, "mqtt-file/plant/kept", () => recv.tail());
    expect(stripped?.retain).toBe(false);
    expect(forwarded?.retain).toBe(true);
  });

  test("with topics gets these alone and counts the others as filtered", async () => {
    const before = ledgerOf(await recv.readStatus<RecvStatus>(), "some")?.filtered.topics ?? 0;
    for (const topic of ["plant/a/wanted", "plant/a/unwanted", "plant/deep/er/still"])
      await near.publish(topic, "x");
    const messages = await far.waitForCount(2, "some/plant", () => recv.tail());
    expect(messages.map(({ topic }) => topic)).toEqual(["some/plant/a/wanted", "some/plant/deep/er/still"]);
    const status = await recv.waitForStatus<RecvStatus>(
      "the filtered one counted",
      (each) => ledgerOf(each, "some")?.held === 0,
    );
    expect(ledgerOf(status, "some")?.filtered).toEqual({ topics: before + 1 });
  });

  test("goes on while one target is dead and another takes the connection and nothing more", async () => {
    const count = 5000;
    const before = far.below("mqtts-file/plant/bulk").length;
    const bulk = Array.from({ length: count }, (_, index) => ({
      topic: "plant/bulk",
      payload: `${index}`.padEnd(200),
      options: { qos: (index % 3) as 0 | 1 | 2 },
    }));
    await near.publishAll(bulk);
    for (const { name } of WAYS) {
      const messages = await far.waitForCount(before + count, `${name}/plant/bulk`, () => recv.tail());
      expect(messages).toHaveLength(count);
    }
    const status = await recv.waitForStatus<RecvStatus>("the living targets done", ({ targets }) =>
      targets.every(({ name, ledger }) => ["dead", "slow"].includes(name) || ledger.held === 0),
    );
    const dead = status.targets.find(({ name }) => name === "dead");
    expect(dead).toMatchObject({
      state: "down",
      ledger: { forwarded: 0, held: status.ledger.accepted, lost: {} },
    });
    expect(ledgerOf(status, "slow")?.held).toBeGreaterThan(0);
    expect(status.targets.map(({ ledger }) => unaccounted(ledger))).toEqual(status.targets.map(() => 0));
  }, 60_000);
});
