// Storms on the link, from people with and without the key. Whatever they do: no exception, bounded memory, no message of
// a true sender altered, doubled or out of order, and when they stop, everything flows.
import { expect, test } from "bun:test";
import { EPOCH, JOURNAL_ID } from "../shared/framing/samples.ts";
import {
  forgeBlock,
  forgeDatagram,
  forgeHeader,
  forgeHeartbeat,
  makeEnvelope,
  makeHeartbeatAt,
  seal,
  sealBlock,
} from "./forge.ts";
import { FuzzLink, LIMITS, TrueSender, WAITING_BYTES_MAX } from "./fuzz-link.ts";
import { spendTime, startRandom } from "./random.ts";

const RUN = { journalId: JOURNAL_ID, epoch: EPOCH };
const TIMEOUT_MS = 120_000 + 1000 * Number(process.env.TIDEGATE_FUZZ_SECONDS ?? 20);
const MEGABYTES = 1_000_000;

/** Memory that is still in use after what can go has gone. */
function readMemory(): number {
  Bun.gc(true);
  return process.memoryUsage().rss;
}

test(
  "RecvCore without the key: a storm changes nothing, every true message arrives meanwhile",
  () => {
    const random = startRandom("fuzz without the key");
    const link = new FuzzLink();
    const sender = new TrueSender("steady", random, RUN);
    const seen: Buffer[] = [...sender.beat()];
    let stormed = 0;
    const steps = spendTime(0.3, () => {
      const datagrams = random.chance(0.1) ? sender.beat() : sender.next();
      for (const datagram of datagrams) {
        for (let forged = random.below(8); forged > 0; forged--, stormed++)
          link.put([forgeDatagram(random, seen, RUN)]);
        link.put([datagram]);
        if (random.chance(0.1)) link.put([random.pick(seen)]);
      }
      seen.push(...datagrams);
      seen.splice(0, Math.max(0, seen.length - 500));
      link.pass(random.below(30));
      if (random.chance(0.01)) link.restart();
    });
    process.stderr.write(`  ${stormed} forged datagrams, ${sender.sent} true messages, ${steps} turns\n`);
    expect(link.arrived(sender)).toBe(sender.sent);
    expect(link.foreign).toBe(0);
    expect(link.core.ledger).toMatchObject({ accepted: sender.sent, lost: {}, skipped: {} });
    expect(link.core.counters.get("link/sender_restarts")).toBe(0);
    expect(link.waitingBytesMost).toBeLessThan(LIMITS.assemblyBytesMax / 4);
    // What was replayed of old blocks after a restart waits for the rest, and goes when the link has long passed it.
    for (let minute = 0; minute < 3; minute++) link.pass(60_001);
    expect(link.core.waitingBytes).toBe(0);
    expect([...link.refused.keys()].toSorted()).toEqual(
      expect.arrayContaining([
        "empty",
        "header",
        "key",
        "kind",
        "link",
        "short",
        "surplus",
        "tag",
        "version",
      ]),
    );
  },
  TIMEOUT_MS,
);

test(
  "RecvCore with the key in wrong hands: bounded, and a new sender gets everything through afterwards",
  () => {
    const random = startRandom("fuzz with the key");
    const before = readMemory();
    let rounds = 0;
    spendTime(0.4, () => {
      const link = new FuzzLink();
      const journals = Array.from({ length: 4 }, () => random.big64());
      for (let turn = 0; turn < 300; turn++) {
        const journalId = random.chance(0.9) ? JOURNAL_ID : random.pick(journals);
        const epoch = random.chance(0.95) ? EPOCH : random.big64();
        const run = { journalId, epoch };
        const stream = random.chance(0.6) ? 0 : random.below(16);
        const number = random.chance(0.9) ? turn : random.oddNumber();
        const kind = random.below(3);
        if (kind === 0) link.put(sealBlock(run, number, stream, forgeBlock(random)));
        else if (kind === 1) link.put(sealBlock(run, number, 0, forgeHeartbeat(random), 2));
        else link.put([seal(forgeHeader(random, run), random.bytes(1 + random.below(1400)))]);
        if (random.chance(0.2)) link.pass(random.below(200));
      }
      expect(link.waitingBytesMost).toBeLessThan(WAITING_BYTES_MAX);
      const heir = new TrueSender("heir", random, { journalId: random.big64(), epoch: 1n });
      for (let turn = 0; turn < 20; turn++) {
        link.put([...heir.next(), ...(turn % 5 === 0 ? heir.beat() : [])]);
        link.pass(20);
      }
      expect(link.arrived(heir)).toBe(heir.sent);
      expect(link.core.waitingBytes).toBe(0);
      rounds++;
    });
    process.stderr.write(`  ${rounds} rounds of 300 forged blocks\n`);
    expect(readMemory() - before).toBeLessThan(300 * MEGABYTES);
  },
  TIMEOUT_MS,
);

