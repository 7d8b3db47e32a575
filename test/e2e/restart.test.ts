// Either agent may end and start again, at any instant and in any order: what was acknowledged arrives, nothing comes
// out of order, what was lost is told with its number, and nobody has to lend a hand.
import { expect, test } from "bun:test";
import { type Agent, runProgram } from "../support/agents.ts";
import { findFirstDifference, firstArrivals } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { isDelivered, type RecvStatus, type SendStatus, sum } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";
import { load, numbersOf, openBench, payloadsOf, waitForAll, writeSend } from "./restart-bench.ts";

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

  test("of a sender that was killed before its journal had a message finds it at the broker, unacknowledged", async () => {
    await using site = await Site.open();
    const { plant, far, near } = await openBench(site);
    // After one that goes at once, messages wait this long for others before they are written together.
    writeSend(site, plant, { link: { linger_ms: 10_000 } });
    await waitUntilReady(site.startRecv());
    const send = await waitUntilReady(site.startSend());
    await near.publish("plant/first", "goes at once", { qos: 1 });
    await far.waitForCount(1, "plant/first", () => send.tail());
    for (const qos of [1, 2] as const) await near.publish(`plant/early/${qos}`, "kept by whom?", { qos });
    await send.waitForStatus<SendStatus>("both taken in", ({ ledger }) => ledger.accepted === 3);
    await send.kill();
    expect(far.messages.map(({ topic }) => topic)).toEqual(["plant/first"]);
    writeSend(site, plant);
    const again = site.startSend();
    const messages = await far.waitForCount(2, "plant/early", () => again.tail());
    expect(messages.map(({ topic }) => topic).sort()).toEqual(["plant/early/1", "plant/early/2"]);
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
    const runs = [recv];
    const send = await waitUntilReady(site.startSend());
    const count = 12_000;
    const all = load(count);
    // In parts, so that however fast the link is, there is something to come after each start.
    for (const part of [0, 1]) {
      const published = near.publishAll(all.slice(part * 4000, (part + 1) * 4000));
      await far.waitForCount(far.messages.length + 500, undefined, () => recv.tail());
      await recv.kill();
      recv = await waitUntilReady(site.startRecv());
      runs.push(recv);
      await published;
    }
    await near.publishAll(all.slice(8000));
    await send.waitForStatus<SendStatus>("all sent", ({ ledger }) => ledger.forwarded === count);
    const settled = await recv.waitForStatus<RecvStatus>(
      "every message accounted for",
      (status) => status.ledger.accepted + sum(status.ledger.lost) === count && isDelivered(status),
    );
    const numbers = numbersOf(far);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(numbers).toHaveLength(settled.ledger.accepted);
    expect(Object.keys(settled.ledger.lost)).toEqual(["gap"]);
    const gaps = runs.flatMap(({ logs }) =>
      logs.filter(({ msg }) => msg === "gap: messages were lost on the link"),
    );
    expect(gaps.reduce((total, { count }) => total + Number(count), 0)).toBeGreaterThanOrEqual(
      settled.ledger.lost.gap ?? 0,
    );
  }, 60_000);

  test("of a receiver that was killed before its first message calls what it missed a gap", async () => {
    await using site = await Site.open();
    const { far, near } = await openBench(site);
    const deaf = await waitUntilReady(site.startRecv());
    const send = await waitUntilReady(site.startSend());
    await deaf.waitForStatus<RecvStatus>("the first heartbeat", ({ link }) => link.state === "up");
    await deaf.kill();
    await near.publishAll(load(5));
    await send.waitForStatus<SendStatus>("five sent", ({ ledger }) => ledger.forwarded === 5);
    const recv = await waitUntilReady(site.startRecv());
    const gap = await recv.waitForLog("the gap", ({ msg }) => msg === "gap: messages were lost on the link");
    expect(gap).toMatchObject({ first: 0, last: 4, reason: "gap" });
    expect((await recv.readStatus<RecvStatus>()).ledger.lost).toEqual({ gap: 5 });
    expect(runProgram("send", ["replay", "--config", site.sendFile, "--since", "1h"]).status).toBe(0);
    await waitForAll(far, 5, () => recv.tail());
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
