// What becomes of a journal's numbers after its file was damaged, so that no sequence is ever used twice. Pure but for
// the log: it works on the salvaged file before that takes the damaged one's place.
//
// All values known: the journal goes on; sequences in no row any more are announced as "corrupt" when their turn comes.
// Values lost or doubtful: nobody can say which sequences were used. What had not been sent, as far as is known, gets
// new sequences in a journal with a new id; the receiver retires the old one. That may send a message a second time.
import type { BlockLog, ReadRow, Repair } from "../../shared/store/block-log.ts";

const ROWS = 64;
const STREAMS = 256;

export function adoptJournal(log: BlockLog, { valuesComplete }: Repair): void {
  if (valuesComplete) raiseSequences(log);
  else beginAnew(log);
}

function raiseSequences(log: BlockLog): void {
  log.write(() => {
    for (let stream = 0; stream < STREAMS; stream++) {
      const end = endOf(log, stream);
      if (end > readNumber(log, `next.${stream}`)) log.setValue(`next.${stream}`, String(end));
    }
  });
}

/** One past the highest sequence that a row of the stream has. */
function endOf(log: BlockLog, stream: number): number {
  return log.sequencesBetween(stream, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)?.end ?? 0;
}

function beginAnew(log: BlockLog): void {
  const sent = new Map<number, number>();
  const lost = new Map<number, number>();
  for (let stream = 0; stream < STREAMS; stream++) {
    const from = readNumber(log, `sent.${stream}`);
    const end = Math.max(readNumber(log, `next.${stream}`), endOf(log, stream));
    sent.set(stream, from);
    lost.set(stream, Math.max(0, end - from));
  }
  const next = new Map<number, number>();
  const last = log.lastId;
  log.write(() => {
    for (let rows = log.read(0, ROWS); rows.length > 0; rows = log.read(rows.at(-1)?.id ?? last, ROWS)) {
      if ((rows[0]?.id ?? 0) > last) break;
      for (const row of rows.filter(({ id }) => id <= last)) renumber(log, row, sent, lost, next);
    }
    log.deleteTo(last);
    for (const prefix of ["next.", "sent.", "repeated.", "reserved.", "note."])
      for (const name of log.values(prefix).keys()) log.deleteValue(prefix + name);
    for (const [stream, end] of next) log.setValue(`next.${stream}`, String(end));
    log.deleteValue("journal_id");
    const gone = [...lost.values()].reduce((sum, count) => sum + count, 0);
    const counter = "counter.link/lost/corrupt";
    if (gone > 0) log.setValue(counter, String(readNumber(log, counter) + gone));
  });
}

/** Appends the row once more under the stream's next free sequences, if it had not been sent. */
function renumber(
  log: BlockLog,
  { id: _, intact, ...row }: ReadRow,
  sent: ReadonlyMap<number, number>,
  lost: Map<number, number>,
  next: Map<number, number>,
): void {
  const { stream, first, count, skip } = row;
  if (first < (sent.get(stream) ?? 0)) return;
  // What is left after all rows is in none of them.
  const left = (lost.get(stream) ?? 0) - (intact ? count : skip);
  lost.set(stream, Math.max(0, left));
  if (!intact || skip > 0) return;
  const at = next.get(stream) ?? 0;
  log.append({ ...row, first: at });
  next.set(stream, at + count);
}

function readNumber(log: BlockLog, name: string): number {
  const value = Number(log.value(name) ?? "0");
  return Number.isSafeInteger(value) ? value : 0;
}
