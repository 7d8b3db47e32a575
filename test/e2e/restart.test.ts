// Either agent may end and start again, at any instant and in any order: what was acknowledged arrives, nothing comes
// out of order, what was lost is told with its number, and nobody has to lend a hand.
import { expect, test } from "bun:test";
import type { Agent } from "../support/agents.ts";
import type { Mosquitto } from "../support/mosquitto.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFirstDifference, firstArrivals, makePayloads } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, type SendStatus, sum } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";

const QUICK_TO_NOTICE = { link: { degraded_after_ms: 500, down_after_ms: 1000, patience_ms: 300 } };

type Bench = { site: Site; plant: Mosquitto; business: Mosquitto; far: Collector; near: Publisher };

function writeSend(site: Site, plant: Mosquitto, over: TomlTable = {}): void {
  const source = { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] };
  site.writeSend([source], { link: { heartbeat_ms: 200 }, ...over });
}

async function openBench(site: Site): Promise<Bench> {
  const plant = await site.startBroker({ persistence: true });
  const business = await site.startBroker({ persistence: true });
  writeSend(site, plant);
  site.writeRecv(QUICK_TO_NOTICE);
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
  const far = site.use(await Collector.start({ door: business.port, session: "reader" }));
  const near = site.use(await Publisher.start({ door: plant.port }));
  return { site, plant, business, far, near };
}

function load(count: number) {
  return makePayloads(count).map((payload) => ({ topic: "plant/x", payload, options: { qos: 1 as const } }));
}

const payloadsOf = (far: Collector) => far.messages.map(({ payload }) => payload);
const numbersOf = (far: Collector) => firstArrivals(payloadsOf(far)).map((payload) => payload.readUInt32BE());

/** Waits until every number has come at least once. */
async function waitForAll(far: Collector, count: number, explain: () => string): Promise<void> {
  await far.waitForCount(count, undefined, explain);
  for (let seen = 0; seen < count; seen = numbersOf(far).length) {
    const more = far.messages.length + count - numbersOf(far).length;
    await far.waitForCount(
      more,
      undefined,
      () => `${numbersOf(far).length} of ${count} numbers\n${explain()}`,
    );
  }
}

requireTools(["mosquitto"])("a restart", () => {
  test("of a sender that was killed under load loses nothing that it had acknowledged", async () => {
    await using site = await Site.open();
    const { far, near } = await openBench(site);
    const recv = await waitUntilReady(site.startRecv());
    let send = await waitUntilReady(site.startSend());
    const count = 12_000;
    const published = near.publishAll(load(count));
    for (const seen of [1000, 4000, 7000]) {
      await far.waitForCount(seen, undefined, () => send.tail());
      await send.kill();
      send = await waitUntilReady(site.startSend());
    }
    await published;
    await waitForAll(far, count, () => `${send.tail()}\n${recv.tail()}`);
    expect(findFirstDifference(firstArrivals(payloadsOf(far)), count)).toBeUndefined();
    const status = await recv.waitForStatus<RecvStatus>(
      "three restarts",
      ({ link }) => link.senderRestarts === 3,
    );
    expect(status.ledger.lost).toEqual({});
    expect(recv.logs.filter(({ msg }) => msg === "the send agent was started again")).toHaveLength(3);
  }, 60_000);

  test("of a receiver that was killed delivers what its spool held, in order", async () => {
    await using site = await Site.open();
    const { business, far, near } = await openBench(site);
    let recv = await waitUntilReady(site.startRecv());
    const send = await waitUntilReady(site.startSend());
    const count = 3000;
    await near.publishAll(load(10));
    await far.waitForCount(10);
    await business.stop();
    await near.publishAll(load(count).slice(10));
    await recv.waitForStatus<RecvStatus>("all in the spool", ({ ledger }) => ledger.accepted === count);
    await recv.kill();
    await business.start();
    recv = site.startRecv();
    await waitForAll(far, count, () => recv.tail());
    expect(findFirstDifference(firstArrivals(payloadsOf(far)), count)).toBeUndefined();
    const status = await recv.waitForStatus<RecvStatus>(
      "nothing held",
      ({ targets }) => targets[0]?.ledger.held === 0,
    );
    expect(status.targets[0]?.ledger).toMatchObject({ accepted: count, forwarded: count, lost: {} });
    expect(send.hasEnded).toBe(false);
  }, 60_000);

  test("of a receiver that was killed under load counts what passed it by, and nothing comes out of order", async () => {
    await using site = await Site.open();
    const { far, near } = await openBench(site);
    let recv = await waitUntilReady(site.startRecv());
    const send = await waitUntilReady(site.startSend());
    const count = 12_000;
    const published = near.publishAll(load(count));
    for (const seen of [1000, 3000]) {
      await far.waitForCount(seen, undefined, () => recv.tail());
      await recv.kill();
      recv = await waitUntilReady(site.startRecv());
    }
    await published;
    await send.waitForStatus<SendStatus>("all sent", ({ ledger }) => ledger.forwarded === count);
    const settled = await recv.waitForStatus<RecvStatus>(
      "every message accounted for",
      ({ ledger, targets }) => ledger.accepted + sum(ledger.lost) === count && targets[0]?.ledger.held === 0,
    );
    const numbers = numbersOf(far);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(numbers).toHaveLength(settled.ledger.accepted);
    expect(Object.keys(settled.ledger.lost)).toEqual(["gap"]);
    // Across the runs of the receiver: its log tells each gap with its numbers.
    expect(recv.logs.some(({ msg }) => msg === "gap: messages were lost on the link")).toBe(true);
  }, 60_000);

  test("in any order is mended by itself", async () => {
    await using site = await Site.open();
    const { far, near } = await openBench(site);
    let send = await waitUntilReady(site.startSend());
    await near.publishAll(load(5));
    await send.waitForStatus<SendStatus>("five sent into the void", ({ ledger }) => ledger.forwarded === 5);
    let recv = await waitUntilReady(site.startRecv());
    const first = await recv.waitForLog("what came before", ({ reason }) => reason === "before-start");
    expect(first).toMatchObject({ first: 0, last: 4, count: 5 });
    let sent = 5;
    const check = async () => {
      await near.publish("plant/round", `${sent++}`, { qos: 1 });
      const newest = `${sent - 1}`;
      await waitFor(
        `message ${newest}`,
        20_000,
        () => far.messages.at(-1)?.payload.toString() === newest,
        () => `${send.tail()}\n${recv.tail()}`,
      );
    };
    await check();
    const restart = async (agent: Agent, how: "SIGTERM" | "SIGKILL", start: () => Agent) => {
      await agent.stop(how);
      return await waitUntilReady(start());
    };
    for (const how of ["SIGKILL", "SIGTERM"] as const) {
      send = await restart(send, how, () => site.startSend());
      await check();
      recv = await restart(recv, how, () => site.startRecv());
      await check();
      await recv.stop(how);
      send = await restart(send, how, () => site.startSend());
      recv = await waitUntilReady(site.startRecv());
      await check();
    }
    const status = await recv.waitForStatus<RecvStatus>(
      "settled",
      ({ targets }) => targets[0]?.ledger.held === 0,
    );
    expect(status.ledger).toMatchObject({ accepted: sent - 5, lost: { "before-start": 5 }, awaited: 0 });
    // A receiver that was killed may deliver again what it had not yet noted as delivered: QoS 1.
    const arrivals = [...new Set(far.messages.map(({ payload }) => payload.toString()))];
    expect(arrivals).toEqual(Array.from({ length: sent - 5 }, (_, index) => `${index + 5}`));
  }, 60_000);

  test("of a sender on a new disk is told, and retires the old journal", async () => {
    await using site = await Site.open();
    const { plant, far, near } = await openBench(site);
    const recv = await waitUntilReady(site.startRecv());
    const send = await waitUntilReady(site.startSend());
    await near.publish("plant/old", "old", { qos: 1 });
    await far.waitForCount(1);
    const { journalId } = (await send.readStatus<SendStatus>()).link;
    await send.kill();
    writeSend(site, plant, { journal: { directory: "new-disk" } });
    await waitUntilReady(site.startSend());
    await near.publish("plant/new", "new", { qos: 1 });
    await far.waitForCount(1, "plant/new", () => recv.tail());
    const line = await recv.waitForLog("the new journal", ({ msg }) =>
      msg.startsWith("the send agent has a new journal"),
    );
    expect(line).toMatchObject({ level: "warn", retired: journalId });
  }, 60_000);
});

