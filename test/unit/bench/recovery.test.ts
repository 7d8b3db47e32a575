// The page is computed, so it can be computed again: a part of it that takes a second or two.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { LOADS, LOSSES, receiveTrain, SETTINGS, sendTrain, showShare } from "../../bench/recovery-link.ts";

const page = readFileSync(new URL("../../../docs/recovery.md", import.meta.url), "utf8");

/** The cells of a table row, by the heading that the table has and what the row begins with. */
function readRow(heading: string, first: string): string[] {
  const part = page.slice(page.indexOf(`### ${heading}`));
  const line = part.split("\n").find((text) => text.startsWith(`| ${first} |`)) ?? "";
  return line.split("|").map((cell) => cell.trim());
}

test.each([
  [0, LOADS.trickle, [3, 8, 9, 11, 15]],
  [1, LOADS.trickle, [8, 11]],
  [0, LOADS.bulk, [5, 8, 12]],
  [2, LOADS.bulk, [8, 15]],
] as const)(
  "docs/recovery.md says what setting %d computes: %o",
  (index, load, losses) => {
    const setting = SETTINGS[index];
    if (setting === undefined) throw new Error("there is such a setting");
    const train = sendTrain(setting, load);
    for (const at of losses) {
      const loss = LOSSES[at];
      if (loss === undefined) throw new Error("there is such a loss");
      const name = "percent" in loss ? `${loss.percent} % at random` : `bursts of ${loss.burst}`;
      expect([name, readRow(load.title, name)[2 + index]]).toEqual([
        name,
        showShare(receiveTrain(train, loss)),
      ]);
    }
    const keys = [setting.repairPercent, setting.repairSymbolsMin, setting.interleaveBlocks].map(String);
    const row = page.split("\n").find((text) => text.startsWith(`| **${setting.name}** |`)) ?? "";
    expect(
      row
        .split("|")
        .slice(2, 5)
        .map((cell) => cell.trim()),
    ).toEqual(keys);
    expect(row).toContain(`| ${train.wirePerByte.toFixed(2)} a byte |`);
  },
  60_000,
);
