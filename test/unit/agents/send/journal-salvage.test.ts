// The journal on a file that was damaged: no sequence is used twice, nothing that was not sent is forgotten, and the
// ledger says what is gone.
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { Journal, type NewContent } from "../../../../agents/send/journal.ts";
import { adoptJournal } from "../../../../agents/send/journal-salvage.ts";
import { Lane } from "../../../../agents/send/link/lane.ts";
import { LatestValues } from "../../../../agents/send/link/refine.ts";
import { ContentWriter, decodeContent } from "../../../../shared/framing/content.ts";
import type { BlockLog, Repair } from "../../../../shared/store/block-log.ts";
import { openBlockLog } from "../../../../shared/store/open.ts";
import { Workspace } from "../../../support/workspace.ts";
import { alterFile, copyLog, forgetIndex, PAGE } from "../../shared/store/sample-log.ts";

const workspace = new Workspace("journal");
afterAll(() => workspace.remove());
let count = 0;

const BIG = 100 * 1024 * 1024;
const NO_COUNTERS = new Map<string, number>();

function openJournal(directory: string, ageMsMax = 0, nowMs = 1000) {
  const repairs: Repair[] = [];
  const log = openBlockLog(directory, "journal.db", "fsync", {
    adopt: adoptJournal,
    onRepair: (repair) => repairs.push(repair),
  });
  let random = BigInt(++count);
  const options = {
    durability: "fsync" as const,
    bytesMax: BIG,
    ageMsMax,
    nowMs,
    random64: () => (random += 7n),
  };
  return { log, repairs, journal: new Journal(log, options) };
}

/** `messages` messages of 200 bytes, numbered from `from`. */
function content(from: number, messages: number): NewContent {
  const writer = new ContentWriter();
  for (let index = from; index < from + messages; index++) {
    const payload = Buffer.alloc(200, index & 0xff);
    writer.addMessage({
      topic: `t/${index}`,
      payload,
      qos: 1,
      retain: false,
      properties: undefined,
      acceptedMs: 1000,
    });
  }
  return { stream: 0, count: messages, skip: 0, content: writer.take() };
}

/** 100 rows of 10 messages, the first 30 rows sent. */
function fillJournal(directory: string): { journalId: bigint } {
  const { journal } = openJournal(directory);
  for (let row = 0; row < 100; row++) {
    const kept = journal.append(
      [content(row * 10, 10)],
      new Map([["source/line/kept", (row + 1) * 10]]),
      1000,
    );
    if (row < 30) for (const each of kept) journal.markSent(each);
  }
  const { journalId } = journal;
  journal.close(NO_COUNTERS);
  return { journalId };
}

/** What the lane would send: topics of messages, and ranges of sequences that it announces as skipped. */
function drain(journal: Journal, nowMs = 1000) {
  const lane = new Lane(0, journal, new LatestValues());
  const topics: string[] = [];
  const skips: { first: number; count: number; reason: string }[] = [];
  const losses = new Map<string, number>();
  for (let next = lane.next(nowMs); next !== undefined; next = lane.next(nowMs)) {
    let at = next.row.first;
    for (const frame of decodeContent(next.content, next.row.count) ?? []) {
      if (frame.type === "message") topics.push(frame.message.topic);
      else skips.push({ first: at, count: frame.count, reason: frame.reason });
      at += frame.type === "message" ? 1 : frame.count;
    }
    for (const [reason, messages] of next.losses ?? [])
      losses.set(reason, (losses.get(reason) ?? 0) + messages);
    journal.markSent(next.row);
  }
  return { topics, skips, losses };
}

function zeroLeaf(file: string): void {
  alterFile(file, (read, write, size) => {
    const pages = Array.from({ length: size / PAGE }, (_, index) => index * PAGE);
    const leaves = pages.filter((page) => read(page) === 0x0d && read(page + 4) > 0);
    const page = leaves[Math.floor(leaves.length * 0.7)] ?? 0;
    for (let at = page; at < page + PAGE; at++) write(at, 0);
  });
}

