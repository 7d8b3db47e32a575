// A journal and a spool that a disk has spoilt, or that an older version has written, under the compiled programs: they start, lose
// at most what was in the place that was hit, and say in log and ledger which messages those were.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import type { Agent } from "../support/agents.ts";
import { Collector, Publisher } from "../support/mqtt-clients.ts";
import { findFreeTcpPort } from "../support/ports.ts";
import { requireTools } from "../support/requirements.ts";
import { Site, waitUntilReady } from "../support/site.ts";
import { type RecvStatus, type SendStatus, unaccounted } from "../support/status.ts";

const MESSAGES = 400;
const PAYLOAD_BYTES = 2000;
const PAGE = 4096;
const LEAF_OF_TABLE = 0x0d;
/** Messages of that size in a row of the log: nothing else may be lost. */
const MESSAGES_A_ROW = 30;
const STOP_AT_ONCE = { stop: { grace_seconds: 0 } };

type Damage = (file: string, payloads: readonly Buffer[]) => void;

/** One bit in the middle of a message, in whichever of the log's files that lies. */
const flipBit: Damage = (file, payloads) => {
  const needle = payloads[MESSAGES / 2]?.subarray(100, 140) ?? Buffer.alloc(1);
  const names = readdirSync(dirname(file)).filter((name) => name.startsWith(basename(file)));
  const hit = names
    .map((name) => join(dirname(file), name))
    .find((path) => readFileSync(path).includes(needle));
  if (hit === undefined) throw new Error("the message is in no file");
  const bytes = readFileSync(hit);
  const at = bytes.indexOf(needle) + 20;
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  writeFileSync(hit, bytes);
};

/** A page of the rows' heads, half of it from another time. */
const tearPage: Damage = (file) => {
  const bytes = readFileSync(file);
  const leaves = Array.from({ length: bytes.length / PAGE }, (_, page) => page * PAGE).filter(
    (at) => bytes[at] === LEAF_OF_TABLE && bytes.readUInt16BE(at + 3) > 0,
  );
  const at = leaves[leaves.length >> 1] ?? Number.NaN;
  bytes.fill(0, at, at + PAGE / 2);
  writeFileSync(file, bytes);
};

/** As the version before left it: ids counted by SQLite, sums nowhere, and one index, a short one. */
const makeOlder: Damage = (file) => {
  const db = new Database(file, { strict: true });
  db.run("PRAGMA wal_checkpoint(TRUNCATE)");
  db.run("ALTER TABLE block RENAME TO newer");
  for (const index of ["block_sequence", "block_segment"]) db.run(`DROP INDEX ${index}`);
  db.run(`CREATE TABLE block (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    skip INTEGER NOT NULL, time_ms INTEGER NOT NULL, clock_difference_ms INTEGER NOT NULL,
    checksum INTEGER NOT NULL, content BLOB NOT NULL, segment INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
  ) STRICT`);
  db.run("INSERT INTO block SELECT * FROM newer");
  db.run("DROP TABLE newer");
  db.run("CREATE INDEX block_sequence ON block (stream, first)");
  db.run("DELETE FROM value WHERE name IN ('log.bytes', 'log.last_id')");
  db.run("PRAGMA user_version = 3");
  db.close();
};

const readFormat = (file: string) => {
  const db = new Database(file, { readonly: true });
  const row = db.query<{ user_version: number }, []>("PRAGMA user_version").get();
  db.close();
  return row?.user_version;
};

const CASES: readonly [how: string, damage: Damage, lossMin: number, lossMax: number][] = [
  ["with a flipped bit", flipBit, 1, MESSAGES_A_ROW],
  // What rows say of themselves is there twice; their messages are elsewhere, but for those of the smallest rows.
  ["with a torn page", tearPage, 0, MESSAGES_A_ROW],
  ["of an older version", makeOlder, 0, 0],
];

function makeLoad(): Buffer[] {
  return Array.from({ length: MESSAGES }, (_, number) => {
    const payload = Buffer.from(crypto.getRandomValues(new Uint8Array(PAYLOAD_BYTES)));
    payload.writeUInt32BE(number);
    return payload;
  });
}

/** All that came is what was sent, in order; the numbers that did not. */
function judge(far: Collector, payloads: readonly Buffer[]): number[] {
  const numbers = far.messages.map(({ payload }) => payload.readUInt32BE());
  expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
  for (const { payload } of far.messages)
    expect(crc32(payload)).toBe(crc32(payloads[payload.readUInt32BE()] ?? Buffer.alloc(0)));
  return payloads.map((_, number) => number).filter((number) => !numbers.includes(number));
}

/** The log names the sequences that are missing, which are the numbers: by ranges, or as those of a damaged file. */
function expectNamed(agent: Agent, missing: readonly number[]): void {
  const ranges = agent.logs.filter(({ msg }) => msg.includes("disk has spoilt messages"));
  const named = ranges.flatMap(({ first, last }) =>
    Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index),
  );
  const repair = agent.logs.find(({ msg }) => msg.includes("was damaged"));
  const [, first, last] = /stream 0 sequences (\d+) to (\d+)/.exec(repair?.msg ?? "") ?? [];
  if (named.length > 0) expect(named).toEqual([...missing]);
  if (first !== undefined)
    expect([Number(first), Number(last)]).toEqual([missing[0] ?? -1, missing.at(-1) ?? -1]);
  expect(named.length > 0 || first !== undefined || missing.length === 0).toBe(true);
}

