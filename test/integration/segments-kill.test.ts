// A log whose files are written to again and again, by a process that is killed at any moment: what it has said to be there is there,
// as it was written, and the next process goes on with it.
import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { openBlockLog } from "../../shared/store/open.ts";
import { Workspace } from "../support/workspace.ts";
import { makeContent } from "./segment-content.ts";

const KILLS = Number(process.env.TIDEGATE_KILLS ?? 8);
/** Files for what is kept at a time, and for what comes between looks. */
const SEGMENTS_MAX = 24;

test("every row that was committed comes back as it was written, however often the writer is killed", async () => {
  using workspace = new Workspace("segments-kill");
  const directory = workspace.path("log");
  let checked = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const writer = spawn(process.execPath, [`${import.meta.dir}/segment-writer.ts`, directory]);
    let said = "";
    writer.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      // By how much it has written, not by a clock: far enough that files are used again, and anywhere in a turn.
      if (said.split("\n").length > 10 + kill) writer.kill("SIGKILL");
    });
    await once(writer, "close");
    const [first = 0, last = 0] = said.split("\n").at(-2)?.split(" ").map(Number) ?? [];
    const log = openBlockLog(directory, "x.db", "fsync");
    expect(log.repairs ?? []).toEqual([]);
    expect(log.lastId).toBeGreaterThanOrEqual(last);
    for (let id = first - 1; id < log.lastId; ) {
      const rows = log.read(id, 64);
      for (const row of rows) {
        expect([row.id, row.intact, makeContent(row.id).equals(row.content)]).toEqual([id + 1, true, true]);
        id = row.id;
        checked++;
      }
      if (rows.length === 0) break;
    }
    expect(log.read(log.lastId - 1, 1)).toHaveLength(1);
    log.close();
    const segments = readdirSync(directory).filter((name) => name.includes(".segment-"));
    expect(segments.length).toBeLessThan(SEGMENTS_MAX);
    const highest = Math.max(...segments.map((name) => Number(name.slice(name.lastIndexOf("-") + 1))));
    // Most files were not new: half a megabyte a row, eight megabytes a file.
    if (kill > 2) expect(highest).toBeLessThan(log.lastId / 16 / 2);
  }
  expect(checked).toBeGreaterThanOrEqual(100 * KILLS);
}, 300_000);
