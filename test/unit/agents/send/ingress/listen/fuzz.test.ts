// Packets bent at random: the server never throws, never takes more than was sent, and leaves nothing behind.
import { expect, test } from "bun:test";
import { generate, type Packet } from "mqtt-packet";
import { checkTopicName } from "../../../../../../shared/mqtt/topic.ts";
import { Lab } from "./lab.ts";

const PACKETS: Packet[] = [
  { cmd: "publish", topic: "plant/a", payload: "hello", qos: 1, messageId: 7, dup: false, retain: true },
  {
    cmd: "publish",
    topic: "plant/b",
    payload: "x",
    qos: 2,
    messageId: 8,
    dup: false,
    retain: false,
    properties: { topicAlias: 2, contentType: "a", userProperties: { k: "v" }, messageExpiryInterval: 5 },
  },
  { cmd: "pubrel", messageId: 8 },
  { cmd: "subscribe", messageId: 9, subscriptions: [{ topic: "a/#", qos: 1 }] },
  { cmd: "unsubscribe", messageId: 10, unsubscriptions: ["a/#"] },
  { cmd: "pingreq" },
  { cmd: "disconnect", reasonCode: 4, properties: { reasonString: "bye" } },
];

/** Numbers below what is asked for, out of one seed that is printed. */
function makeRandom(): (below: number) => number {
  const seed = Number(process.env.TIDEGATE_SEED ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  process.stderr.write(`listen: TIDEGATE_SEED=${seed}\n`);
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("Client survives any bytes bent out of good packets", async () => {
  const random = makeRandom();
  for (let round = 0; round < 1500; round++) {
    const lab = new Lab();
    const protocolVersion = [3, 4, 5][random(3)] as 3 | 4 | 5;
    const dialled = await lab.join({ protocolVersion, clean: random(2) === 0 });
    const bytes = Buffer.concat(PACKETS.map((packet) => generate(packet, { protocolVersion })));
    for (let bends = random(4); bends > 0; bends--) bytes[random(bytes.length)] = random(256);
    const cut = random(bytes.length);
    dialled.client.receive(Buffer.from(bytes.subarray(0, cut)));
    dialled.client.receive(Buffer.from(bytes.subarray(cut)));
    await lab.commit();
    dialled.client.lost();
    lab.pass(2_000_000);
    await lab.commit();
    for (const { topic } of lab.keeper.kept) expect(checkTopicName(topic)).toBeUndefined();
    expect(lab.keeper.kept.length + lab.keeper.lost.length).toBeLessThanOrEqual(30);
    expect(lab.hub.clients.size).toBe(0);
    expect(lab.hub.book.size).toBe(0);
    expect(lab.hub.partials.bytes).toBe(0);
    expect([...lab.keeper.notes.keys()]).toEqual([]);
  }
}, 60_000);

const WILL = { topic: "plant/gone", payload: Buffer.from("bye"), qos: 1 as const, retain: true };

test("Client survives any CONNECT bent out of a good one, and takes nothing before one is good", async () => {
  const random = makeRandom();
  let welcomed = 0;
  for (let round = 0; round < 3000; round++) {
    const lab = new Lab();
    const protocolVersion = [3, 4, 5][random(3)] as 3 | 4 | 5;
    const connect: Packet = {
      cmd: "connect",
      protocolId: protocolVersion === 3 ? "MQIsdp" : "MQTT",
      protocolVersion,
      clientId: "c1",
      clean: random(2) === 0,
      keepalive: 60,
      username: "anna",
      password: Buffer.from("x"),
      ...(random(2) === 0 ? { will: WILL } : {}),
      ...(protocolVersion === 5
        ? { properties: { sessionExpiryInterval: 5, receiveMaximum: 9, userProperties: { a: "b" } } }
        : {}),
    };
    const bytes = generate(connect, { protocolVersion });
    const bends = random(4);
    for (let i = 0; i < bends; i++) bytes[random(bytes.length)] = random(256);
    const cut = random(bytes.length);
    const dialled = lab.dial();
    dialled.client.receive(Buffer.from(bytes.subarray(0, cut)));
    dialled.client.receive(Buffer.from(bytes.subarray(cut)));
    dialled.client.receive(Buffer.from("300500016178", "hex"));
    await lab.commit();
    const first = dialled.wire.chunks[0];
    // Whoever was let in was told so, and nobody else has left a message but by a will.
    const isWelcome = first?.[0] === 0x20 && first[3] === 0;
    if (bends === 0) expect(isWelcome).toBe(true);
    if (isWelcome) welcomed++;
    // One whose maximum packet size is too small for a CONNACK is let in and not told: its will is published.
    else expect(lab.keeper.kept.filter(({ topic }) => topic === "a")).toEqual([]);
    dialled.client.lost();
    lab.pass(2_000_000);
    await lab.commit();
    for (const { topic } of lab.keeper.kept) expect(checkTopicName(topic)).toBeUndefined();
    expect([lab.hub.clients.size, lab.hub.book.size, lab.hub.partials.bytes]).toEqual([0, 0, 0]);
    expect([...lab.keeper.notes.keys()]).toEqual([]);
  }
  expect(welcomed).toBeGreaterThan(700);
}, 60_000);
