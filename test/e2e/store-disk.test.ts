// A disk that is full, then has space again; a disk that is read-only; a directory that is somebody else's: nothing
// that was acknowledged is lost, what is lost is named, and the agent goes on by itself or says in one line why it cannot.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Agent } from "../support/agents.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFirstDifference, makePayload } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { SmallDisk } from "../support/small-disk.ts";
import { type RecvStatus, type SendStatus, sum, unaccounted } from "../support/status.ts";
import { waitFor } from "../support/wait.ts";

const DISK_MEGABYTES = 200;
const MEGABYTE = 1024 * 1024;

async function openSite(site: Site) {
  const plant = await site.startBroker();
  const business = await site.startBroker();
  site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }], {
    link: { path: [{ type: "udp", endpoint: `127.0.0.1:${site.linkPort}`, rate_mbit_per_second: 200 }] },
  });
  site.writeRecv();
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
  const far = site.use(await Collector.start({ door: business.port, session: "reader" }));
  const near = site.use(await Publisher.start({ door: plant.port }));
  return { far, near };
}

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ({
    topic: "plant/x",
    payload: makePayload(from + index),
    options: { qos: 1 as const },
  }));

const payloadsOf = (far: Collector) => far.below("plant/x").map(({ payload }) => payload);

/** Both ledgers add up, and everything that the sender wrote to the link is accounted for by the receiver. */
async function settle(send: Agent, recv: Agent): Promise<{ send: SendStatus; recv: RecvStatus }> {
  let last = "";
  return await waitFor(
    "nothing to be under way",
    30_000,
    async () => {
      const there = await recv.readStatus<RecvStatus>();
      const here = await send.readStatus<SendStatus>();
      last = JSON.stringify({ here: here.ledger, there: there.ledger, targets: there.targets });
      const { accepted: taken } = there.ledger;
      const isOver =
        here.ledger.held === 0 &&
        there.targets.every(({ ledger }) => ledger.held === 0 && ledger.accepted === taken);
      return isOver && there.ledger.accepted + sum(there.ledger.lost) === here.ledger.forwarded
        ? { send: here, recv: there }
        : undefined;
    },
    () => last,
  );
}

