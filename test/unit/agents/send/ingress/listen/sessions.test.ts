// Sessions, take-over and wills, over reconnects and restarts of the agent.
import { expect, test } from "bun:test";
import type { IConnectPacket, IPublishPacket } from "mqtt-packet";
import { Lab } from "./lab.ts";

const LASTING: Partial<IConnectPacket> = { clean: false, properties: { sessionExpiryInterval: 500 } };
const WILL = { topic: "plant/gone", payload: Buffer.from("bye"), qos: 1 as const, retain: true };

const publish = (more: Partial<IPublishPacket> = {}): IPublishPacket => ({
  cmd: "publish",
  topic: "plant/a",
  payload: "x",
  qos: 2,
  messageId: 1,
  dup: false,
  retain: false,
  ...more,
});

const topics = (lab: Lab) => lab.keeper.kept.map(({ topic }) => topic);

test("a session goes on over a reconnect, with the QoS 2 identifiers it had", async () => {
  const lab = new Lab();
  const first = await lab.join(LASTING);
  first.send(publish());
  await lab.commit();
  first.client.lost();
  const second = await lab.join(LASTING);
  expect(second.read()).toEqual(["connack 0 present"]);
  second.send(publish({ dup: true }), { cmd: "pubrel", messageId: 1 });
  await lab.commit();
  expect(second.read()).toEqual(["pubrec 1 0", "pubcomp 1 0"]);
  expect(lab.keeper.kept).toHaveLength(1);
  second.send(publish());
  await lab.commit();
  expect(lab.keeper.kept).toHaveLength(2);
});

test("a QoS 2 message that was under way when the agent died is one message", async () => {
  const lab = new Lab();
  const before = await lab.join(LASTING);
  before.send(publish({ messageId: 1 }), publish({ messageId: 2 }), publish({ messageId: 3 }));
  await lab.commit();
  before.send({ cmd: "pubrel", messageId: 1 });
  await lab.commit();
  // Released, but the agent dies before that is kept.
  before.send({ cmd: "pubrel", messageId: 2 });
  const again = lab.restart();
  const after = await again.join(LASTING);
  expect(after.read()).toEqual(["connack 0 present"]);
  after.send({ cmd: "pubrel", messageId: 1 }, { cmd: "pubrel", messageId: 2 });
  after.send(publish({ messageId: 3, dup: true }));
  await again.commit();
  expect(after.read().sort()).toEqual(["pubcomp 1 0", "pubcomp 2 0", "pubrec 3 0"]);
  expect(again.keeper.kept).toHaveLength(0);
  after.send(publish({ messageId: 1 }), publish({ messageId: 2 }));
  await again.commit();
  expect(again.keeper.kept).toHaveLength(2);
});

test("what was not committed before the agent died is taken as new", async () => {
  const lab = new Lab();
  const before = await lab.join(LASTING);
  before.send(publish());
  const again = lab.restart();
  const after = await again.join(LASTING);
  after.send(publish({ dup: true }));
  await again.commit();
  expect(again.keeper.kept).toHaveLength(1);
});

test("doubtful notes end sessions, so that no new message is taken for an old one", async () => {
  const lab = new Lab();
  const before = await lab.join(LASTING);
  before.send(publish());
  await lab.commit();
  const again = lab.restart(false);
  const after = await again.join(LASTING);
  expect(after.read()).toEqual(["connack 0"]);
  after.send(publish());
  await again.commit();
  expect(again.keeper.kept).toHaveLength(1);
});

test.each([
  ["clean start", { ...LASTING, clean: true }, false],
  ["no expiry", { clean: false }, true],
])("%s leaves nothing in the journal of what the session had", async (_, connect, present) => {
  const lab = new Lab();
  const first = await lab.join(LASTING);
  first.send(publish());
  await lab.commit();
  first.client.lost();
  await lab.commit();
  const second = await lab.join(connect);
  expect(second.read()).toEqual([present ? "connack 0 present" : "connack 0"]);
  second.send(publish({ dup: true }));
  await lab.commit();
  expect(lab.keeper.kept).toHaveLength(present ? 1 : 2);
  second.client.lost();
  await lab.commit();
  const names = [...lab.keeper.notes.keys()].filter((name) => name.startsWith("qos2/"));
  expect(names).toHaveLength(present ? 0 : 1);
  lab.pass(501_000);
  await lab.commit();
  expect([...lab.keeper.notes.keys()]).toEqual([]);
});

