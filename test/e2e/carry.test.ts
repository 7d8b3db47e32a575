// What is put in at a plant's broker comes out at a broker with mutual TLS, across the compiled agents: every kind of
// message of MQTT 3.1.1 and 5, byte by byte and in order.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Agent } from "../support/agents.ts";
import { createCertificateSet } from "../support/certificates.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFirstDifference, makePayloads } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site } from "../support/site.ts";
import { type RecvStatus, type SendStatus, sum, unaccounted } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";

const VERSIONS = [
  { version: 4, root: "v311", name: "MQTT 3.1.1" },
  { version: 5, root: "v5", name: "MQTT 5" },
] as const;

requireTools(["mosquitto"])("across both agents", () => {
  let site: Site;
  let send: Agent;
  let recv: Agent;
  let far: Collector;
  const publishers = new Map<string, Publisher>();

  beforeAll(async () => {
    site = await Site.open();
    const certificates = await createCertificateSet(site.workspace.directory);
    const { server, client, caFile } = certificates;
    const plant = await site.startBroker({ lines: ["message_size_limit 4000000"] });
    const business = await site.startBroker({
      listeners: [{ tls: { server, caFile, requireCertificate: true } }],
      lines: ["message_size_limit 4000000"],
    });
    // A retained message that is there before anybody subscribes.
    const early = site.use(await Publisher.start({ port: plant.port }));
    for (const { root } of VERSIONS)
      await early.publish(`${root}/retained/early`, "before", { qos: 1, retain: true });
    site.writeSend(
      VERSIONS.map(({ version, root }) => ({
        name: root,
        url: `mqtt://127.0.0.1:${plant.port}`,
        mqtt_version: version === 5 ? "5" : "3.1.1",
        topics: [`${root}/#`],
        qos: 2,
      })),
    );
    site.writeRecv();
    site.writeTarget("hq", {
      url: `mqtts://localhost:${business.port}`,
      tls: { ca_file: caFile, cert_file: client.certFile, key_file: client.keyFile },
    });
    far = site.use(await Collector.start({ port: business.port, tls: { caFile, client } }));
    ({ send, recv } = await site.startBoth());
    for (const { version, root } of VERSIONS)
      publishers.set(root, site.use(await Publisher.start({ port: plant.port, version })));
  }, 60_000);

  afterAll(() => site[Symbol.asyncDispose]());

  const tails = () => `${send.tail()}\n${recv.tail()}`;

  function near(root: string): Publisher {
    const publisher = publishers.get(root);
    if (publisher === undefined) throw new Error(`no publisher for ${root}`);
    return publisher;
  }

  for (const { root, name } of VERSIONS) {
    describe(`a message of ${name}`, () => {
      test.each([0, 1, 2] as const)(`of ${name} arrives once with its QoS %d`, async (qos) => {
        await near(root).publish(`${root}/qos/${qos}`, `with ${qos}`, { qos });
        const [message] = await far.waitForCount(1, `${root}/qos/${qos}`, tails);
        expect(message).toMatchObject({ qos, retain: false, payload: Buffer.from(`with ${qos}`) });
      });

      test(`of ${name} that the broker had retained arrives as retained`, async () => {
        const [message] = await far.waitForCount(1, `${root}/retained/early`, tails);
        expect(message).toMatchObject({ retain: true, qos: 1, payload: Buffer.from("before") });
      });

      test(`of ${name} without a payload arrives without one`, async () => {
        await near(root).publish(`${root}/empty`, "", { qos: 1 });
        const [message] = await far.waitForCount(1, `${root}/empty`, tails);
        expect(message?.payload).toHaveLength(0);
      });

      test(`of ${name} with a payload of 1 MiB arrives whole`, async () => {
        const payload = Buffer.alloc(1_048_576);
        for (let at = 0; at < payload.length; at++) payload[at] = (at * 31 + (at >> 8)) & 0xff;
        await near(root).publish(`${root}/large`, payload, { qos: 1 });
        const [message] = await far.waitForCount(1, `${root}/large`, tails);
        expect(message?.payload.equals(payload)).toBe(true);
      });

      test(`of ${name} keeps a topic with spaces, other scripts and empty levels`, async () => {
        const topics = [
          "Halle 3/Förderband A",
          "工場/温度",
          " leading and trailing ",
          "😀//double",
          "/",
          "$x",
        ];
        for (const topic of topics) await near(root).publish(`${root}/utf8/${topic}`, topic, { qos: 1 });
        const messages = await far.waitForCount(topics.length, `${root}/utf8`, tails);
        expect(messages.map((message) => message.topic)).toEqual(
          topics.map((topic) => `${root}/utf8/${topic}`),
        );
        expect(messages.map((message) => message.payload.toString())).toEqual(topics);
      });
    });
  }

  test("a message of MQTT 5 published as retained is retained over there, too", async () => {
    await near("v5").publish("v5/retained/live", "now", { qos: 1, retain: true });
    const [message] = await far.waitForCount(1, "v5/retained/live", tails);
    expect(message).toMatchObject({ retain: true, payload: Buffer.from("now") });
  });

  test("a message of MQTT 5 keeps what describes it and leaves behind what leads back", async () => {
    await near("v5").publish("v5/properties", '{"t":21.5}', {
      qos: 1,
      properties: {
        contentType: "application/json; charset=utf-8",
        payloadFormatIndicator: true,
        messageExpiryInterval: 600,
        userProperties: { unit: "°C", site: ["hamburg", "bremen"] },
        responseTopic: "v5/answers",
        correlationData: Buffer.from("who-asked"),
      },
    });
    const [message] = await far.waitForCount(1, "v5/properties", tails);
    const { messageExpiryInterval, userProperties, ...rest } = message?.properties ?? {};
    expect(rest).toEqual({ contentType: "application/json; charset=utf-8", payloadFormatIndicator: true });
    expect({ ...userProperties }).toEqual({ unit: "°C", site: ["hamburg", "bremen"] });
    expect(messageExpiryInterval).toBeWithin(590, 601);
  });

  const MANY = 10_000;

  for (const { root, name } of VERSIONS) {
    test.each([0, 1, 2] as const)(
      `10,000 messages of ${name} with QoS %d arrive byte by byte, in order`,
      async (qos) => {
        const topic = `${root}/many/${qos}`;
        const payloads = makePayloads(MANY);
        await near(root).publishAll(payloads.map((payload) => ({ topic, payload, options: { qos } })));
        const messages = await far.waitForCount(MANY, topic, tails, 60_000);
        expect(
          findFirstDifference(
            messages.map(({ payload }) => payload),
            MANY,
          ),
        ).toBeUndefined();
        expect(messages.every((message) => message.qos === qos)).toBe(true);
      },
      90_000,
    );
  }

  test("the ledgers of both sides account for every message of these tests", async () => {
    const sent = await send.waitForStatus<SendStatus>("nothing held", ({ ledger }) => ledger.held === 0);
    const { accepted } = sent.ledger;
    const settled = await recv.waitForStatus<RecvStatus>(
      "nothing held",
      ({ ledger, targets }) =>
        ledger.accepted === accepted && targets.every((target) => target.ledger.held === 0),
    );
    expect(unaccounted(sent.ledger)).toBe(0);
    expect(sum(sent.ledger.lost) + sum(settled.ledger.lost)).toBe(0);
    expect(settled.targets[0]?.ledger).toEqual({
      accepted,
      forwarded: accepted,
      held: 0,
      filtered: {},
      lost: {},
    });
    await waitFor("every message", 5000, () => far.messages.length >= accepted);
    expect(far.messages).toHaveLength(accepted);
  });
});
