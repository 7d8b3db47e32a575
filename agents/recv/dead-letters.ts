// Dead letters: messages that a target did not get and will not get as they are, kept whole with the reason, so that a
// person can look at them, mend what was wrong, and send them again. Bounded: past its bytes the oldest go.
// A row's content is a length (32 bits), that much JSON, and the message as a content of one frame.
import { ContentWriter, decodeContent } from "../../shared/framing/content.ts";
import type { Message } from "../../shared/message.ts";
import type { BlockLog, ReadRow } from "../../shared/store/block-log.ts";

export type DeadLetter = {
  readonly id: number;
  readonly target: string;
  /** The name under which the target's ledger counts it as lost, e.g. "refused". */
  readonly reason: string;
  /** What was said, in words. */
  readonly detail: string;
  /** When it was put here, this host's clock. */
  readonly atMs: number;
  /** Add to the message's acceptedMs to get this host's clock. */
  readonly clockDifferenceMs: number;
  /** As it came over the link, before the target's rules. */
  readonly message: Message;
};

export type NewDeadLetter = Omit<DeadLetter, "id">;

export const DEAD_LETTERS_FILE = "dead-letters.db";
const READ_ROWS = 64;
const DETAIL_CHARACTERS_MAX = 500;
const LENGTH_BYTES = 4;

export class DeadLetters {
  readonly #log: BlockLog;
  readonly #bytesMax: number;
  #count: number;

  constructor(log: BlockLog, bytesMax: number) {
    this.#log = log;
    this.#bytesMax = bytesMax;
    this.#count = log.countMessages(0, 0);
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#log.bytes;
  }

  /** Of the last letter ever put here. */
  get lastId(): number {
    return this.#log.lastId;
  }

  /** Which store this is; `fresh` is what it is called when it has no name yet. Throws what the disk says. */
  identify(fresh: string): string {
    const name = this.#log.value("name") ?? fresh;
    if (this.#log.value("name") === undefined) this.#log.write(() => this.#log.setValue("name", name));
    return name;
  }

  /** Keeps letters, all or none, and drops the oldest when there is no room; how many. Throws what the disk says. */
  add(letters: readonly NewDeadLetter[]): number {
    let dropped = 0;
    this.#log.write(() => {
      for (const letter of letters) this.#log.append(encodeRow(letter, this.#log.lastId));
      while (this.#log.bytes > this.#bytesMax) {
        const oldest = this.#log.oldest(1, this.#log.lastId);
        if (oldest === undefined) break;
        this.#log.deleteTo(oldest);
        dropped++;
      }
    });
    this.#count += letters.length - dropped;
    return dropped;
  }

  /** From the oldest on. */
  *list(): Iterable<DeadLetter> {
    let after = 0;
    for (
      let rows = this.#log.read(after, READ_ROWS);
      rows.length > 0;
      rows = this.#log.read(after, READ_ROWS)
    ) {
      for (const row of rows) {
        after = row.id;
        const letter = decodeRow(row);
        if (letter !== undefined) yield letter;
      }
    }
  }

  find(id: number): DeadLetter | undefined {
    const [row] = this.#log.read(id - 1, 1);
    return row?.id === id ? decodeRow(row) : undefined;
  }

  /**
   * Forgets letters, so that no power cut brings them back to be sent twice; those that are not there are no fault.
   * Throws what the disk says.
   */
  remove(ids: readonly number[]): void {
    const there = [...new Set(ids)].filter((id) => this.#log.read(id - 1, 1)[0]?.id === id);
    if (there.length === 0) return;
    this.#log.writeDurably(() => {
      for (const id of there) this.#log.deleteBetween(id, id);
    });
    this.#count -= there.length;
  }

  /** Forgets all letters after this one, as remove() does. Throws what the disk says. */
  removeAfter(id: number): void {
    if (this.#log.lastId <= id) return;
    this.#log.writeDurably(() => this.#log.deleteBetween(id + 1, this.#log.lastId));
    this.#count = this.#log.countMessages(0, 0);
  }

  close(): void {
    this.#log.close();
  }
}

function encodeRow(letter: NewDeadLetter, first: number) {
  const { target, reason, atMs, clockDifferenceMs, message } = letter;
  const detail = letter.detail.slice(0, DETAIL_CHARACTERS_MAX);
  const note = Buffer.from(JSON.stringify({ target, reason, detail }));
  const writer = new ContentWriter();
  writer.addMessage(message);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(note.length);
  const content = Buffer.concat([length, note, writer.take()]);
  return { stream: 0, first, count: 1, skip: 0, timeMs: atMs, clockDifferenceMs, content };
}

function decodeRow({ id, timeMs, clockDifferenceMs, content, intact }: ReadRow): DeadLetter | undefined {
  if (!intact || content.length < LENGTH_BYTES) return undefined;
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.length);
  const end = LENGTH_BYTES + bytes.readUInt32BE();
  const frame = decodeContent(bytes.subarray(end), 1)?.[0];
  if (frame?.type !== "message") return undefined;
  const note = readNote(bytes.toString("utf8", LENGTH_BYTES, end));
  return note && { id, ...note, atMs: timeMs, clockDifferenceMs, message: frame.message };
}

function readNote(text: string): Pick<DeadLetter, "target" | "reason" | "detail"> | undefined {
  try {
    const { target, reason, detail } = JSON.parse(text) as Record<string, unknown>;
    if (typeof target !== "string" || typeof reason !== "string" || typeof detail !== "string")
      return undefined;
    return { target, reason, detail };
  } catch {
    return undefined;
  }
}
