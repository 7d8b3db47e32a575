// A clean stop: what was taken in is sent, what was received is delivered, within the grace, with exit status 0. What
// could not be is there in the next run.
import { expect, test } from "bun:test";
import { FakeBroker } from "../support/fake-broker.ts";
import { findFirstDifference, firstArrivals } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import type { RecvStatus } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";
import { load, openBench, payloadsOf, QUICK_TO_NOTICE, waitForAll } from "./restart-bench.ts";

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

  test("waits for no target that is down, and delivers to the others", async () => {
    await using site = await Site.open();
    const { far, near } = await openBench(site);
    site.writeTarget("dead", { url: "mqtt://127.0.0.1:1" });
    const recv = await waitUntilReady(site.startRecv());
    await waitUntilReady(site.startSend());
    await near.publishAll(load(100));
    await recv.waitForStatus<RecvStatus>("all in the spool", ({ ledger }) => ledger.accepted === 100);
    const beganMs = performance.now();
    expect(await recv.stop()).toBe(0);
    // Well below the grace, which is 10 s.
    expect(performance.now() - beganMs).toBeLessThan(5000);
    await far.waitForCount(100);
    expect(recv.logs.at(-1)).toMatchObject({ idle: false });
  }, 60_000);

  test("keeps to its grace when a target acknowledges nothing", async () => {
    await using site = await Site.open();
    const { near } = await openBench(site);
    const mute = site.use(await FakeBroker.start());
    site.writeRecv({ ...QUICK_TO_NOTICE, stop: { grace_seconds: 1 } });
    site.writeTarget("mute", { url: `mqtt://127.0.0.1:${mute.port}`, mqtt_version: "3.1.1" });
    const recv = await waitUntilReady(site.startRecv());
    await waitUntilReady(site.startSend());
    await near.publishAll(load(100));
    await waitFor("something to acknowledge", 10_000, () => mute.count("publish") > 0);
    const beganMs = performance.now();
    expect(await recv.stop()).toBe(0);
    expect(performance.now() - beganMs).toBeWithin(900, 4000);
    expect(recv.logs.at(-1)).toMatchObject({
      msg: "stopped: what was not delivered stays in the spool",
      idle: false,
    });
  }, 60_000);

  test("leaves what a target that is away has not got to the next run", async () => {
    await using site = await Site.open();
    const { business, far, near } = await openBench(site);
    const recv = await waitUntilReady(site.startRecv());
    await waitUntilReady(site.startSend());
    await business.stop();
    await recv.waitForStatus<RecvStatus>("the target down", ({ targets }) => targets[0]?.state === "down");
    await near.publishAll(load(100));
    await recv.waitForStatus<RecvStatus>("a hundred held", ({ targets }) => targets[0]?.ledger.held === 100);
    expect(await recv.stop()).toBe(0);
    await business.start();
    const again = site.startRecv();
    await waitForAll(far, 100, () => again.tail());
    expect(findFirstDifference(payloadsOf(far), 100)).toBeUndefined();
  }, 60_000);
});