/** A page of the tables is told of even when it has cost nothing. */
const expectTold = (agent: Agent, damage: Damage) =>
  expect(agent.logs.filter(({ msg }) => msg.includes("was damaged"))).toHaveLength(
    damage === tearPage ? 1 : 0,
  );

async function open(site: Site) {
  const plant = await site.startBroker();
  const business = await site.startBroker({ persistence: true });
  const linkPort = await findFreeTcpPort();
  const path = { type: "tcp", endpoint: `127.0.0.1:${linkPort}`, rate_mbit_per_second: 100 };
  const source = { name: "line", url: `mqtt://127.0.0.1:${plant.port}`, topics: ["plant/#"] };
  site.writeSend([source], { link: { path: [path] }, ...STOP_AT_ONCE });
  site.writeRecv({ link: { path: [{ type: "tcp", address: path.endpoint }] }, ...STOP_AT_ONCE });
  site.writeTarget("hq", { url: `mqtt://127.0.0.1:${business.port}` });
  const near = site.use(await Publisher.start({ door: plant.port }));
  const payloads = makeLoad();
  const publish = () =>
    near.publishAll(payloads.map((payload) => ({ topic: "plant/x", payload, options: { qos: 1 as const } })));
  return { business, payloads, publish };
}

requireTools(["mosquitto"])("a journal", () => {
  test.each(CASES)(
    "%s is mended or brought up to date, and what is lost of it has a name",
    async (_how, damage, lossMin, lossMax) => {
      await using site = await Site.open();
      const { business, payloads, publish } = await open(site);
      // Nobody listens: all of it stays in the journal.
      const before = site.startSend();
      await before.waitForStatus<SendStatus>(
        "subscribed",
        ({ sources }) => sources[0]?.state === "connected",
      );
      await publish();
      await before.waitForStatus<SendStatus>("all held", ({ ledger }) => ledger.held === MESSAGES);
      await before.stop();
      const file = join(site.workspace.path("journal"), "journal.db");
      damage(file, payloads);
      const far = site.use(await Collector.start({ door: business.port }));
      const recv = await waitUntilReady(site.startRecv());
      const send = await waitUntilReady(site.startSend());
      const { ledger } = await send.waitForStatus<SendStatus>("all sent", ({ ledger }) => ledger.held === 0);
      const lost = ledger.lost.corrupt ?? 0;
      expect(unaccounted(ledger)).toBe(0);
      expect(ledger).toMatchObject({ accepted: MESSAGES, forwarded: MESSAGES - lost });
      await far.waitForCount(MESSAGES - lost, undefined, () => `${send.tail()}\n${recv.tail()}`);
      const missing = judge(far, payloads);
      expect(missing).toHaveLength(lost);
      expect(lost).toBeWithin(lossMin, lossMax + 1);
      expectNamed(send, missing);
      expectTold(send, damage);
      const status = await recv.waitForStatus<RecvStatus>(
        "the ledgers to be compared",
        ({ ledger }) => ledger.comparison?.forwarded === MESSAGES - lost,
      );
      expect(status.ledger).toMatchObject({
        accepted: MESSAGES - lost,
        lost: {},
        skipped: lost === 0 ? {} : { corrupt: lost },
        comparison: { difference: 0, givenUp: lost },
      });
      expect(readFormat(file)).toBe(4);
    },
    60_000,
  );
});

requireTools(["mosquitto"])("a spool", () => {
  test.each(CASES)(
    "%s is mended or brought up to date, and what is lost of it has a name",
    async (_how, damage, lossMin, lossMax) => {
      await using site = await Site.open();
      const { business, payloads, publish } = await open(site);
      await business.stop();
      const before = await waitUntilReady(site.startRecv());
      await waitUntilReady(site.startSend());
      await publish();
      await before.waitForStatus<RecvStatus>("all here", ({ ledger }) => ledger.accepted === MESSAGES);
      await before.stop();
      const file = join(site.workspace.path("spool"), "spool.db");
      damage(file, payloads);
      await business.start();
      const far = site.use(await Collector.start({ door: business.port }));
      const recv = await waitUntilReady(site.startRecv());
      const status = await recv.waitForStatus<RecvStatus>(
        "none held",
        ({ targets }) => targets[0]?.ledger.held === 0,
      );
      const ledger = status.targets[0]?.ledger;
      if (ledger === undefined) throw new Error("there is no target");
      const lost = ledger.lost.corrupt ?? 0;
      expect(unaccounted(ledger)).toBe(0);
      expect(ledger).toMatchObject({ accepted: MESSAGES, forwarded: MESSAGES - lost });
      await far.waitForCount(MESSAGES - lost, undefined, () => recv.tail());
      const missing = judge(far, payloads);
      expect(missing).toHaveLength(lost);
      expect(lost).toBeWithin(lossMin, lossMax + 1);
      expectNamed(recv, missing);
      expectTold(recv, damage);
      expect(readFormat(file)).toBe(4);
    },
    60_000,
  );
});