test(
  "RecvCore under floods of tiny blocks, parts, held contents and unfinished blocks stays bounded",
  () => {
    const random = startRandom("floods");
    const before = readMemory();
    const floods = {
      "unfinished blocks of k = 255": (n: number) => [
        seal(
          forgeHeader(random, RUN, {
            kind: 1,
            stream: 0,
            block: n,
            sourceSymbols: 255,
            repairSymbols: 1,
            symbol: n % 255,
          }),
          Buffer.alloc(1),
        ),
      ],
      "unfinished heartbeats": (n: number) => [
        seal(
          forgeHeader(random, RUN, {
            kind: 2,
            stream: 0,
            block: n,
            sourceSymbols: 200,
            repairSymbols: 0,
            symbol: 3,
          }),
          Buffer.alloc(1200),
        ),
      ],
      "last parts of 65,535": (n: number) =>
        sealBlock(
          RUN,
          n,
          n % 16,
          makeEnvelope({ first: n, part: 65_534, parts: 65_535, contentBytes: 1_000_000 }),
        ),
      "contents behind a hole": (n: number) =>
        sealBlock(RUN, n, n % 16, makeEnvelope({ first: 2 * n + 1, part: 0, parts: 1, contentBytes: 3 })),
    };
    for (const [name, flood] of Object.entries(floods)) {
      const link = new FuzzLink();
      let n = 0;
      spendTime(0.05, () => link.put(flood(n++)));
      expect([name, link.waitingBytesMost]).toEqual([name, expect.any(Number)]);
      expect(link.waitingBytesMost).toBeLessThan(WAITING_BYTES_MAX);
      expect([name, (readMemory() - before) / MEGABYTES < 400]).toEqual([name, true]);
      link.pass(1000);
      const heir = new TrueSender("heir", random, { journalId: 5n, epoch: 1n });
      link.put(heir.next());
      link.pass(20);
      expect([name, link.arrived(heir)]).toEqual([name, heir.sent]);
    }
  },
  TIMEOUT_MS,
);

test(
  "RecvCore follows a flood of new journals and epochs, and the newest gets through",
  () => {
    const random = startRandom("journals");
    const link = new FuzzLink();
    const before = readMemory();
    const startedMs = performance.now();
    for (let n = 1; n <= 3000; n++) {
      const sender = new TrueSender(`${n}`, random, { journalId: BigInt(n), epoch: BigInt(3000 - n) });
      link.put(sender.next());
      link.pass(1);
      expect(link.arrived(sender)).toBe(sender.sent);
    }
    expect(performance.now() - startedMs).toBeLessThan(30_000);
    expect(readMemory() - before).toBeLessThan(200 * MEGABYTES);
  },
  TIMEOUT_MS,
);

test("RecvCore refuses a retired journal after a restart, too", () => {
  const random = startRandom("retired");
  const link = new FuzzLink();
  const old = new TrueSender("old", random, { journalId: 1n, epoch: 9n });
  link.put(old.next());
  for (let n = 2n; n <= 50n; n++)
    link.put(new TrueSender(`${n}`, random, { journalId: n, epoch: 1n }).next());
  link.pass(10);
  const before = link.arrived(old);
  const late = old.next();
  link.restart();
  link.put(late);
  link.pass(10);
  expect(link.arrived(old)).toBe(before);
  expect(link.refused.get("journal-retired")).toBe(late.length);
});

test.each([0, 1, 4_102_444_800_000])(
  "RecvCore takes the messages of a sender whose clock says %d",
  (clockMs) => {
    const random = startRandom("clock");
    const link = new FuzzLink();
    const sender = new TrueSender("odd", random, RUN);
    link.put(sealBlock(RUN, 0, 0, makeHeartbeatAt(clockMs), 2));
    link.put(sender.next());
    link.pass(10);
    expect(link.arrived(sender)).toBe(sender.sent);
    expect(link.core.health.state).toBe("up");
  },
);
