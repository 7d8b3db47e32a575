// A power cut, simulated: the agent is halted at a random instant, its directory copied, and the next run starts from the
// copy. What it had acknowledged before that instant is in the copy, and no sequence is used a second time, even
// where the disk had not yet written the newest part ("os") or has spoilt a page since.
import { expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { type Agent, runProgram } from "../support/agents.ts";
import { findForgotten } from "../support/broker-memory.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { makePayload } from "../support/payloads.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, sum, unaccounted } from "../support/status.ts";
import type { TomlTable } from "../support/toml.ts";
import { waitFor } from "../support/wait.ts";

const ROUNDS = Number(process.env.TIDEGATE_POWER_CUTS ?? 4);
const SEED = Number(process.env.TIDEGATE_SEED ?? Date.now() % 1_000_000);
const BATCH = 300;
const FRAME_BYTES = 4096 + 24;

function makeRandom(seed: number): (limit: number) => number {
  let state = seed + 1;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * limit);
  };
}

function messages(from: number, count: number) {
  return Array.from({ length: count }, (_, index) => ({
    topic: `plant/${from + index}`,
    payload: makePayload(from + index),
    options: { qos: 1 as const },
  }));
}

/** All files of a directory as they are at this instant. */
function copyFiles(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from))
    if (statSync(join(from, name)).isFile()) copyFileSync(join(from, name), join(to, name));
}

/** The power goes: the process stops, the disk keeps what it has. */
async function cutPower(agent: Agent, from: string, to: string): Promise<void> {
  process.kill(agent.pid, "SIGSTOP");
  const threads = () => readdirSync(`/proc/${agent.pid}/task`);
  const isHalted = (thread: string) =>
    /\) [tT] /.test(readFileSync(`/proc/${agent.pid}/task/${thread}/stat`, "utf8"));
  await waitFor("the process to halt", 5000, () => threads().every(isHalted));
  copyFiles(from, to);
  await agent.kill();
}

async function openSite(site: Site, send: TomlTable) {
  const plant = await site.startBroker({ persistence: true });
  const business = await site.startBroker({ persistence: true });
  const sources = [{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }];
  const writeSend = (directory: string) =>
    site.writeSend(sources, {
      link: { heartbeat_ms: 200 },
      ...send,
      journal: { ...(send.journal as TomlTable), directory },
    });
  site.writeRecv({ link: { patience_ms: 3000 } });
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
  const far = site.use(await Collector.start({ door: business.port, session: "reader" }));
  const near = site.use(await Publisher.start({ door: plant.port }));
  return { plant, far, near, writeSend };
}

const isThere = (far: Collector, from: number, to: number) => {
  const topics = new Set(far.messages.map(({ topic }) => topic));
  return Array.from({ length: to - from }, (_, index) => from + index).filter(
    (number) => !topics.has(`plant/${number}`),
  );
};

async function waitForRange(far: Collector, from: number, to: number, explain: () => string): Promise<void> {
  await waitFor(
    `messages ${from} to ${to - 1}`,
    30_000,
    () => isThere(far, from, to).length === 0,
    () => `TIDEGATE_SEED=${SEED}, missing: ${isThere(far, from, to)}\n${explain()}`,
  );
}

