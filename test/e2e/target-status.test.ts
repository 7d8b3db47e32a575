// The status of the link on a target's broker: where, when and what, the last will, and that none of it is in a ledger.
import { expect, test } from "bun:test";
import { Collector, Publisher, type Received } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, unaccounted } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";

const TOPIC = "tidegate/plant-7/status";
type StatusFields = RecvStatus["targets"][number] & {
  readonly status: { readonly published: number; readonly lost: number } | null;
};

async function open(site: Site, profile: TomlTable) {
  const plant = await site.startBroker();
  const business = await site.startBroker();
  site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
  site.writeRecv({ link: { degraded_after_ms: 1500, down_after_ms: 2500 } });
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}`, ...profile });
  const far = site.use(await Collector.start({ door: business.port }));
  const near = site.use(await Publisher.start({ door: plant.port }));
  return { plant, business, far, near };
}

function read(message: Received | undefined) {
  return JSON.parse(String(message?.payload));
}

/** The newest status, once it fits. */
function waitForTold(far: Collector, what: string, fits: (told: ReturnType<typeof read>) => boolean) {
  return waitFor(
    what,
    20_000,
    () => far.below(TOPIC).findLast((message) => fits(read(message))),
    () =>
      far
        .below(TOPIC)
        .map(({ payload }) => String(payload))
        .join("\n"),
  );
}

/** What the broker retains on the topic: what somebody sees who looks now. */
async function waitForRetained(door: number, what: string, fits: (told: ReturnType<typeof read>) => boolean) {
  await using late = await Collector.start({ door }, TOPIC);
  return await waitForTold(late, what, fits);
}

requireTools(["mosquitto"])("the status on a target", () => {
  test.each(["5", "3.1.1"])(
    "is told on connection, on change and every interval, with a last will, and is in no ledger: MQTT %s",
    async (mqtt_version) => {
      await using site = await Site.open();
      const wishes = { mqtt_version, topic_prefix: "in/", status: { topic: TOPIC, interval_seconds: 1 } };
      const { business, far, near } = await open(site, wishes);
      const recv = site.startRecv();
      await waitForTold(far, "no contact yet", ({ link }) => link?.state === "waiting");
      const send = await waitUntilReady(site.startSend());
      await waitForTold(far, "the link up", ({ link }) => link?.state === "up");
      for (let index = 0; index < 20; index++) await near.publish("plant/x", "x", { qos: 1 });
      await far.waitForCount(20, "in/plant/x", () => recv.tail());
      const told = read(await waitForTold(far, "all forwarded", ({ target }) => target?.forwarded === 20));
      expect(told).toMatchObject({
        state: "running",
        problem: null,
        linkId: "plant-7",
        link: { state: "up", senderRestarts: 0 },
        gaps: { count: 0, sequences: 0 },
        ledger: { accepted: 20, lost: {}, skipped: {}, awaited: 0 },
        target: { accepted: 20, forwarded: 20, held: 0, filtered: {}, lost: {} },
        sender: { stopping: false, ledger: { accepted: 20, forwarded: 20, held: 0 } },
        deadLetters: 0,
      });
      expect(Math.abs(Date.parse(told.time) - Date.now())).toBeLessThan(20_000);
      expect(Math.abs(told.link.clockDifferenceMs)).toBeLessThan(2000);
      // Neither addresses nor names of the plant.
      const text = JSON.stringify(told);
      for (const secret of ["127.0.0.1", "line", String(site.linkPort), "plant/"])
        expect(text).not.toContain(secret);
      const count = far.below(TOPIC).length;
      await waitFor("the next ones", 10_000, () => far.below(TOPIC).length >= count + 2);

      await send.kill();
      const down = await waitForTold(far, "the link down", ({ link }) => link?.state === "down");
      expect(down.retain).toBe(true);
      const status = await recv.readStatus<RecvStatus>();
      const [target] = status.targets as StatusFields[];
      expect(target?.status?.lost).toBe(0);
      expect(target?.status?.published).toBeGreaterThan(4);
      expect(target && unaccounted(target.ledger)).toBe(0);
      expect(target?.ledger).toMatchObject({ accepted: 20, forwarded: 20 });
      expect(far.messages.filter(({ topic }) => topic !== TOPIC)).toHaveLength(20);

      await recv.kill();
      const will = await waitForRetained(business.port, "the will", ({ state }) => state === "offline");
      expect([will.retain, read(will)]).toEqual([true, { state: "offline" }]);
      const again = site.startRecv();
      await waitForRetained(business.port, "online again", ({ state }) => state === "running");
      expect(await again.stop()).toBe(0);
      await waitForRetained(business.port, "the goodbye", ({ state }) => state === "stopped");
    },
    60_000,
  );

  test("is not there without its table, and has no will or retain flag where the profile says so", async () => {
    await using site = await Site.open();
    const { far, business } = await open(site, {
      status: { topic: TOPIC, retain: false, will: false, qos: 0 },
    });
    site.writeTarget("quiet", { url: `mqtt://127.0.0.1:${business.port}` });
    const recv = site.startRecv();
    await waitForTold(far, "the first", () => true);
    await recv.kill();
    const second = site.startRecv();
    await waitFor("the second", 10_000, () => far.messages.length === 2);
    const { targets } = await second.readStatus<RecvStatus>();
    expect((targets as StatusFields[]).map(({ status }) => status)).toEqual([
      { published: 1, lost: 0 },
      null,
    ]);
    await second.stop();
    await waitFor("the goodbye", 10_000, () => far.messages.length === 3);
    expect(far.messages.map(({ topic, retain }) => [topic, retain])).toEqual(Array(3).fill([TOPIC, false]));
    expect(far.messages.map((message) => read(message).state)).toEqual(["running", "running", "stopped"]);
  }, 60_000);

  test("that the broker refuses is counted, and no message is the worse for it", async () => {
    await using site = await Site.open();
    const accessList = site.workspace.write("access", "topic readwrite #\ntopic deny tidegate/#\n");
    const plant = await site.startBroker();
    const business = await site.startBroker({ listeners: [{ lines: [`acl_file ${accessList}`] }] });
    site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
    site.writeRecv();
    site.writeTarget("hq", {
      url: `mqtt://127.0.0.1:${business.port}`,
      status: { topic: TOPIC, interval_seconds: 1, will: false },
    });
    const far = site.use(await Collector.start({ door: business.port }));
    const near = site.use(await Publisher.start({ door: plant.port }));
    const { recv } = await site.startBoth();
    await near.publish("plant/x", "x", { qos: 1 });
    await far.waitForCount(1);
    const status = await recv.waitForStatus<RecvStatus>(
      "two refusals, and the message forwarded",
      ({ targets }) =>
        ((targets as StatusFields[])[0]?.status?.lost ?? 0) >= 2 && targets[0]?.ledger.forwarded === 1,
    );
    expect(status.targets[0]?.ledger).toMatchObject({ accepted: 1, forwarded: 1, lost: {} });
    const line = await recv.waitForLog("the refusal", ({ outcome }) => outcome === "status");
    expect(line.msg).toContain("not authorized");
  }, 60_000);
});