test("a session that ends while its message waits for the journal leaves no identifier behind", async () => {
  const lab = new Lab();
  const first = await lab.join(LASTING);
  first.send(publish());
  first.client.lost();
  await lab.join();
  await lab.commit();
  expect([...lab.keeper.notes.keys()]).toEqual([]);
});

test("a session ends when its expiry has passed, the time of a restart included", async () => {
  const lab = new Lab();
  (await lab.join(LASTING)).client.lost();
  await lab.commit();
  for (const [awayMs, size] of [
    [499_000, 1],
    [500_000, 0],
  ] as const) {
    const again = new Lab({}, new Map(lab.keeper.notes), true, lab.wallMs + awayMs);
    expect(again.hub.book.size).toBe(size);
    again.pass(2000);
    expect(again.hub.book.size).toBe(0);
  }
});

test("a session of MQTT 3.1.1 without Clean Session is kept as long as the configuration allows", async () => {
  const lab = new Lab();
  const old = await lab.join({ protocolVersion: 4, clean: false });
  old.client.lost();
  lab.pass(999_000);
  const back = await lab.join({ protocolVersion: 4, clean: false });
  expect(back.read()).toEqual(["connack 0 present"]);
  back.client.lost();
  lab.pass(1_001_000);
  const late = await lab.join({ protocolVersion: 4, clean: false });
  expect(late.read()).toEqual(["connack 0"]);
});

test("a second connection with the same client id takes the session over", async () => {
  const lab = new Lab();
  const first = await lab.join(LASTING);
  first.read();
  first.send(publish());
  const second = lab.dial();
  second.connect(LASTING);
  await lab.commit();
  expect(first.read()).toEqual(["disconnect 8e"]);
  expect(first.wire.isEnded).toBe(true);
  expect(second.read().sort()).toEqual(["connack 0 present", "pubrec 1 0"]);
  expect(lab.hub.clients.size).toBe(1);
});

test("connections of a shared client id leave each other alone, and nothing of them is left behind", async () => {
  const lab = new Lab({ sharedClientIds: ["bridge:*"] });
  const each = await Promise.all(
    [1, 2, 3].map(() => lab.join({ ...LASTING, clientId: "bridge:1", will: WILL })),
  );
  expect(each.map((dialled) => dialled.read())).toEqual(Array(3).fill(["connack 0"]));
  for (const dialled of each) dialled.send(publish());
  await lab.commit();
  expect(each.map((dialled) => dialled.read())).toEqual(Array(3).fill(["pubrec 1 0"]));
  expect(lab.keeper.kept).toHaveLength(3);
  for (const dialled of each) dialled.client.lost();
  await lab.commit();
  expect(topics(lab).slice(3)).toEqual(["plant/gone", "plant/gone", "plant/gone"]);
  expect([...lab.keeper.notes.keys()]).toEqual([]);
  expect(lab.hub.book.size).toBe(0);
  const back = await lab.join({ ...LASTING, clientId: "bridge:1" });
  expect(back.readPackets()[0]).toMatchObject({
    sessionPresent: false,
    properties: { sessionExpiryInterval: 0 },
  });
});

test("over sessions_max the session that has been away for longest goes", async () => {
  const lab = new Lab({ sessionsMax: 2 });
  for (const clientId of ["a", "b"]) {
    (await lab.join({ ...LASTING, clientId })).client.lost();
    lab.pass(1000);
  }
  await lab.join({ ...LASTING, clientId: "c" });
  expect((await lab.join({ ...LASTING, clientId: "b" })).read()).toEqual(["connack 0 present"]);
  expect((await lab.join({ ...LASTING, clientId: "a" })).read()).toEqual(["connack 0"]);
  expect(lab.hub.sessionsEvicted).toBe(1);
});

const ENDS: [how: string, bytes: string | undefined, published: boolean][] = [
  ["its connection is lost", undefined, true],
  ["it says DISCONNECT", "e0 00", false],
  ["it says DISCONNECT with code 0", "e0 01 00", false],
  ["it says DISCONNECT with the will (04)", "e0 01 04", true],
  ["it breaks the protocol", "30 05 0002 612b 00", true],
];

