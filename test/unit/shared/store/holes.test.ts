import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { Repair } from "../../../../shared/store/block-log.ts";
import { countInHoles, formatHoles, HOLES } from "../../../../shared/store/holes.ts";
import { openBlockLog } from "../../../../shared/store/open.ts";
import { Workspace } from "../../../support/workspace.ts";
import { alterFile, appendRows, PAGE } from "./sample-log.ts";

const workspace = new Workspace("holes");
afterAll(() => workspace.remove());

test("countInHoles() finds what formatHoles() has written, and no hole in anything else", () => {
  const text = formatHoles([
    [1, 9],
    [20, 29],
    [40, 40],
  ]);
  expect(text).toBe("20-29,40-40");
  expect(countInHoles(text, 1, 100)).toBe(11);
  expect(countInHoles(text, 25, 40)).toBe(6);
  expect(countInHoles(text, 30, 39)).toBe(0);
  for (const other of [undefined, "", "x", "5", "9-"]) expect(countInHoles(other, 1, 100)).toBe(0);
});

test("a salvage does not take rows for lost that were deleted from between others", () => {
  for (const isKept of [true, false]) {
    const directory = workspace.path(`kept-${isKept}`);
    const log = openBlockLog(directory, "x.db", "os");
    appendRows(log, 1, 400);
    log.write(() => {
      log.deleteBetween(101, 200);
      if (isKept) log.setValue(HOLES, formatHoles([[101, 200]]));
    });
    log.close();
    alterFile(join(directory, "x.db"), (_read, write, size) => {
      const page = Math.floor(size / PAGE / 8) * PAGE;
      for (let at = page; at < page + PAGE; at++) write(at, 0xff);
    });
    const repairs: Repair[] = [];
    const again = openBlockLog(directory, "x.db", "os", { onRepair: (repair) => repairs.push(repair) });
    const rows = again.read(0, 1000).filter(({ id }) => id <= 100 || id > 200).length;
    const back = again.read(0, 1000).length - rows;
    again.close();
    // What is gone beside the hole is told, and the hole only when nobody has told of it.
    expect(repairs).toHaveLength(1);
    expect(repairs[0]?.rowsMissing).toBe(300 - rows + (isKept ? 0 : 100 - back));
  }
});
