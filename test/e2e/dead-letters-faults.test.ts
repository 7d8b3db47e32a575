// Dead letters when things go wrong: their disk is full, and the agent is killed while it puts letters away or sends them
// again. No message is lost without a name, no letter without its message, and no target waits for the disk.
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../support/agents.ts";
import type { Mosquitto } from "../support/mosquitto.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { SmallDisk } from "../support/small-disk.ts";
import { type RecvStatus, unaccounted } from "../support/status.ts";

type Status = RecvStatus & {
  readonly spool: { readonly bytes: number };
  readonly deadLetters: {
    readonly count: number;
    readonly dropped: number;
    readonly problem: string | null;
  };
};

/** Mosquitto ends the connection after each message that its access list denies: its size limit it announces. */
const LIMIT = "max_packet_size 1000";

/** A business side that takes small messages only, until it is mended. */
async function open(site: Site, recv = {}, profile = {}) {
  const plant = await site.startBroker();
  const business = await site.startBroker({ lines: [LIMIT] });
  site.writeSend([{ name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] }]);
  site.writeRecv(recv);
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}`, ...profile });
  const near = site.use(await Publisher.start({ door: plant.port }));
  const far = site.use(await Collector.start({ door: business.port, session: "reader" }));
  return { business, near, far };
}

async function mend(business: Mosquitto): Promise<void> {
  const file = join(business.directory, "mosquitto.conf");
  writeFileSync(file, readFileSync(file, "utf8").replace(LIMIT, ""));
  await business.restart();
}

function ledger(status: Status) {
  const [target] = status.targets;
  if (target === undefined) throw new Error("there is no target");
  expect(unaccounted(target.ledger)).toBe(0);
  return target.ledger;
}

function booked(status: Status): number {
  const { forwarded, lost } = ledger(status);
  return forwarded + (lost.oversize ?? 0);
}

function numbered(topic: string, from: number, to: number, bytes: number) {
  return Array.from({ length: to - from }, (_, index) => {
    const payload = Buffer.from(crypto.getRandomValues(new Uint8Array(bytes)));
    payload.writeUInt32BE(from + index);
    return { topic, payload, options: { qos: 1 as const } };
  });
}

function listNumbers(site: Site): number[] {
  const file = site.workspace.path("letters.jsonl");
  runProgram("recv", ["dead-letters", "export", "--config", site.recvFile, "--out", file]);
  const lines = readFileSync(file, "utf8").trim().split("\n");
  return lines.map((line) => Buffer.from(JSON.parse(line).payload, "base64").readUInt32BE());
}

const range = (count: number) => Array.from({ length: count }, (_, index) => index);

requireTools(["mosquitto", "mount namespaces", "nsenter", "setpriv"])("a full disk of dead letters", () => {
  test("holds up no target, is told, and takes what has waited when there is space again", async () => {
    await using site = await Site.open();
    const { near, far } = await open(site, { dead_letters: { directory: "letters" } });
    await using disk = await SmallDisk.mount(site.workspace.path("letters"), 20);
    const recv = await waitUntilReady(site.startRecv({ before: disk.before }));
    await waitUntilReady(site.startSend());
    await near.publishAll(numbered("plant/large", 0, 1, 10_000));
    await recv.waitForStatus<Status>("a letter", ({ deadLetters }) => deadLetters.count === 1);
    disk.fill();
    const count = 400;
    await near.publishAll([
      ...numbered("plant/large", 1, count, 10_000),
      ...numbered("plant/open", 0, count, 100),
    ]);
    await far.waitForCount(count, "plant/open", () => recv.tail());
    const full = await recv.waitForStatus<Status>(
      "all settled, and the spool empty",
      ({ targets, spool, deadLetters }) =>
        targets[0]?.ledger.accepted === 2 * count &&
        targets[0].ledger.held === 0 &&
        spool.bytes === 0 &&
        deadLetters.problem !== null,
    );
    expect(full.state).toBe("running");
    expect(full.deadLetters.problem).toContain("full");
    expect(full.deadLetters.count).toBeLessThan(count);
    expect(ledger(full)).toMatchObject({ forwarded: count, lost: { oversize: count } });
    disk.empty();
    const after = await recv.waitForStatus<Status>(
      "the letters kept",
      ({ deadLetters }) => deadLetters.count === count,
    );
    expect(after.deadLetters).toMatchObject({ problem: null, dropped: 0 });
  }, 90_000);
});

requireTools(["mosquitto"])("dead letters", () => {
  test("are one for each message that the target cannot take, over kill -9 at any instant, and go again over more of them", async () => {
    await using site = await Site.open();
    const { business, near, far } = await open(site, {}, { drain_per_second: 400 });
    await waitUntilReady(site.startSend());
    let recv = await waitUntilReady(site.startRecv());
    // What is sent before the receiver has ever heard the sender is not of its books.
    await near.publish("plant/first", "x", { qos: 1 });
    await far.waitForCount(1, "plant/first", () => recv.tail());
    await business.stop();
    const count = 1000;
    const [small, large] = [numbered("plant/open", 0, count, 100), numbered("plant/large", 0, count, 1500)];
    await near.publishAll(small.flatMap((message, index) => [message, large[index] ?? message]));
    const all = 2 * count + 1;
    await recv.waitForStatus<Status>("all held", ({ ledger }) => ledger.accepted === all);
    await business.start();
    for (let kill = 0; kill < 6; kill++) {
      const before = booked(await recv.readStatus<Status>());
      await recv.waitForStatus<Status>("some more", (status) => booked(status) > before);
      await recv.kill();
      recv = await waitUntilReady(site.startRecv());
    }
    const refused = await recv.waitForStatus<Status>("none held", (status) => booked(status) === all);
    expect(ledger(refused)).toMatchObject({ forwarded: count + 1, lost: { oversize: count } });
    await recv.waitForStatus<Status>("a letter for each", ({ deadLetters }) => deadLetters.count === count);
    expect(listNumbers(site)).toEqual(range(count));

    await mend(business);
    await recv.waitForStatus<Status>("connected", ({ targets }) => targets[0]?.state === "connected");
    for (let round = 0; round < 4; round++) {
      const run = runProgram("recv", [
        "dead-letters",
        "requeue",
        "--config",
        site.recvFile,
        "--target",
        "hq",
      ]);
      expect(run.stderr).toBe("");
      if (round < 3) {
        await recv.kill();
        recv = await waitUntilReady(site.startRecv());
      }
    }
    const mended = await recv.waitForStatus<Status>(
      "all forwarded",
      ({ targets, deadLetters }) => targets[0]?.ledger.forwarded === all && deadLetters.count === 0,
    );
    expect(ledger(mended)).toMatchObject({ accepted: all, held: 0, lost: { oversize: 0 } });
    const arrived = new Set(far.below("plant/large").map(({ payload }) => payload.readUInt32BE()));
    expect([...arrived].toSorted((a, b) => a - b)).toEqual(range(count));
  }, 120_000);
});
