import { expect, test } from "bun:test";
import { fillIn, makePermit, matchName } from "../../../../../../agents/send/ingress/listen/access.ts";
import { Bans, groupOf } from "../../../../../../agents/send/ingress/listen/bans.ts";
import { TokenBucket } from "../../../../../../agents/send/ingress/listen/token-bucket.ts";
import { Lab } from "./lab.ts";

const RULE = { users: undefined, clientIds: undefined };

test("makePermit() allows everything without rules, and only what a rule allows with them", () => {
  expect(makePermit([], undefined, "c")).toBeUndefined();
  const rules = [
    { ...RULE, users: ["line-*"], publish: ["plant/%u/#"] },
    { ...RULE, clientIds: ["edge7"], publish: ["edges/%c/+"] },
    { ...RULE, publish: ["open"] },
  ];
  const line = makePermit(rules, "line-1", "x");
  expect(line?.allows("plant/line-1/a")).toBe(true);
  expect(line?.allows("plant/line-2/a")).toBe(false);
  expect(line?.allows("edges/edge7/a")).toBe(false);
  expect(line?.allows("open")).toBe(true);
  const edge = makePermit(rules, undefined, "edge7");
  expect(edge?.allows("edges/edge7/a")).toBe(true);
  expect(edge?.allows("plant/line-1/a")).toBe(false);
});

test("fillIn() never lets a name widen a rule", () => {
  expect(fillIn("a/%u/b/%c", "u", "c")).toBe("a/u/b/c");
  for (const name of ["+", "#", "a/b", "", undefined]) expect(fillIn("a/%u", name, "c")).toBeUndefined();
  expect(fillIn("a/%c", "u", "x/#")).toBeUndefined();
  expect(fillIn("a/b", undefined, "#")).toBe("a/b");
});

test("matchName() matches whole names, with stars for any characters", () => {
  for (const [pattern, name, fits] of [
    ["a", "a", true],
    ["a", "ab", false],
    ["a*", "a", true],
    ["*b", "aab", true],
    ["a*a", "a", false],
    ["a*b*c", "axxbyyc", true],
    ["a*b*c", "axxcyyb", false],
    ["*", "", true],
    [".*", "x", false],
  ] as const)
    expect([pattern, name, matchName(pattern, name)]).toEqual([pattern, name, fits]);
});

