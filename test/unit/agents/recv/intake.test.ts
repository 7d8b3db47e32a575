// Tests of intake.ts, spool.ts and targets/runner.ts together: what fills a gap is told to the target as late, also after a restart.
import { expect, test } from "bun:test";
import { SpoolIntake } from "../../../../agents/recv/intake.ts";
import { emptyLinkState } from "../../../../agents/recv/link/session.ts";
import { Spool } from "../../../../agents/recv/spool.ts";
import type { Origin } from "../../../../agents/recv/targets/outcome.ts";
import { TargetRunner } from "../../../../agents/recv/targets/runner.ts";
import { Counters } from "../../../../shared/counters.ts";
import { ContentWriter } from "../../../../shared/framing/content.ts";
import { openBlockLog } from "../../../../shared/store/open.ts";

function contentOf(topics: readonly string[]): Uint8Array {
  const writer = new ContentWriter();
  for (const topic of topics)
    writer.addMessage({
      topic,
      payload: new Uint8Array(),
      qos: 0,
      retain: false,
      properties: undefined,
      acceptedMs: 1,
    });
  return writer.take();
}

/** What a target that takes all is told of each message. */
function run(spool: Spool): [topic: string, origin: Origin | undefined][] {
  const told: [string, Origin | undefined][] = [];
  const work: (() => void)[] = [];
  const runner = new TargetRunner(
    spool,
    {
      window: 100,
      state: "connected",
      connections: 1,
      judge: (message) => ({ publish: message }),
      publish: ({ topic }, onSettled, origin) => {
        told.push([topic, origin]);
        onSettled("forwarded");
      },
    },
    new Counters(),
    "0:0",
    { clock: () => 0, later: (job) => work.push(job) },
  );
  runner.wake();
  for (let job = work.shift(); job !== undefined; job = work.shift()) job();
  return told;
}

test("SpoolIntake.recover() marks what fills a gap as late, and the runner tells where each message comes from", () => {
  const log = openBlockLog("", "", "memory");
  const spool = new Spool(log, 1e9);
  const state = emptyLinkState();
  const intake = new SpoolIntake(spool, new Counters(), () => state);
  intake.deliver(3, { first: 0, count: 1, since: 0, skip: 0, content: contentOf(["a"]) });
  intake.deliver(3, { first: 2, count: 2, since: 0, skip: 0, content: contentOf(["c", "d"]) });
  intake.recover(3, { first: 1, count: 1, since: 0, content: contentOf(["b"]) }, {
    first: 1,
    end: 2,
    reason: "gap",
  } as never);
  intake.deliver(3, { first: 4, count: 1, since: 0, skip: 0, content: contentOf(["e"]) });
  intake.flush(0, 0);
  const expected = [
    ["a", { id: 1, index: 0, isLate: false }],
    ["c", { id: 2, index: 0, isLate: false }],
    ["d", { id: 2, index: 1, isLate: false }],
    ["b", { id: 3, index: 0, isLate: true }],
    ["e", { id: 4, index: 0, isLate: false }],
  ];
  expect(run(spool)).toEqual(expected as never);
  // From the disk.
  expect(run(new Spool(log, 1e9))).toEqual(expected as never);
});
