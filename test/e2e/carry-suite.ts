// The promise of the whole product as a suite: what is put in on one side comes out on the other, every kind of message of
// MQTT 3.1.1 and 5, byte by byte and in order. It runs on loopback and across a one-way link.
import { describe, expect, test } from "bun:test";
import type { Agent } from "../support/agents.ts";
import { type CertificateSet, createCertificateSet } from "../support/certificates.ts";
import type { Mosquitto } from "../support/mosquitto.ts";
import { type Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFirstDifference, makePayloads } from "../support/payloads.ts";
import type { Site } from "../support/site.ts";
import { type RecvStatus, type SendStatus, sum, unaccounted } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";

const VERSIONS = [
  { version: 4, root: "v311", name: "MQTT 3.1.1" },
  { version: 5, root: "v5", name: "MQTT 5" },
] as const;
const MANY = 10_000;

/** A site at work, the agents under way. */
export type Rig = {
  readonly send: Agent;
  readonly recv: Agent;
  /** Takes everything at the destination. */
  readonly far: Collector;
  /** A publisher in the plant for each MQTT version, by the root of its topics. */
  readonly near: ReadonlyMap<string, Publisher>;
  readSend(): Promise<SendStatus>;
  readRecv(): Promise<RecvStatus>;
};

/** Starts the brokers: a plain one in the plant, one at the destination that wants a certificate of every client. */
export async function startBrokers(
  site: Site,
  before: { readonly plant: readonly string[]; readonly business: readonly string[] } = {
    plant: [],
    business: [],
  },
): Promise<{ plant: Mosquitto; business: Mosquitto; certificates: CertificateSet }> {
  const certificates = await createCertificateSet(site.workspace.directory);
  const { server, caFile } = certificates;
  const lines = ["message_size_limit 4000000"];
  const plant = await site.startBroker({ lines, before: before.plant });
  const business = await site.startBroker({
    listeners: [{ tls: { server, caFile, requireCertificate: true } }],
    lines,
    before: before.business,
  });
  // A retained message that is there before anybody subscribes.
  const early = site.use(await Publisher.start({ door: plant.socketPath }));
  for (const { root } of VERSIONS)
    await early.publish(`${root}/retained/early`, "before", { qos: 1, retain: true });
  return { plant, business, certificates };
}

/** The [[source]] tables: one for each MQTT version. */
export function describeSources(plant: Mosquitto) {
  return VERSIONS.map(({ version, root }) => ({
    name: root,
    url: `mqtt://127.0.0.1:${plant.port}`,
    mqtt_version: version === 5 ? "5" : "3.1.1",
    topics: [`${root}/#`],
    qos: 2,
  }));
}

/** The profile of the target. */
export function describeTarget(business: Mosquitto, { caFile, client }: CertificateSet) {
  return {
    url: `mqtts://localhost:${business.port}`,
    tls: { ca_file: caFile, cert_file: client.certFile, key_file: client.keyFile },
  };
}

/** One publisher for each MQTT version, by the root of its topics. */
export async function startPublishers(site: Site, plant: Mosquitto): Promise<Map<string, Publisher>> {
  const publishers = new Map<string, Publisher>();
  for (const { root, version } of VERSIONS) {
    publishers.set(root, site.use(await Publisher.start({ door: plant.socketPath, version })));
  }
  return publishers;
}