test("groupOf() takes IPv6 addresses by their first half", () => {
  expect(groupOf("10.0.0.1")).toBe("10.0.0.1");
  expect(groupOf("::ffff:10.0.0.1")).toBe("10.0.0.1");
  expect(groupOf("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2");
  expect(groupOf("2001:db8::1")).toBe("2001:db8:0:0");
  expect(groupOf("::1")).toBe("0:0:0:0");
  expect(groupOf("fe80::1%eth0")).toBe("fe80:0:0:0");
});

test("Bans shuts an address out after too many failures within the window, for a while", () => {
  const bans = new Bans({ failuresMax: 3, windowMs: 1000, banMs: 5000 });
  expect([0, 10, 20].map((ms) => bans.fail("a", ms))).toEqual([false, false, true]);
  expect(bans.isBanned("a", 5000)).toBe(true);
  expect(bans.isBanned("b", 5000)).toBe(false);
  expect(bans.isBanned("a", 5021)).toBe(false);
  expect([0, 600, 1200, 1800].map((ms) => bans.fail("c", ms))).toEqual([false, false, false, false]);
  const never = new Bans({ failuresMax: 0, windowMs: 1000, banMs: 5000 });
  for (let i = 0; i < 100; i++) expect(never.fail("a", 0)).toBe(false);
});

test("Bans forgets the oldest failures when there are those of too many addresses", () => {
  const bans = new Bans({ failuresMax: 2, windowMs: 1e9, banMs: 5000 });
  bans.fail("first", 0);
  for (let i = 0; i < 65_536; i++) bans.fail(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 1);
  expect(bans.fail("first", 2)).toBe(false);
  expect(bans.fail("10.0.255.255", 2)).toBe(true);
});

test("TokenBucket lets a second's worth through at once and then keeps the rate", () => {
  const bucket = new TokenBucket(10, 0);
  for (let i = 0; i < 10; i++) expect(bucket.tryTake(0)).toBe(true);
  expect(bucket.tryTake(50)).toBe(false);
  expect(bucket.tryTake(100)).toBe(true);
  expect(bucket.waitMs(100)).toBe(100);
});

test("a client that may not publish to a topic is told so in MQTT 5, and acknowledged before it", async () => {
  const lab = new Lab({ access: [{ ...RULE, publish: ["plant/#"] }] });
  for (const [protocolVersion, told] of [
    [5, ["puback 1 87", "pubrec 2 87"]],
    [4, ["puback 1 0", "pubrec 2 0"]],
  ] as const) {
    const dialled = await lab.join({ protocolVersion });
    dialled.read();
    for (const [messageId, qos] of [
      [1, 1],
      [2, 2],
    ] as const)
      dialled.send({
        cmd: "publish",
        topic: "office/a",
        payload: "x",
        qos,
        messageId,
        dup: false,
        retain: false,
      });
    dialled.send({ cmd: "publish", topic: "office/a", payload: "x", qos: 0, dup: false, retain: false });
    await lab.commit();
    expect(dialled.read()).toEqual([...told]);
  }
  expect(lab.keeper.lost).toEqual(Array(6).fill("not-authorized office/a"));
  expect(lab.keeper.kept).toEqual([]);
  const will = { topic: "office/gone", payload: Buffer.from("x"), qos: 0 as const, retain: false };
  expect((await lab.join({ will })).read()).toEqual(["connack 87"]);
});

test("nobody comes in without a name unless that is allowed, and an address that tries too often is shut out", async () => {
  const lab = new Lab({ anonymous: false });
  for (let i = 0; i < 3; i++) {
    expect(lab.hub.judgeArrival("10.0.0.9")).toBeUndefined();
    expect((await lab.join()).read()).toEqual(["connack 87"]);
  }
  expect(lab.hub.judgeArrival("10.0.0.9")).toBe("banned");
  expect(lab.hub.judgeArrival("10.0.0.8")).toBeUndefined();
  lab.pass(61_000);
  expect(lab.hub.judgeArrival("10.0.0.9")).toBeUndefined();
  const certified = lab.dial("10.0.0.9", "edge-1");
  certified.connect();
  await lab.commit();
  expect(certified.read()).toEqual(["connack 0"]);
});

test("a client over its rate is not read from until it is under it again; nothing is lost", async () => {
  const lab = new Lab({ messagesPerSecondMax: 5 });
  const dialled = await lab.join();
  for (let i = 0; i < 10; i++)
    dialled.send({ cmd: "publish", topic: "a", payload: "x", qos: 0, dup: false, retain: false });
  expect(dialled.wire.isResting).toBe(true);
  lab.pass(500);
  expect(dialled.wire.isResting).toBe(true);
  lab.pass(1000);
  expect(dialled.wire.isResting).toBe(false);
  await lab.commit();
  expect(lab.keeper.kept).toHaveLength(10);
});

test("connections over the maximum and over the rate are refused by name", async () => {
  const lab = new Lab({ connectionsMax: 2, connectionsPerSecondMax: 4 });
  await lab.join({ clientId: "a" });
  await lab.join({ clientId: "b" });
  expect(lab.hub.judgeArrival("10.0.0.1")).toBe("connections-max");
  const quick = new Lab({ connectionsPerSecondMax: 1 });
  expect(quick.hub.judgeArrival("10.0.0.1")).toBeUndefined();
  expect(quick.hub.judgeArrival("10.0.0.1")).toBe("connection-rate");
});