test.each(ENDS)("a will is published, or not, when %s", async (_, bytes, published) => {
  const lab = new Lab();
  const dialled = await lab.join({ will: WILL });
  if (bytes !== undefined) dialled.sendHex(bytes);
  dialled.client.lost();
  await lab.commit();
  expect(topics(lab)).toEqual(published ? ["plant/gone"] : []);
  expect([...lab.keeper.notes.keys()]).toEqual([]);
  if (published) expect(lab.keeper.kept[0]).toMatchObject({ qos: 1, retain: true });
});

const DELAYED = { ...LASTING, will: { ...WILL, properties: { willDelayInterval: 30 } } };

test("a will with a delay waits for it, and is not published when the session goes on before", async () => {
  const lab = new Lab();
  (await lab.join(DELAYED)).client.lost();
  lab.pass(29_000);
  const back = await lab.join(DELAYED);
  lab.pass(60_000);
  back.send({ cmd: "pingreq" });
  await lab.commit();
  expect(topics(lab)).toEqual([]);
  back.client.lost();
  lab.pass(31_000);
  await lab.commit();
  expect(topics(lab)).toEqual(["plant/gone"]);
});

test("a will with a delay is published at once when its session ends or is begun anew", async () => {
  for (const connect of [{ clean: true }, undefined]) {
    const lab = new Lab();
    const properties = { sessionExpiryInterval: 10 };
    (await lab.join({ ...DELAYED, properties })).client.lost();
    if (connect === undefined) lab.pass(10_500);
    else await lab.join(connect);
    await lab.commit();
    expect(topics(lab)).toEqual(["plant/gone"]);
  }
});

test("a will is published when its client is thrown off by another of the same id, before that one's messages", async () => {
  const lab = new Lab();
  await lab.join({ will: WILL });
  const other = lab.dial();
  other.connect();
  other.send(publish({ qos: 0 }));
  await lab.commit();
  expect(topics(lab)).toEqual(["plant/gone", "plant/a"]);
});

test("a will whose client the agent's death cut off is published at the next start, once", async () => {
  const lab = new Lab();
  await lab.join({ will: WILL });
  const again = lab.restart();
  await again.commit();
  expect(topics(again)).toEqual(["plant/gone"]);
  expect(again.keeper.kept[0]?.payload.toString()).toBe("bye");
  const third = again.restart();
  await third.commit();
  expect(topics(third)).toEqual([]);
});

test("a client is not told that it is connected before its will is in the journal", async () => {
  const lab = new Lab();
  const dialled = lab.dial();
  dialled.connect({ will: WILL });
  dialled.send({ cmd: "pingreq" });
  expect(dialled.read()).toEqual([]);
  await lab.commit();
  expect(dialled.read()).toEqual(["connack 0", "pingresp"]);
});

test("when the agent stops, wills without a delay are published and the others wait for the next start", async () => {
  const lab = new Lab();
  await lab.join({ clientId: "now", will: WILL });
  await lab.join({ ...DELAYED, clientId: "later" });
  lab.hub.isPaused = true;
  lab.hub.book.publishWills();
  await lab.commit();
  expect(topics(lab)).toEqual(["plant/gone"]);
  for (const client of [...lab.hub.clients]) (client as { dismiss?(): void }).dismiss?.();
  await lab.commit();
  expect(topics(lab)).toEqual(["plant/gone"]);
  const again = lab.restart();
  again.pass(31_000);
  await again.commit();
  expect(topics(again)).toEqual(["plant/gone"]);
});

test("PUBCOMP comes after the release is kept, so that the identifier is free after a restart, too", async () => {
  const lab = new Lab();
  const before = await lab.join(LASTING);
  before.send(publish());
  await lab.commit();
  before.read();
  before.send({ cmd: "pubrel", messageId: 1 });
  await new Promise((resolve) => setImmediate(resolve));
  expect(before.read()).toEqual([]);
  await lab.commit();
  expect(before.read()).toEqual(["pubcomp 1 0"]);
  const again = lab.restart();
  const after = await again.join(LASTING);
  after.send(publish());
  await again.commit();
  expect(again.keeper.kept).toHaveLength(1);
});

test("a delayed will whose session went on without one is gone from the journal, too", async () => {
  const lab = new Lab();
  (await lab.join(DELAYED)).client.lost();
  await lab.join(LASTING);
  const again = lab.restart();
  again.pass(60_000);
  await again.commit();
  expect(topics(again)).toEqual([]);
});
