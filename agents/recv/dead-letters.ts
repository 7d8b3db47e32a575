// Dead letters: messages that a target did not get and will not get as they are, kept whole with the reason, so that a
// person can look at them, mend what was wrong, and send them again. Bounded: past its bytes the oldest go.
import { ContentWriter, decodeContent } from "../../shared/framing/content.ts";
import type { Message } from "../../shared/message.ts";
import type { BlockLog } from "../../shared/store/block-log.ts";

export type DeadLetter = {
  readonly id: number;
  readonly target: string;
  /** The name under which the target's ledger counts it as lost, e.g. "refused". */
  readonly reason: string;
  /** What was said, in words. */
  readonly detail: string;
  /** When it was put here, this host's clock. */
  readonly atMs: number;
  /** As it came over the link, before the target's rules. */
  readonly message: Message;
};

export type NewDeadLetter = Omit<DeadLetter, "id">;

const READ_ROWS = 64;
const DETAIL_CHARACTERS_MAX = 500;

export class DeadLetters {
  readonly #log: BlockLog;
  readonly #bytesMax: number;
  #count: number;

  constructor(log: BlockLog, bytesMax: number) {
    this.#log = log;
    this.#bytesMax = bytesMax;
    this.#count = log.values("letter.").size;
  }

  get count(): number {
    return this.#count;
  }

  /** Keeps a letter, and drops the oldest when there is no room; how many were dropped. Throws what the disk says. */
  add(letter: NewDeadLetter): number {
    const { target, reason, atMs, message } = letter;
    const writer = new ContentWriter();
    writer.addMessage(message);
    const content = writer.take();
    const detail = letter.detail.slice(0, DETAIL_CHARACTERS_MAX);
    this.#log.write(() => {
      const row = {
        stream: 0,
        first: this.#log.lastId,
        count: 1,
        skip: 0,
        timeMs: atMs,
        clockDifferenceMs: 0,
        content,
      };
      const id = this.#log.append(row);
      this.#log.setValue(`letter.${id}`, JSON.stringify({ target, reason, detail }));
    });
    this.#count++;
    let dropped = 0;
    while (this.#log.bytes > this.#bytesMax && this.#count > 1) dropped += this.#dropOldest();
    return dropped;
  }

  *list(): Iterable<DeadLetter> {
    let after = 0;
    for (
      let rows = this.#log.read(after, READ_ROWS);
      rows.length > 0;
      rows = this.#log.read(after, READ_ROWS)
    ) {
      for (const row of rows) {
        after = row.id;
        const letter = this.#open(row.id, row.timeMs, row.intact ? row.content : undefined);
        if (letter !== undefined) yield letter;
      }
    }
  }

  find(id: number): DeadLetter | undefined {
    const [row] = this.#log.read(id - 1, 1);
    if (row === undefined || row.id !== id || !row.intact) return undefined;
    return this.#open(row.id, row.timeMs, row.content);
  }

  /** Forgets a letter. Throws what the disk says. */
  remove(id: number): void {
    if (this.#log.value(`letter.${id}`) === undefined) return;
    this.#log.write(() => this.#log.deleteValue(`letter.${id}`));
    this.#count--;
    // Its row goes when no older one is needed any more.
    const names = [...this.#log.values("letter.").keys()].map(Number);
    const oldest = names.length === 0 ? this.#log.lastId + 1 : Math.min(...names);
    this.#log.write(() => this.#log.deleteTo(oldest - 1));
  }

  close(): void {
    this.#log.close();
  }

  #dropOldest(): number {
    const last = this.#log.oldest(1, Number.MAX_SAFE_INTEGER);
    if (last === undefined) return 0;
    const counted = this.#log.value(`letter.${last}`) !== undefined;
    this.#log.write(() => {
      this.#log.deleteTo(last);
      this.#log.deleteValue(`letter.${last}`);
    });
    if (counted) this.#count--;
    return counted ? 1 : 0;
  }

  #open(id: number, atMs: number, content: Uint8Array | undefined): DeadLetter | undefined {
    const note = this.#log.value(`letter.${id}`);
    const frame = content && decodeContent(content, 1)?.[0];
    if (note === undefined || frame?.type !== "message") return undefined;
    const { target, reason, detail } = JSON.parse(note) as { target: string; reason: string; detail: string };
    return { id, target, reason, detail, atMs, message: frame.message };
  }
}
