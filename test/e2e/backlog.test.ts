// What waited while a target was away: drained with memory flat, in order or behind what comes now, at the rate that the
// profile says, over crashes; and what is given up when the spool is full.
import { expect, test } from "bun:test";
import { readPeakMegabytes } from "../bench/proc.ts";
import { NumberCollector, publishNumbers } from "../support/bulk.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, unaccounted } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";

const MESSAGES = Number(process.env.TIDEGATE_BACKLOG_MESSAGES ?? 1_000_000);
/** What the peak may grow in the second half of a million: less than 100 bytes a message, so nothing is held. */
const GROWTH_MEGABYTES_MAX = 48;
const PATIENT_MS = 600_000;

function ledger(status: RecvStatus) {
  const [target] = status.targets;
  if (target === undefined) throw new Error("there is no target");
  expect(unaccounted(target.ledger)).toBe(0);
  return target.ledger;
}

/** Messages a second that a subscriber gets from a publisher right beside it, through the same broker. */
async function measureDirect(broker: { readonly port: number }): Promise<number> {
  const count = MESSAGES / 5;
  const far = await NumberCollector.start(broker.port, count);
  const startMs = performance.now();
  await publishNumbers(broker.port, 0, count);
  await waitFor("the direct messages", PATIENT_MS, () => far.distinct === count);
  return (count * 1000) / (performance.now() - startMs);
}