/** The tests; `rig` is asked for when they run. */
export function testCarrying(rig: () => Rig): void {
  const tails = () => `${rig().send.tail()}\n${rig().recv.tail()}`;
  const near = (root: string) => rig().near.get(root) as Publisher;

  for (const { root, name } of VERSIONS) {
    describe(`a message of ${name}`, () => {
      test.each([0, 1, 2] as const)(`arrives once with its QoS %d`, async (qos) => {
        await near(root).publish(`${root}/qos/${qos}`, `with ${qos}`, { qos });
        const [message] = await rig().far.waitForCount(1, `${root}/qos/${qos}`, tails);
        expect(message).toMatchObject({ qos, retain: false, payload: Buffer.from(`with ${qos}`) });
      });

      test(`that the broker had retained arrives as retained`, async () => {
        const [message] = await rig().far.waitForCount(1, `${root}/retained/early`, tails);
        expect(message).toMatchObject({ retain: true, qos: 1, payload: Buffer.from("before") });
      });

      test(`without a payload arrives without one`, async () => {
        await near(root).publish(`${root}/empty`, "", { qos: 1 });
        const [message] = await rig().far.waitForCount(1, `${root}/empty`, tails);
        expect(message?.payload).toHaveLength(0);
      });

      test(`with a payload of 1 MiB arrives whole`, async () => {
        const payload = Buffer.alloc(1_048_576);
        for (let at = 0; at < payload.length; at++) payload[at] = (at * 31 + (at >> 8)) & 0xff;
        await near(root).publish(`${root}/large`, payload, { qos: 1 });
        const [message] = await rig().far.waitForCount(1, `${root}/large`, tails);
        expect(message?.payload.equals(payload)).toBe(true);
      });

      test(`keeps a topic with spaces, other scripts and empty levels`, async () => {
        const topics = [
          "Halle 3/Förderband A",
          "工場/温度",
          " leading and trailing ",
          "😀//double",
          "/",
          "$x",
        ];
        for (const topic of topics) await near(root).publish(`${root}/utf8/${topic}`, topic, { qos: 1 });
        const messages = await rig().far.waitForCount(topics.length, `${root}/utf8`, tails);
        expect(messages.map((message) => message.topic)).toEqual(
          topics.map((topic) => `${root}/utf8/${topic}`),
        );
        expect(messages.map((message) => message.payload.toString())).toEqual(topics);
      });
    });
  }

  test("a message of MQTT 5 published as retained is retained over there, too", async () => {
    await near("v5").publish("v5/retained/live", "now", { qos: 1, retain: true });
    const [message] = await rig().far.waitForCount(1, "v5/retained/live", tails);
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
    const [message] = await rig().far.waitForCount(1, "v5/properties", tails);
    const { messageExpiryInterval, userProperties, ...rest } = message?.properties ?? {};
    expect(rest).toEqual({ contentType: "application/json; charset=utf-8", payloadFormatIndicator: true });
    expect({ ...userProperties }).toEqual({ unit: "°C", site: ["hamburg", "bremen"] });
    expect(messageExpiryInterval).toBeWithin(590, 601);
  });

  for (const { root, name } of VERSIONS) {
    test.each([0, 1, 2] as const)(
      `10,000 messages of ${name} with QoS %d arrive byte by byte, in order`,
      async (qos) => {
        const topic = `${root}/many/${qos}`;
        const payloads = makePayloads(MANY);
        await near(root).publishAll(payloads.map((payload) => ({ topic, payload, options: { qos } })));
        const messages = await rig().far.waitForCount(MANY, topic, tails, 60_000);
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
    const sent = await waitFor("nothing held", 20_000, async () => {
      const status = await rig().readSend();
      return status.ledger.held === 0 && status;
    });
    const { accepted } = sent.ledger;
    const settled = await waitFor("all forwarded", 20_000, async () => {
      const status = await rig().readRecv();
      return (
        status.targets.every(({ ledger }) => ledger.accepted === accepted && ledger.held === 0) && status
      );
    });
    expect(unaccounted(sent.ledger)).toBe(0);
    expect(sum(sent.ledger.lost) + sum(settled.ledger.lost)).toBe(0);
    expect(settled.targets[0]?.ledger).toEqual({
      accepted,
      forwarded: accepted,
      held: 0,
      filtered: {},
      lost: {},
    });
    await rig().far.waitForCount(accepted);
    expect(rig().far.messages).toHaveLength(accepted);
  });
}