requireTools(["mosquitto"])("a power cut", () => {
  test('of the sender with "fsync" leaves in the journal all that it had acknowledged', async () => {
    await using site = await Site.open();
    const random = makeRandom(SEED);
    // So slow a link that most of it is in the journal alone.
    const path = [{ type: "udp", endpoint: `127.0.0.1:${site.linkPort}`, rate_mbit_per_second: 1 }];
    const { plant, far, near, writeSend } = await openSite(site, { link: { path, heartbeat_ms: 200 } });
    writeSend("journal-0");
    const recv = await waitUntilReady(site.startRecv());
    let send = await waitUntilReady(site.startSend());
    for (let round = 1; round <= ROUNDS; round++) {
      const from = (round - 1) * BATCH;
      const published = near.publishAll(messages(from, BATCH));
      await far.waitForCount(far.messages.length + 1 + random(40), undefined, () => send.tail());
      // What the plant's broker has been told before this instant it will not send again.
      const acknowledged = () => {
        const waiting = findForgotten(plant.log(), "tidegate-send-plant-7-line");
        return messages(from, BATCH).filter(({ topic }) => plant.log().includes(topic) && !waiting.has(topic))
          .length;
      };
      const atLeast = acknowledged();
      await cutPower(
        send,
        site.workspace.path(`journal-${round - 1}`),
        site.workspace.path(`journal-${round}`),
      );
      expect(atLeast).toBeGreaterThan(0);
      writeSend(`journal-${round}`);
      send = await waitUntilReady(site.startSend());
      await published;
    }
    await waitForRange(far, 0, ROUNDS * BATCH, () => `${send.tail()}\n${recv.tail()}`);
    const status = await recv.readStatus<RecvStatus>();
    expect(status.ledger.lost).toEqual({});
    expect(send.logs.some(({ msg }) => msg.includes("damaged"))).toBe(false);
  }, 120_000);

  test.each(["cut", "torn", "spoilt"] as const)(
    'of the sender with "os" whose newest pages are %s uses no sequence twice',
    async (how) => {
      await using site = await Site.open();
      const random = makeRandom(SEED + how.length);
      const { far, near, writeSend } = await openSite(site, { journal: { durability: "os" } });
      writeSend("journal-0");
      const recv = await waitUntilReady(site.startRecv());
      let send = await waitUntilReady(site.startSend());
      let next = 0;
      const publish = async (count: number) => {
        await near.publishAll(messages(next, count));
        next += count;
      };
      for (let round = 1; round <= ROUNDS; round++) {
        await publish(1);
        await waitForRange(far, next - 1, next, () => send.tail());
        const wal = (index: number) => site.workspace.path(`journal-${index}/journal.db-wal`);
        // The first message has made the disk write all there was; what comes after may be lost again.
        const durableBytes = statSync(wal(round - 1)).size;
        const first = next;
        await publish(100);
        await waitForRange(far, first, next, () => send.tail());
        await cutPower(
          send,
          site.workspace.path(`journal-${round - 1}`),
          site.workspace.path(`journal-${round}`),
        );
        damage(wal(round), durableBytes, how, random);
        writeSend(`journal-${round}`);
        send = await waitUntilReady(site.startSend());
        const after = next;
        await publish(50);
        await waitForRange(far, after, next, () => `round ${round}\n${send.tail()}\n${recv.tail()}`);
      }
      const status = await recv.waitForStatus<RecvStatus>(
        "nothing held",
        ({ targets }) => targets[0]?.ledger.held === 0,
      );
      expect(status.targets.map(({ ledger }) => unaccounted(ledger))).toEqual([0]);
      expect(sum(status.ledger.lost)).toBe(0);
    },
    120_000,
  );

  test("of the receiver leaves in the spool all that it had taken, and it delivers nothing out of order", async () => {
    await using site = await Site.open();
    const random = makeRandom(SEED + 9);
    const { far, near, writeSend } = await openSite(site, {});
    writeSend("journal");
    const send = await waitUntilReady(site.startSend());
    for (let round = 1; round <= ROUNDS; round++) {
      site.writeRecv({ link: { patience_ms: 3000 }, spool: { directory: `spool-${round - 1}` } });
      const recv = await waitUntilReady(site.startRecv());
      const published = near.publishAll(messages((round - 1) * BATCH, BATCH));
      await far.waitForCount(far.messages.length + 1 + random(BATCH / 2), undefined, () => recv.tail());
      await cutPower(recv, site.workspace.path(`spool-${round - 1}`), site.workspace.path(`spool-${round}`));
      await published;
    }
    site.writeRecv({ link: { patience_ms: 3000 }, spool: { directory: `spool-${ROUNDS}` } });
    const recv = await waitUntilReady(site.startRecv());
    await near.publishAll(messages(ROUNDS * BATCH, 1));
    await waitForRange(far, ROUNDS * BATCH, ROUNDS * BATCH + 1, () => recv.tail());
    const firsts = [...new Set(far.messages.map(({ payload }) => payload.readUInt32BE()))];
    expect(firsts).toEqual(firsts.toSorted((a, b) => a - b));
    // What the link carried while nobody listened is a gap, and comes when it is asked for.
    expect(runProgram("send", ["replay", "--config", site.sendFile, "--since", "1h"]).status).toBe(0);
    await waitForRange(far, 0, ROUNDS * BATCH + 1, () => `${send.tail()}\n${recv.tail()}`);
    const status = await recv.waitForStatus<RecvStatus>(
      "nothing held",
      ({ targets }) => targets[0]?.ledger.held === 0,
    );
    expect(sum(status.ledger.lost)).toBe(0);
    expect(status.targets.map(({ ledger }) => unaccounted(ledger))).toEqual([0]);
  }, 120_000);
});

/** What a disk may do to the part of a write-ahead log that it was not told to keep. */
function damage(
  wal: string,
  durableBytes: number,
  how: "cut" | "torn" | "spoilt",
  random: (limit: number) => number,
): void {
  if (!existsSync(wal)) return;
  const frames = Math.floor((statSync(wal).size - durableBytes) / FRAME_BYTES);
  if (frames <= 0) return;
  const at = durableBytes + random(frames) * FRAME_BYTES;
  if (how === "cut") truncateSync(wal, at);
  else if (how === "torn") truncateSync(wal, at + random(FRAME_BYTES));
  else {
    const fd = openSync(wal, "r+");
    writeSync(fd, Buffer.alloc(512, 0xa5), 0, 512, at + 24 + 512 * random(8));
  }
}