requireTools(["mosquitto"])("a clean stop", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "on %s under load sends what it took, then delivers it, and exits with 0",
    async (signal) => {
      await using site = await Site.open();
      const { far, near } = await openBench(site);
      const recv = await waitUntilReady(site.startRecv());
      const send = await waitUntilReady(site.startSend());
      const count = 10_000;
      const published = near.publishAll(load(count));
      await far.waitForCount(1000, undefined, () => send.tail());
      expect(await send.stop(signal)).toBe(0);
      expect(send.logs.at(-1)).toMatchObject({ msg: "stopped: all was sent", idle: true });
      const stopped = await recv.waitForStatus<RecvStatus>(
        "the sender stopped",
        ({ sender }) => sender?.stopping === true,
      );
      expect(stopped.ledger).toMatchObject({ lost: {} });
      await recv.waitForLog("link down", ({ msg }) => msg === "link down: the send agent was stopped");
      expect(await recv.stop(signal)).toBe(0);
      expect(recv.logs.at(-1)).toMatchObject({ msg: "stopped: all was delivered", idle: true });
      await published;
      // The rest is with the plant's broker, and comes when both are back.
      await waitUntilReady(site.startRecv());
      const again = await waitUntilReady(site.startSend());
      await waitForAll(far, count, () => again.tail());
      expect(findFirstDifference(firstArrivals(payloadsOf(far)), count)).toBeUndefined();
    },
    60_000,
  );

  test("keeps to its grace when a target is dead, and the next run delivers what was held", async () => {
    await using site = await Site.open();
    const { business, far, near } = await openBench(site);
    site.writeRecv({ ...QUICK_TO_NOTICE, stop: { grace_seconds: 1 } });
    const recv = await waitUntilReady(site.startRecv());
    await waitUntilReady(site.startSend());
    await business.stop();
    await recv.waitForStatus<RecvStatus>("the target down", ({ targets }) => targets[0]?.state === "down");
    await near.publishAll(load(100));
    await recv.waitForStatus<RecvStatus>("a hundred held", ({ targets }) => targets[0]?.ledger.held === 100);
    const beganMs = performance.now();
    expect(await recv.stop()).toBe(0);
    expect(performance.now() - beganMs).toBeLessThan(5000);
    expect(recv.logs.at(-1)).toMatchObject({
      msg: "stopped: what was not delivered stays in the spool",
      idle: false,
    });
    await business.start();
    const again = site.startRecv();
    await waitForAll(far, 100, () => again.tail());
    expect(findFirstDifference(payloadsOf(far), 100)).toBeUndefined();
  }, 60_000);
});
