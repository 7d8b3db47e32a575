// A write-ahead log at whose end a kill has cut a write short, and one that the disk has altered: the first is in
// order, the second is not, and the two look alike.

import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { openBlockLog } from "../../../../shared/store/open.ts";
import { judgeWal } from "../../../../shared/store/wal.ts";
import { Workspace } from "../../../support/workspace.ts";
import { alterFile, appendRows, copyLog, PAGE } from "./sample-log.ts";

const HEADER = 32;
const FRAME = 24 + PAGE;
const ALTERED = "its write-ahead log is altered in the middle";
const workspace = new Workspace("wal");
const killed = workspace.path("killed");
let copies = 0;

/** As `kill -9` leaves a log that has been in use for a while: behind the newest frames lie those of an older generation. */
{
  const live = workspace.path("live");
  const log = openBlockLog(live, "x.db", "os", { owner: "plant-7" });
  appendRows(log, 1, 300);
  const other = new Database(join(live, "x.db"));
  other.run("PRAGMA wal_checkpoint(RESTART)");
  other.close();
  appendRows(log, 301, 320);
  copyLog(live, killed, "x.db");
  log.close();
}
afterAll(() => workspace.remove());

function takeCopy(): string {
  const directory = workspace.path(`copy-${copies++}`);
  copyLog(killed, directory, "x.db");
  return join(directory, "x.db");
}

/** Frames of the newest generation. */
function countFrames(file: string): number {
  const wal = readFileSync(`${file}-wal`);
  let count = 0;
  while (wal.compare(wal, 16, 24, HEADER + count * FRAME + 8, HEADER + count * FRAME + 16) === 0) count++;
  return count;
}

/** Writes the header of one more frame, and not the page that belongs to it. */
function beginFrame(file: string, endsTransaction: boolean): void {
  const wal = readFileSync(`${file}-wal`);
  const at = HEADER + countFrames(file) * FRAME;
  expect(wal.length).toBeGreaterThanOrEqual(at + FRAME);
  const header = Buffer.alloc(24, 0x5a);
  header.writeUInt32BE(2, 0);
  header.writeUInt32BE(endsTransaction ? 100 : 0, 4);
  wal.copy(header, 8, 16, 24);
  const fd = openSync(`${file}-wal`, "r+");
  writeSync(fd, header, 0, 24, at);
  closeSync(fd);
}

/** Flips a bit in the page of a frame, counted from the last. */
function flip(file: string, fromLast: number): void {
  const at = HEADER + (countFrames(file) - 1 - fromLast) * FRAME + 24 + 100;
  alterFile(`${file}-wal`, (read, write) => write(at, read(at) ^ 4));
}

describe("judgeWal()", () => {
  test("finds nothing in a log that was killed between two transactions", () => {
    expect(judgeWal(takeCopy())).toBeUndefined();
  });

  test.each([true, false])(
    "takes a frame that was begun (the last of its transaction: %p) for what it is",
    (ends) => {
      const file = takeCopy();
      beginFrame(file, ends);
      expect(judgeWal(file)).toBeUndefined();
      const log = openBlockLog(join(file, ".."), "x.db", "os", { owner: "plant-7" });
      expect(log.repairs).toEqual([]);
      expect(log.lastId).toBe(320);
      log.close();
    },
  );

  test("believes the index that is left of a power cut only when it belongs to the log", () => {
    for (const spoil of ["none", "altered", "of another generation"] as const) {
      const file = takeCopy();
      if (spoil === "none") rmSync(`${file}-shm`);
      else {
        const at = spoil === "altered" ? 16 : 32;
        alterFile(`${file}-shm`, (read, write) => {
          for (const copy of [0, 48]) write(at + copy, read(at + copy) ^ 1);
        });
      }
      beginFrame(file, false);
      expect({ spoil, wrong: judgeWal(file) }).toEqual({ spoil, wrong: undefined });
      const last = takeCopy();
      rmSync(`${last}-shm`);
      beginFrame(last, true);
      expect(judgeWal(last)).toBe(ALTERED);
    }
  });

  test("finds an altered frame, the last one and any other, with the index and without", () => {
    for (const fromLast of [0, 1, 7]) {
      for (const hasIndex of [true, false]) {
        const file = takeCopy();
        if (!hasIndex) rmSync(`${file}-shm`);
        expect(existsSync(`${file}-shm`)).toBe(hasIndex);
        flip(file, fromLast);
        expect({ fromLast, hasIndex, wrong: judgeWal(file) }).toEqual({ fromLast, hasIndex, wrong: ALTERED });
      }
    }
  });
});
