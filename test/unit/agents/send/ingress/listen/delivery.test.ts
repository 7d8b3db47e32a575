// Tests of listen/delivery.ts and announcer.ts: what the agent says to those who have subscribed, in each version of MQTT, and that
// nothing a client publishes is ever delivered.
import { describe, expect, test } from "bun:test";
import type { IPublishPacket, Packet } from "mqtt-packet";
import { Announcer } from "../../../../../../agents/send/ingress/listen/announcer.ts";
import { type Dialled, Lab } from "./lab.ts";

const STATE = "spBv1.0/STATE/scada";
const NCMD = "spBv1.0/g/NCMD/n";

function announcerOf(lab: Lab, hostId: string | null = "scada"): Announcer {
  return new Announcer(lab.hub, hostId ?? undefined, ["3.0", "2.2"], () => lab.wallMs);
}

async function subscribe(
  dialled: Dialled,
  topic: string,
  more: object = {},
  properties: object = {},
): Promise<void> {
  const subscriptions = [{ topic, qos: 1, ...more }];
  dialled.send({ cmd: "subscribe", messageId: 1, subscriptions, properties } as unknown as Packet);
  await dialled.lab.commit();
}

/** The publications that have come: topic, QoS, R when retained, payload, identifiers. */
function heard(dialled: Dialled): string[] {
  return dialled.readPackets().flatMap((packet) => {
    if (packet.cmd !== "publish") return [];
    const { topic, qos, retain, payload, properties } = packet as IPublishPacket;
    const ids = properties?.subscriptionIdentifier;
    return [`${topic} ${qos}${retain ? "R" : ""} ${payload}${ids === undefined ? "" : ` #${ids}`}`];
  });
}

const online = (ms: number) => `{"online":true,"timestamp":${ms}}`;
const offline = (ms: number) => `{"online":false,"timestamp":${ms}}`;

describe.each([3, 4, 5] as const)("in MQTT version byte %d", (protocolVersion) => {
  test("STATE is retained for who subscribes, told to who has, and requests reach only who asked for them", async () => {
    const lab = new Lab();
    const announcer = announcerOf(lab);
    const early = await lab.join({ protocolVersion, clientId: "early" });
    await subscribe(early, "spBv1.0/STATE/#");
    expect(heard(early)).toEqual([]);
    announcer.setReady(true);
    announcer.setReady(true);
    const bornMs = lab.wallMs;
    expect(heard(early)).toEqual([`${STATE} 1 ${online(bornMs)}`]);
    const late = await lab.join({ protocolVersion, clientId: "late" });
    await subscribe(late, STATE, { qos: 0 });
    await subscribe(late, "spBv1.0/g/NCMD/n/#");
    expect(heard(late)).toEqual([`${STATE} 0R ${online(bornMs)}`]);
    expect(announcer.say(NCMD, Buffer.from("reborn"))).toBe(true);
    expect(heard(late)).toEqual([`${NCMD} 0 reborn`]);
    expect(heard(early)).toEqual([]);
    expect(announcer.say("spBv1.0/g/NCMD/other", Buffer.from("x"))).toBe(false);
    announcer.setReady(false);
    expect(heard(early)).toEqual([`${STATE} 1 ${offline(bornMs + 1)}`]);
  });
});

test("MQTT 5: subscription identifiers, retain as published, retain handling, and a window of one", async () => {
  const lab = new Lab();
  const announcer = announcerOf(lab);
  announcer.setReady(true);
  const client = await lab.join({ properties: { receiveMaximum: 1 } });
  await subscribe(client, "spBv1.0/+/scada", { rh: 2, rap: true }, { subscriptionIdentifier: 7 });
  expect(heard(client)).toEqual([]);
  await subscribe(client, STATE, { rh: 1 }, { subscriptionIdentifier: 300 });
  expect(heard(client)).toEqual([`${STATE} 1R ${online(lab.wallMs)} #7,300`]);
  await subscribe(client, STATE, { rh: 1 }, { subscriptionIdentifier: 300 });
  // The first was not acknowledged yet, and it takes one at a time.
  announcer.setReady(false);
  expect(heard(client)).toEqual([`${STATE} 0R ${offline(lab.wallMs + 1)} #7,300`]);
  client.send({ cmd: "puback", messageId: 1, reasonCode: 0 } as Packet);
  announcer.setReady(true);
  expect(heard(client)).toEqual([`${STATE} 1R ${online(lab.wallMs + 2)} #7,300`]);
});

test("a session that goes on hears what was said while it was away, after a restart too", async () => {
  const lab = new Lab();
  announcerOf(lab).setReady(true);
  const durable = { clean: false, properties: { sessionExpiryInterval: 100 } };
  const first = await lab.join(durable);
  await subscribe(first, STATE, { rap: true }, { subscriptionIdentifier: 9 });
  first.client.lost();
  await lab.commit();
  const later = lab.restart();
  announcerOf(later).setReady(true);
  const again = await later.join(durable);
  expect(heard(again)).toEqual([`${STATE} 1R ${online(later.wallMs)} #9`]);
});

test("clients that take no packet so large, that do not read, or that share a subscription, hear nothing", async () => {
  const lab = new Lab();
  const announcer = announcerOf(lab);
  const small = await lab.join({ clientId: "small", properties: { maximumPacketSize: 40 } });
  await subscribe(small, STATE);
  const shared = await lab.join({ clientId: "shared" });
  await subscribe(shared, `$share/group/${STATE}`);
  const deaf = await lab.join({ clientId: "deaf" });
  await subscribe(deaf, "#");
  deaf.wire.isCongested = true;
  announcer.setReady(true);
  for (const client of [small, shared, deaf]) expect(heard(client)).toEqual([]);
  expect(announcer.say(NCMD, Buffer.from("x"))).toBe(false);
});

test("nothing that a client publishes is delivered, whatever was subscribed to", async () => {
  const lab = new Lab();
  announcerOf(lab, null).setReady(true);
  const listener = await lab.join({ clientId: "listener" });
  await subscribe(listener, "#");
  const publisher = await lab.join({ clientId: "publisher" });
  for (const topic of [NCMD, STATE, "spBv1.0/g/DCMD/n/d", "plant/x"])
    publisher.send({ cmd: "publish", topic, payload: "stop", qos: 1, messageId: 5, retain: true } as Packet);
  await lab.commit();
  expect(heard(listener)).toEqual([]);
});

test("the product's own topics are refused by name", async () => {
  const lab = new Lab({ dollarTopics: "forward" });
  const publisher = await lab.join();
  const topic = "$tidegate/sparkplug/birth/g/n";
  publisher.send({ cmd: "publish", topic, payload: "x", qos: 1, messageId: 5 } as Packet);
  await lab.commit();
  expect(lab.keeper.lost).toEqual([`reserved-topic ${topic}`]);
  expect(publisher.read().at(-1)).toBe("puback 5 90");
});
