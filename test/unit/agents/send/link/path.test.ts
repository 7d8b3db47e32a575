import { afterEach, expect, test } from "bun:test";
import { Pacer } from "../../../../../agents/send/link/pacer.ts";
import type { WriteResult } from "../../../../../agents/send/link/path-queue.ts";
import { Path } from "../../../../../agents/send/link/paths.ts";
import { createSilentLog } from "../../../../../shared/log.ts";

const DATAGRAM = 1000;
/** 1,000 bytes a millisecond. */
const MBIT = 8;

let opened: Path | undefined;
afterEach(() => opened?.close());

function openPath(answers: WriteResult[] = []) {
  const clock = { ms: 0 };
  let written = 0;
  const options = {
    pacer: new Pacer(MBIT, DATAGRAM, 0),
    overheadBytes: 0,
    roomBytes: 100_000,
    interleaveBlocks: 1,
  };
  const log = createSilentLog();
  const path = new Path("diode", "192.0.2.1:1", false, options, log, () => clock.ms);
  path.attach({
    write: (datagrams) => {
      const answer = answers.shift() ?? { written: datagrams.length };
      written += answer.written;
      return answer;
    },
    close: () => {},
  });
  opened = path;
  const fill = (count: number) =>
    path.queue.addBlock(
      Array.from({ length: count }, () => Buffer.alloc(DATAGRAM)),
      clock.ms,
      () => {},
    );
  return { path, clock, fill, written: () => written };
}

test("a path goes on as soon as it is time and somebody calls, however late its own timer is", () => {
  const { path, clock, fill, written } = openPath();
  fill(20);
  path.pump();
  const burst = written();
  expect(burst).toBe(5);
  path.pump();
  expect(written()).toBe(burst);
  // All this time nobody lets timers run.
  for (const ms of [2, 3, 6]) {
    clock.ms = ms;
    path.pump();
    expect(written()).toBe(burst + ms);
  }
});

test("a path whose kernel takes nothing is not pressed before its pause is over", () => {
  const { path, clock, fill, written } = openPath([{ written: 1, error: "ENOBUFS" }]);
  fill(3);
  path.pump();
  expect(written()).toBe(1);
  clock.ms = 10;
  path.pump();
  expect(written()).toBe(1);
  clock.ms = 60;
  path.pump();
  expect(written()).toBe(3);
});