test("adoptJournal() keeps the journal when only rows are gone, and the lane announces them", () => {
  const directory = workspace.path("rows");
  const { journalId } = fillJournal(directory);
  forgetIndex(join(directory, "journal.db"));
  zeroLeaf(join(directory, "journal.db"));
  const { journal, repairs } = openJournal(directory);
  const [repair] = repairs;
  expect(repair).toMatchObject({ valuesComplete: true });
  expect(repair?.rowsMissing).toBeGreaterThan(0);
  expect(journal.journalId).toBe(journalId);
  expect(journal.next(0)).toBe(1000);
  const { topics, skips, losses } = drain(journal);
  const gone = (repair?.rowsMissing ?? 0) * 10;
  expect(skips).toEqual(
    (repair?.missing ?? []).map(({ first, count }) => ({ first, count, reason: "corrupt" })),
  );
  expect(losses).toEqual(new Map([["corrupt", gone]]));
  expect(topics).toHaveLength(700 - gone);
  // accepted = forwarded + held + lost, at the end with nothing held.
  expect(journal.unsentMessages).toBe(0);
  journal.close(NO_COUNTERS);
});

test("adoptJournal() begins a new journal when sequences are in doubt, with all that was not sent", () => {
  const directory = workspace.path("values");
  const { journalId } = fillJournal(directory);
  const file = join(directory, "journal.db");
  // The page of the values, found by what only it has.
  alterFile(file, (read, write, size) => {
    for (let page = 0; page < size; page += PAGE)
      if (read(page) === 0x0a && isValues(read, page)) write(page + 3, 0xff);
  });
  const { journal, log, repairs } = openJournal(directory);
  expect(repairs).toMatchObject([{ valuesComplete: false, rowsMissing: 0 }]);
  expect(journal.journalId).not.toBe(journalId);
  const { topics, skips } = drain(journal);
  expect(skips).toEqual([]);
  expect(journal.next(0)).toBe(topics.length);
  // Where the cursor is gone with the page, all is sent again: twice is better than never.
  expect(topics.slice(-700)).toEqual(Array.from({ length: 700 }, (_, index) => `t/${index + 300}`));
  expect(log.value("counter.link/lost/corrupt")).toBeUndefined();
  journal.close(NO_COUNTERS);
});

function isValues(read: (at: number) => number, page: number): boolean {
  const text = String.fromCharCode(...Array.from({ length: PAGE }, (_, index) => read(page + index)));
  return text.includes("journal_id");
}

test("adoptJournal() never lets a sequence be used twice, wherever a page is lost while it was in use", () => {
  const live = workspace.path("live");
  const { journal } = openJournal(live);
  for (let row = 0; row < 60; row++)
    for (const each of journal.append([content(row * 10, 10)], NO_COUNTERS, 1000)) journal.markSent(each);
  const copy = workspace.path("copy");
  copyLog(live, copy, "journal.db");
  const { journalId } = journal;
  journal.close(NO_COUNTERS);
  let frames = 0;
  alterFile(join(copy, "journal.db-wal"), (_read, _write, size) => {
    frames = Math.floor((size - 32) / (PAGE + 24));
  });
  for (let frame = 1; frame < frames; frame += Math.ceil(frames / 25)) {
    const directory = workspace.path(`frame-${frame}`);
    copyLog(copy, directory, "journal.db");
    alterFile(join(directory, "journal.db-wal"), (read, write) => {
      const at = 32 + frame * (PAGE + 24) + 24 + 4000;
      write(at, read(at) ^ 1);
    });
    const again = openJournal(directory);
    const isOld = again.journal.journalId === journalId;
    expect({ frame, isSafe: !isOld || again.journal.next(0) >= 600 }).toEqual({ frame, isSafe: true });
    again.journal.close(NO_COUNTERS);
  }
}, 60_000);

test("Journal gives up by name what waited for longer than its age, and deletes what was sent in silence", () => {
  const directory = workspace.path("age");
  const { journal, log } = openJournal(directory, 60_000, 1000);
  const rows = [0, 10, 20, 30].flatMap((from) =>
    journal.append([content(from, 10)], NO_COUNTERS, 1000 + from * 1000),
  );
  for (const row of rows.slice(0, 2)) journal.markSent(row);
  journal.expire(61_000);
  expect(firstIds(log)).toEqual([2, 3, 4]);
  journal.expire(100_000);
  expect(firstIds(log)).toEqual([3, 4]);
  const { topics, skips, losses } = drain(journal, 85_000);
  expect(topics).toEqual(Array.from({ length: 10 }, (_, index) => `t/${index + 30}`));
  expect(skips).toEqual([{ first: 20, count: 10, reason: "expired" }]);
  expect(losses).toEqual(new Map([["expired", 10]]));
  expect(journal.unsentMessages).toBe(0);
  journal.close(NO_COUNTERS);
});

function firstIds(log: BlockLog): number[] {
  return log.read(0, 10).map(({ id }) => id);
}
