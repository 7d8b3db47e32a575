// Journals and spools of any size, made in minutes instead of days: rows as the agents write them, through the log that both
// use, with the values that go with them. All rows hold the same messages, which is nothing to a disk.
import { ContentWriter } from "../../../shared/framing/content.ts";
import type { BlockLog } from "../../../shared/store/block-log.ts";
import { openBlockLog } from "../../../shared/store/open.ts";

/** What a busy plant fills, and what one that has a message now and then does. */
export const FULL_ROW_BYTES = 48 * 1024;
export const SMALL_ROW_BYTES = 1024;
const PAYLOAD_BYTES = 100;
const BYTES_PER_WRITE = 4e6;
const TOPICS = 100;

export type Filled = { readonly rows: number; readonly messages: number; readonly contentBytes: number };

/** Random payloads below a hundred topics. */
function makeContent(bytes: number): { content: Buffer; count: number } {
  const writer = new ContentWriter();
  const random = crypto.getRandomValues(new Uint8Array(bytes + PAYLOAD_BYTES));
  for (let index = 0; writer.length < bytes; index++) {
    const payload = Buffer.from(random.subarray(index, index + PAYLOAD_BYTES));
    writer.addMessage({
      topic: `bench/${index % TOPICS}`,
      payload,
      qos: 1,
      retain: false,
      properties: undefined,
      acceptedMs: Date.now(),
    });
  }
  const { count } = writer;
  return { content: writer.take(), count };
}

function fill(
  directory: string,
  name: string,
  bytes: number,
  rowBytes: number,
  values: (messages: number) => object,
): Filled {
  const log = openBlockLog(directory, name, "os", { owner: "bench" });
  const { content, count } = makeContent(rowBytes);
  const rows = Math.ceil(bytes / content.length);
  for (let row = 0; row < rows; )
    row = appendRows(log, row, Math.min(rows, row + Math.ceil(BYTES_PER_WRITE / rowBytes)), content, count);
  const messages = rows * count;
  log.write(() => {
    for (const [key, value] of Object.entries(values(messages))) log.setValue(key, String(value));
  });
  log.close();
  return { rows, messages, contentBytes: rows * content.length };
}

function appendRows(log: BlockLog, from: number, to: number, content: Buffer, count: number): number {
  const facts = { stream: 0, count, skip: 0, timeMs: Date.now(), clockDifferenceMs: 0, content };
  log.write(() => {
    for (let row = from; row < to; row++) log.append({ ...facts, first: row * count });
  });
  return to;
}

/** A journal of so many bytes, all of it sent and kept for replays. */
export function fillJournal(directory: string, bytes: number, rowBytes = FULL_ROW_BYTES): Filled {
  return fill(directory, "journal.db", bytes, rowBytes, (messages) => ({
    journal_id: "00000000000bec41",
    epoch_counter: 1,
    clean: 1,
    "next.0": messages,
    "sent.0": messages,
    "repeated.0": messages,
    "counter.source/floor/accepted": messages,
    "counter.source/floor/kept": messages,
  }));
}

/** A spool of so many bytes, of which target `target` has got nothing. */
export function fillSpool(
  directory: string,
  bytes: number,
  target: string,
  rowBytes = FULL_ROW_BYTES,
): Filled {
  return fill(directory, "spool.db", bytes, rowBytes, (messages) => ({
    "link.journal_id": "bec41",
    "link.epoch": "1",
    "link.expected.0": messages,
    "counter.link/accepted": messages,
    [`target.${target}/cursor`]: "0:0",
    [`target.${target}/base`]: 0,
  }));
}
