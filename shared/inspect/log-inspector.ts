// Explains a journal or spool, while an agent writes to it or not: its values, its rows in order with the messages in them, and a
// summary. Reads some rows at a time, so that a log of any size takes the same memory.
import { decodeContent } from "../framing/content.ts";
import type { BlockLog, ReadRow } from "../store/block-log.ts";
import { type InspectEvent, type RowEvent, showTime } from "./event.ts";
import { listFrames } from "./frames.ts";
import { Summary } from "./summary.ts";

const ROWS_AT_A_TIME = 16;

export function* inspectLog(log: BlockLog, withPayloads: boolean): Generator<InspectEvent> {
  const summary = new Summary("log");
  for (const [name, value] of log.values("")) yield { type: "value", name, value };
  const journalId = log.value("journal_id") ?? log.value("link.journal_id")?.padStart(16, "0") ?? "unknown";
  let after = 0;
  for (;;) {
    const rows = log.read(after, ROWS_AT_A_TIME);
    for (const row of rows) {
      yield* inspectRow(row, journalId, summary, withPayloads);
      after = row.id;
    }
    if (rows.length === 0) break;
  }
  yield summary.view();
}

function* inspectRow(
  row: ReadRow,
  journalId: string,
  summary: Summary,
  withPayloads: boolean,
): Generator<InspectEvent> {
  const { id, stream, first, count, skip, timeMs, content, intact } = row;
  const frames = intact ? decodeContent(content, count) : undefined;
  const outcome: RowEvent["outcome"] = !intact ? "corrupt" : frames === undefined ? "malformed" : "content";
  summary.addRow(outcome);
  summary.addContent(journalId, stream, first, count, frames);
  const size = { contentBytes: content.length };
  yield { type: "row", id, stream, first, count, skip, time: showTime(timeMs), ...size, outcome };
  yield* listFrames(stream, first, frames ?? [], withPayloads);
}
