// Whatever arrives at the link's port beside the sender's own datagrams is counted under its reason and changes nothing.
// And what arrives at a source that may not cross is refused, counted and told, with its topic and size.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createSocket, type Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import type { Agent } from "../support/agents.ts";
import { craftPublish, FakeBroker } from "../support/fake-broker.ts";
import type { Mosquitto } from "../support/mosquitto.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFirstDifference, makePayloads } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, type SendStatus, sum, unaccounted } from "../support/status.ts";
import { UdpRelay } from "../support/udp-relay.ts";
import { waitFor } from "../support/wait.ts";

/** `linkKeys` is there when the receiver has other keys than the one of the file. */
type Vector = { name: string; datagrams: string[]; outcome: { refused?: string }[]; linkKeys?: string[] };
const WIRE: { linkId: string; linkKey: string; vectors: Vector[] } = JSON.parse(
  readFileSync(new URL("../vectors/wire.json", import.meta.url), "utf8"),
);
/** What is refused before it is opened, or because it cannot be: nothing else can come from outside. */
const OUTSIDE = new Set(["empty", "short", "long", "version", "link", "kind", "header", "key", "tag"]);
/** Golden datagrams that every receiver of that link refuses, each with its reason. */
const REFUSED = WIRE.vectors.filter(
  ({ datagrams, outcome, linkKeys }) =>
    linkKeys === undefined &&
    datagrams.length === outcome.length &&
    outcome.every(({ refused = "" }) => OUTSIDE.has(refused)),
);

requireTools(["mosquitto"])("a datagram", () => {
  let site: Site;
  let relay: UdpRelay;
  let far: Collector;
  let near: Publisher;
  let send: Agent;
  let recv: Agent;
  let stranger: Socket;

  beforeAll(async () => {
    site = await Site.open();
    const key = Buffer.from(WIRE.linkKey, "hex").toString("base64");
    site.workspace.write("link.key", `tidegate-key-1:${key}\n`);
    relay = site.use(await UdpRelay.start(site.linkPort));
    const plant = await site.startBroker();
    const business = await site.startBroker();
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }], {
      link: {
        id: WIRE.linkId,
        path: [{ type: "udp", endpoint: `127.0.0.1:${relay.port}`, rate_mbit_per_second: 50 }],
      },
    });
    site.writeRecv({ link: { id: WIRE.linkId } });
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    far = site.use(await Collector.start({ door: business.port }));
    near = site.use(await Publisher.start({ door: plant.port }));
    ({ send, recv } = await site.startBoth());
    await recv.waitForStatus<RecvStatus>("the link up", ({ link }) => link.state === "up");
    stranger = createSocket("udp4");
    site.use({ [Symbol.asyncDispose]: () => new Promise((resolve) => stranger.close(() => resolve())) });
  }, 60_000);

  afterAll(() => site[Symbol.asyncDispose]());

  const inject = (datagram: Uint8Array) =>
    new Promise<void>((resolve, reject) =>
      stranger.send(datagram, site.linkPort, "127.0.0.1", (error) => (error ? reject(error) : resolve())),
    );
  const readRefused = async () => (await recv.readStatus<RecvStatus>()).link.refused;

  test.each(REFUSED.map(({ name, ...vector }) => [name, vector] as const))(
    "that is refused is counted under its reason, and only there: %s",
    async (_, { datagrams, outcome }) => {
      const expected: Record<string, number> = { ...(await readRefused()) };
      for (const { refused = "" } of outcome) expected[refused] = (expected[refused] ?? 0) + 1;
      for (const datagram of datagrams) await inject(Buffer.from(datagram, "hex"));
      const status = await recv.waitForStatus<RecvStatus>(
        "the refusal",
        ({ link }) => sum(link.refused) >= sum(expected),
      );
      expect(status.link.refused).toEqual(expected);
      expect(status.link.paths[0]?.refused).toEqual(expected);
      expect(status.link.journalId).toBe((await send.readStatus<SendStatus>()).link.journalId);
    },
  );

  test("that is random, huge, cut or sent again changes nothing while messages flow", async () => {
    const before = await recv.readStatus<RecvStatus>();
    const count = 5000;
    relay.recorded.length = 0;
    const load = makePayloads(count).map((payload) => ({
      topic: "plant/x",
      payload,
      options: { qos: 1 as const },
    }));
    const published = near.publishAll(load);
    await waitFor("datagrams to copy", 10_000, () => relay.recorded.length > 100);
    let state = 1;
    const random = () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 0x1_0000_0000;
    };
    let injected = 0;
    for (const original of relay.recorded.slice(0, 100)) {
      const length = injected % 20 === 0 ? 65_507 : Math.floor(random() * 2000);
      const noise = Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
      const dressed = Buffer.concat([original.subarray(0, 36), noise.subarray(0, 1400)]);
      const flipped = Buffer.from(original);
      const at = Math.floor(random() * flipped.length);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      const cut = original.subarray(0, Math.floor(random() * original.length));
      for (const datagram of [noise, dressed, flipped, cut, original]) await inject(datagram);
      injected += 5;
    }
    await published;
    for (const original of relay.recorded) await inject(original);
    injected += relay.recorded.length;
    const messages = await far.waitForCount(count, "plant/x", () => recv.tail());
    const status = await recv.waitForStatus<RecvStatus>(
      "every datagram read",
      ({ link }) =>
        (link.paths[0]?.datagrams ?? 0) >=
        (before.link.paths[0]?.datagrams ?? 0) + injected + relay.recorded.length,
    );
    expect(
      findFirstDifference(
        messages.map(({ payload }) => payload),
        count,
      ),
    ).toBeUndefined();
    expect(far.below("plant/x")).toHaveLength(count);
    expect(status.ledger).toMatchObject({ accepted: before.ledger.accepted + count, lost: {} });
    expect(status.link).toMatchObject({ state: "up", senderRestarts: 0, journalId: before.link.journalId });
    const useless = sum(status.link.refused) + status.link.surplusDatagrams;
    expect(useless - sum(before.link.refused) - before.link.surplusDatagrams).toBeGreaterThanOrEqual(
      injected,
    );
  }, 60_000);

  test("that is empty a hundred times over leaves the agent well", async () => {
    const before = (await readRefused()).empty ?? 0;
    for (let index = 0; index < 100; index++) await inject(Buffer.alloc(0));
    await recv.waitForStatus<RecvStatus>("all counted", ({ link }) => link.refused.empty === before + 100);
    await near.publish("plant/after", "still here", { qos: 1 });
    await far.waitForCount(1, "plant/after", () => recv.tail());
  });
});

