// One line for the log about a damaged file: what was wrong, what is left of it, what is missing, where the old one is.
import type { Repair } from "./block-log.ts";

/** `what` is "journal" or "spool". */
export function describeRepair(what: string, repair: Repair): string {
  const { reason, movedTo, rows, rowsWithoutContent, rowsMissing, missing, valuesComplete } = repair;
  const ranges = missing.map(
    ({ stream, first, count }) => `stream ${stream} sequences ${first} to ${first + count - 1}`,
  );
  return [
    `the ${what} was damaged (${reason}): ${rows} rows are whole`,
    rowsWithoutContent > 0 ? `, ${rowsWithoutContent} have lost their content` : "",
    rowsMissing > 0 ? `, ${rowsMissing} are gone` : "",
    ranges.length > 0 ? ` (${ranges.join(", ")})` : "",
    valuesComplete ? "" : "; its cursors and counters may be older than they were: messages may come twice",
    `. The damaged file is kept as ${movedTo}`,
  ].join("");
}