requireTools(["mosquitto", "mount namespaces", "nsenter", "setpriv"])("a full disk", () => {
  test("of the sender holds back acknowledgements, names what it cannot hold back, and ends by itself", async () => {
    await using site = await Site.open();
    const { far, near } = await openSite(site);
    await using disk = await SmallDisk.mount(site.workspace.path("journal"), DISK_MEGABYTES);
    const recv = await waitUntilReady(site.startRecv());
    const send = await waitUntilReady(site.startSend({ before: disk.before }));
    await near.publishAll(numbered(0, 300));
    await far.waitForCount(300, "plant/x");
    disk.fill();
    // More than the file has unused inside, at QoS 0: nobody can be asked to wait.
    for (let index = 0; index < 80; index++) await near.publish("plant/bulk", Buffer.alloc(MEGABYTE, index));
    const published = near.publishAll(numbered(300, 1500));
    const blocked = await send.waitForStatus<SendStatus>(
      "blocked, and QoS 0 lost by name",
      ({ state, ledger }) => state === "blocked" && (ledger.lost.overflow ?? 0) > 0,
    );
    expect(blocked.problem).toContain("full");
    expect(unaccounted(blocked.ledger)).toBe(0);
    await published;
    disk.empty();
    await waitFor(
      "every QoS 1 message",
      30_000,
      () => payloadsOf(far).length >= 1500,
      () => `${payloadsOf(far).length}\n${send.tail()}`,
    );
    expect(findFirstDifference(payloadsOf(far), 1500)).toBeUndefined();
    const settled = await settle(send, recv);
    expect(settled.send).toMatchObject({ state: "running", problem: null });
    expect(unaccounted(settled.send.ledger)).toBe(0);
    expect(Object.keys(settled.send.ledger.lost)).toEqual(["overflow"]);
    expect(settled.recv.ledger.lost).toEqual({});
    expect(far.below("plant/bulk")).toHaveLength(80 - (settled.send.ledger.lost.overflow ?? 0));
    expect(send.logs.filter(({ msg }) => msg.startsWith("cannot write the journal")).length).toBeLessThan(5);
    expect(send.logs.some(({ msg }) => msg === "the journal takes messages again")).toBe(true);
  }, 90_000);

  test("of the receiver is bridged in memory, and what is beyond that is lost by name", async () => {
    await using site = await Site.open();
    const { far, near } = await openSite(site);
    await using disk = await SmallDisk.mount(site.workspace.path("spool"), DISK_MEGABYTES);
    const recv = await waitUntilReady(site.startRecv({ before: disk.before }));
    const send = await waitUntilReady(site.startSend());
    await near.publishAll(numbered(0, 300));
    await far.waitForCount(300, "plant/x");
    disk.fill();
    const bulk = (index: number) => ({
      topic: "plant/bulk",
      payload: Buffer.alloc(MEGABYTE, index),
      options: { qos: 1 as const },
    });
    await near.publishAll(Array.from({ length: 100 }, (_, index) => bulk(index)));
    const lost = await recv.waitForStatus<RecvStatus>(
      "a problem, and messages lost by name",
      ({ problem, ledger }) => problem !== null && (ledger.lost.spool ?? 0) > 0,
      30_000,
    );
    expect(lost.problem).toContain("full");
    await near.publishAll(numbered(300, 600));
    await send.waitForStatus<SendStatus>("all sent", ({ ledger }) => ledger.held === 0);
    disk.empty();
    await waitFor(
      "what came last",
      30_000,
      () => payloadsOf(far).length >= 600,
      () => `${payloadsOf(far).length}\n${recv.tail()}`,
    );
    expect(findFirstDifference(payloadsOf(far), 600)).toBeUndefined();
    const settled = await settle(send, recv);
    expect(settled.recv.problem).toBeNull();
    expect(settled.recv.ledger.lost.spool).toBeGreaterThan(0);
    expect(far.below("plant/bulk")).toHaveLength(100 - sum(settled.recv.ledger.lost));
    expect(settled.recv.targets.map(({ ledger }) => unaccounted(ledger))).toEqual([0]);
  }, 90_000);

  test("or one that is read-only is told in one line at the start, and the next start finds all that was there", async () => {
    await using site = await Site.open();
    const { far, near } = await openSite(site);
    await using disk = await SmallDisk.mount(site.workspace.path("journal"), 16);
    const start = () => site.startSend({ before: disk.before });
    const fails = async (says: RegExp) => {
      const send = start();
      await waitFor("its end", 10_000, () => send.hasEnded);
      expect(send.exitStatus).toBe(1);
      expect(send.logs.at(-1)).toMatchObject({ level: "fatal", msg: expect.stringMatching(says) });
    };
    disk.fill();
    await fails(/^cannot open .*journal\.db: no space is left on its disk$/);
    disk.empty();
    const recv = await waitUntilReady(site.startRecv());
    let send = await waitUntilReady(start());
    await near.publishAll(numbered(0, 100));
    await far.waitForCount(100, "plant/x");
    await send.kill();
    await near.publishAll(numbered(100, 200));
    disk.setReadOnly(true);
    await fails(/^cannot open .*journal\.db: .*(read-only|may not be written)/);
    disk.setReadOnly(false);
    send = await waitUntilReady(start());
    await far.waitForCount(200, "plant/x", () => send.tail());
    expect(findFirstDifference(payloadsOf(far), 200)).toBeUndefined();
    expect((await settle(send, recv)).recv.ledger.lost).toEqual({});
  }, 60_000);

  test("of the receiver that is read-only is told in one line at the start, and the next start finds all that was there", async () => {
    await using site = await Site.open();
    const { far, near } = await openSite(site);
    await using disk = await SmallDisk.mount(site.workspace.path("spool"), 16);
    const start = () => site.startRecv({ before: disk.before });
    let recv = await waitUntilReady(start());
    const send = await waitUntilReady(site.startSend());
    await near.publishAll(numbered(0, 100));
    await far.waitForCount(100, "plant/x");
    await recv.kill();
    disk.setReadOnly(true);
    const refused = start();
    await waitFor("its end", 10_000, () => refused.hasEnded);
    expect(refused.exitStatus).toBe(1);
    expect(refused.logs.at(-1)).toMatchObject({
      level: "fatal",
      msg: expect.stringMatching(/^cannot open .*spool\.db: .*(read-only|may not be written)/),
    });
    disk.setReadOnly(false);
    recv = await waitUntilReady(start());
    await near.publishAll(numbered(100, 200));
    await far.waitForCount(200, "plant/x", () => recv.tail());
    const settled = await settle(send, recv);
    expect(settled.recv.ledger).toMatchObject({ accepted: 200, lost: {} });
    expect(settled.recv.targets[0]?.ledger).toMatchObject({ accepted: 200, lost: {} });
  }, 60_000);
});

requireTools(["mosquitto"])("a directory", () => {
  test("of another link is refused with 78, and one that is a file with 1", async () => {
    await using site = await Site.open();
    await openSite(site);
    const { send, recv } = await site.startBoth();
    await send.stop();
    await recv.stop();
    for (const [start, write, name] of [
      [
        () => site.startSend(),
        () => site.writeSend([{ name: "line", url: "mqtt://127.0.0.1:1", topics: ["a"] }], other),
        "journal",
      ],
      [() => site.startRecv(), () => site.writeRecv(other), "spool"],
    ] as const) {
      write();
      const agent = start();
      await waitFor("its end", 10_000, () => agent.hasEnded);
      expect(agent.exitStatus).toBe(78);
      expect(agent.logs.at(-1)?.msg).toContain(
        `${name}.db: it belongs to link "plant-7", must be of link "plant-8"`,
      );
    }
    writeFileSync(join(site.workspace.directory, "file"), "");
    site.writeRecv({ spool: { directory: "file" } });
    const agent = site.startRecv();
    await waitFor("its end", 10_000, () => agent.hasEnded);
    expect(agent.exitStatus).toBe(1);
    expect(agent.logs.at(-1)?.msg).toContain("is not a directory");
  }, 60_000);
});

const other = { link: { id: "plant-8" } };