requireTools(["mosquitto"])("a message", () => {
  const limits = { limits: { message_bytes_max: 1000 } };

  async function openSite(plant: { readonly port: number }, site: Site, business: Mosquitto) {
    const source = { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, mqtt_version: "3.1.1" };
    site.writeSend([{ ...source, topics: ["plant/#"], qos: 2 }], limits);
    site.writeRecv();
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    const far = site.use(await Collector.start({ door: business.port }));
    await waitUntilReady(site.startRecv());
    const send = await waitUntilReady(site.startSend());
    return { far, send };
  }

  test("over message_bytes_max is counted and told with topic and size, and the next one passes", async () => {
    await using site = await Site.open();
    const plant = await site.startBroker();
    const { far, send } = await openSite(plant, site, await site.startBroker());
    const near = site.use(await Publisher.start({ door: plant.port }));
    // One byte too many; and so many that even the packet is not taken into memory.
    for (const qos of [0, 1, 2] as const)
      await near.publish("plant/große Nachricht", Buffer.alloc(1001), { qos });
    await near.publish("plant/giant", Buffer.alloc(3_000_000), { qos: 1 });
    await near.publish("plant/just", Buffer.alloc(1000), { qos: 1 });
    const messages = await far.waitForCount(1, "plant", () => send.tail());
    expect(messages.map(({ topic }) => topic)).toEqual(["plant/just"]);
    const status = await send.readStatus<SendStatus>();
    expect(status.ledger).toMatchObject({ accepted: 5, forwarded: 1, lost: { oversize: 4 } });
    expect(unaccounted(status.ledger)).toBe(0);
    // Every topic is named, and the same one not again within a minute.
    const told = send.logs.filter(({ reason }) => reason === "oversize");
    const line = { level: "warn", source: "line" };
    expect(told).toEqual([
      expect.objectContaining({ ...line, topic: "plant/große Nachricht", payloadBytes: 1001 }),
      expect.objectContaining({ ...line, topic: "plant/giant" }),
    ]);
    expect(told[1]?.payloadBytes).toBeGreaterThanOrEqual(3_000_000);
  }, 30_000);

  test("with a topic that MQTT forbids is counted and told, acknowledged, and the next one passes", async () => {
    await using site = await Site.open();
    const plant = site.use(await FakeBroker.start());
    const { far, send } = await openSite(plant, site, await site.startBroker());
    for (const [index, topic] of ["plant/#", "plant/+/x", ""].entries())
      plant.say(craftPublish(index + 1, Buffer.from(topic), "bad"));
    plant.say(craftPublish(4, Buffer.from("plant/good"), "good"));
    const messages = await far.waitForCount(1, undefined, () => send.tail());
    expect(messages.map(({ topic }) => topic)).toEqual(["plant/good"]);
    const status = await send.readStatus<SendStatus>();
    expect(status.ledger).toMatchObject({ accepted: 4, forwarded: 1, lost: { "invalid-topic": 3 } });
    const told = send.logs.find(({ reason }) => reason === "invalid-topic");
    expect(told).toMatchObject({ level: "warn", source: "line", topic: "plant/#" });
    expect(typeof told?.payloadBytes).toBe("number");
    await waitFor("four acknowledgements", 5000, () => plant.count("puback") === 4);
    expect(plant.count("connect")).toBe(1);
  }, 30_000);
});