async function open(site: Site, profile: TomlTable = {}, recv: TomlTable = {}) {
  const plant = await site.startBroker();
  const business = await site.startBroker();
  site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["#"] }], {
    link: {
      path: [{ type: "udp", endpoint: `127.0.0.1:${site.linkPort}`, rate_mbit_per_second: 100 }],
    },
  });
  site.writeRecv(recv);
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}`, reconnect_max_ms: 100, ...profile });
  const agents = await site.startBoth();
  return { plant, business, ...agents };
}

requireTools(["mosquitto"])("a backlog", () => {
  test(
    `of ${MESSAGES} messages is drained in order, each once, with memory flat`,
    async () => {
      await using site = await Site.open();
      const { plant, business, recv } = await open(site);
      await business.stop();
      await publishNumbers(plant.port, 0, MESSAGES);
      await recv.waitForStatus<RecvStatus>(
        "all held",
        ({ ledger }) => ledger.accepted === MESSAGES,
        PATIENT_MS,
      );
      // A new process, so that its memory is that of draining alone.
      await recv.stop();
      const drainer = await waitUntilReady(site.startRecv());
      const before = await drainer.readStatus<RecvStatus>();
      expect(ledger(before)).toMatchObject({ accepted: MESSAGES, forwarded: 0, held: MESSAGES });
      const far = await drainer.whilePaused(async () => {
        await business.start();
        return NumberCollector.start(business.port, MESSAGES);
      });
      const startMs = performance.now();
      await waitFor(
        "half of it",
        PATIENT_MS,
        () => far.distinct >= MESSAGES / 2,
        () => drainer.tail(),
      );
      const early = readPeakMegabytes(drainer.pid);
      await waitFor(
        "the last",
        PATIENT_MS,
        () => far.distinct === MESSAGES,
        () => `${far.distinct} came`,
      );
      const seconds = (performance.now() - startMs) / 1000;
      const direct = await measureDirect(business);
      const late = readPeakMegabytes(drainer.pid);
      const rate = MESSAGES / seconds;
      console.log(
        `${MESSAGES} messages in ${seconds.toFixed(1)} s, ${Math.round(rate)}/s (${(rate / direct).toFixed(2)} of what the same broker takes from a publisher of its own, ${Math.round(direct)}/s), peak memory ${early.toFixed(0)} MB after half, ${late.toFixed(0)} MB at the end`,
      );
      expect(late - early).toBeLessThan(GROWTH_MEGABYTES_MAX);
      expect([far.duplicates, far.disordered]).toEqual([0, 0]);
      const after = await drainer.waitForStatus<RecvStatus>(
        "none held",
        ({ targets }) => targets[0]?.ledger.held === 0,
      );
      expect(ledger(after)).toMatchObject({ forwarded: MESSAGES, lost: {} });
    },
    2 * PATIENT_MS,
  );

  test("newest-first lets live messages by, keeps its rate, and goes on with both after kill -9", async () => {
    await using site = await Site.open();
    const rate = 500;
    const { plant, business, recv } = await open(site, { backlog: "newest-first", drain_per_second: rate });
    await business.stop();
    await recv.waitForStatus<RecvStatus>("down", ({ targets }) => targets[0]?.state === "down");
    const backlog = 4000;
    await publishNumbers(plant.port, 0, backlog);
    await recv.waitForStatus<RecvStatus>("all held", ({ ledger }) => ledger.accepted === backlog);
    const [far, live] = await recv.whilePaused(async () => {
      await business.start();
      return [
        await NumberCollector.start(business.port, backlog),
        site.use(await Collector.start({ door: business.port }, "live/#")),
      ] as const;
    });
    const near = site.use(await Publisher.start({ door: plant.port }));
    const startMs = performance.now();
    await waitFor("the backlog under way", 20_000, () => far.distinct > 100);
    for (let index = 0; index < 10; index++) {
      const sentMs = performance.now();
      await near.publish("live/a", String(index), { qos: 1 });
      await live.waitForCount(index + 1, "live/a", () => recv.tail());
      // The backlog alone would take seconds more.
      expect(performance.now() - sentMs).toBeLessThan(1500);
    }
    expect(far.distinct).toBeLessThan(backlog * 0.9);
    await recv.kill();
    await near.publish("live/b", "while nobody listened", { qos: 1 });
    const second = await waitUntilReady(site.startRecv());
    await second.waitForStatus<RecvStatus>("connected", ({ targets }) => targets[0]?.state === "connected");
    await near.publish("live/c", "after", { qos: 1 });
    await live.waitForCount(1, "live/c", () => second.tail());
    expect(far.distinct).toBeLessThan(backlog);
    await waitFor(
      "the rest",
      60_000,
      () => far.distinct === backlog,
      () => second.tail(),
    );
    const seconds = (performance.now() - startMs) / 1000;
    expect(seconds).toBeGreaterThan((backlog / rate) * 0.9);
    expect(far.disordered).toBe(0);
    // What was forwarded in the last 200 ms before the kill comes again.
    expect(far.duplicates).toBeLessThanOrEqual(rate);
    const status = await second.waitForStatus<RecvStatus>(
      "none held",
      ({ targets }) => targets[0]?.ledger.held === 0,
    );
    expect(ledger(status).lost).toEqual({});
  }, 120_000);

  test.each(["drop-oldest", "drop-newest"])(
    "larger than the spool loses by %s what is over, and the ledger says how many",
    async (overflow) => {
      await using site = await Site.open();
      const limits = { spool: { directory: "spool", bytes_max: 16_777_216 } };
      const { plant, business, recv } = await open(site, { overflow }, limits);
      await business.stop();
      await recv.waitForStatus<RecvStatus>("down", ({ targets }) => targets[0]?.state === "down");
      const near = site.use(await Publisher.start({ door: plant.port }));
      const count = 600;
      for (let index = 0; index < count; index++) {
        // Random, so that nothing is compressed.
        const payload = Buffer.from(crypto.getRandomValues(new Uint8Array(40_000)));
        payload.writeUInt32BE(index);
        await near.publish("bench/x", payload, { qos: 1 });
      }
      const full = await recv.waitForStatus<RecvStatus>(
        "all arrived",
        ({ ledger }) => ledger.accepted === count,
      );
      const settled = await recv.waitForStatus<RecvStatus>(
        "the spool within its limit",
        ({ spool }: RecvStatus & { spool?: { bytes: number } }) => (spool?.bytes ?? 0) <= 16_777_216,
      );
      expect(full.problem).toBeNull();
      const { held, lost } = ledger(settled);
      expect(lost.overflow).toBe(count - held);
      expect(held).toBeWithin(300, 420);
      const far = await recv.whilePaused(async () => {
        await business.start();
        return site.use(await Collector.start({ door: business.port }));
      });
      await far.waitForCount(held, undefined, () => recv.tail());
      const numbers = far.messages.map(({ payload }) => payload.readUInt32BE());
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      expect(overflow === "drop-oldest" ? numbers.at(-1) : numbers[0]).toBe(
        overflow === "drop-oldest" ? count - 1 : 0,
      );
      const end = await recv.waitForStatus<RecvStatus>(
        "none held",
        ({ targets }) => targets[0]?.ledger.held === 0,
      );
      expect(ledger(end)).toMatchObject({
        accepted: count,
        forwarded: held,
        lost: { overflow: count - held },
      });
    },
    120_000,
  );
});
