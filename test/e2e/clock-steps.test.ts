// The wall clock of either side stepped by hours, forward and back, under load: nothing is lost, doubled, expired before
// its time or out of order, the link stays up, and the operator sees how far the clocks are apart.
import { expect, test } from "bun:test";
import { ClockShim } from "../support/clock-shim.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, type SendStatus, unaccounted } from "../support/status.ts";

/** Less than any step, far more than the test takes. */
const EXPIRY_SECONDS = 1800;

requireTools(["mosquitto", "gcc"])("a clock that is stepped under load", () => {
  test("by hours, on either side and in both directions, changes no message and loses none", async () => {
    await using site = await Site.open();
    const plant = await site.startBroker();
    const business = await site.startBroker();
    const sendClock = new ClockShim(site.workspace, "send");
    const recvClock = new ClockShim(site.workspace, "recv");
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }], {
      link: { heartbeat_ms: 200, repeat_after_seconds: 1 },
    });
    site.writeRecv({ link: { degraded_after_ms: 5000, down_after_ms: 10_000 } });
    site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
    const far = site.use(await Collector.start({ door: business.port }));
    const near = site.use(await Publisher.start({ door: plant.port }));
    const recv = await waitUntilReady(site.startRecv({ env: recvClock.env }));
    const send = await waitUntilReady(site.startSend({ env: sendClock.env }));
    let number = 0;
    const batch = async () => {
      const properties = { messageExpiryInterval: EXPIRY_SECONDS };
      const messages = Array.from({ length: 200 }, () => ({
        topic: "plant/x",
        payload: String(number++),
        options: { qos: 1 as const, ...(number % 2 === 0 ? { properties } : {}) },
      }));
      await near.publishAll(messages);
    };
    await batch();
    // Hours that the two clocks are off.
    for (const [sendHours, recvHours] of [
      [5, 0],
      [-5, 0],
      [0, 0],
      [0, 5],
      [0, -5],
      [7, -7],
      [0, 0],
    ] as const) {
      sendClock.set(sendHours);
      recvClock.set(recvHours);
      await batch();
      await far.waitForCount(number, undefined, () => `${send.tail()}\n${recv.tail()}`);
      expect((await recv.readStatus<RecvStatus>()).link.state).toBe("up");
      await batch();
    }
    const messages = await far.waitForCount(number);
    expect(messages.map(({ payload }) => Number(payload))).toEqual(
      Array.from({ length: number }, (_, n) => n),
    );
    for (const { properties } of messages) {
      const left = properties.messageExpiryInterval;
      if (left !== undefined) expect(left).toBeGreaterThan(EXPIRY_SECONDS - 300);
    }
    const status = await recv.waitForStatus<RecvStatus>(
      "nothing held",
      ({ targets }) => targets[0]?.ledger.held === 0,
    );
    expect(status.ledger).toMatchObject({ accepted: number, lost: {}, skipped: {} });
    expect(status.targets[0]?.ledger).toMatchObject({ forwarded: number, lost: {} });
    expect(unaccounted((await send.readStatus<SendStatus>()).ledger)).toBe(0);
    for (const agent of [send, recv]) {
      const told = agent.logs.filter(({ msg }) => msg.startsWith("the clock of this host"));
      expect(told.length).toBeGreaterThanOrEqual(4);
    }
  }, 180_000);
});
