// Buffers for contents, used again and again: memory that is new costs more than what is written to it. A content is given back by
// whoever has read it last; one that is never given back is nobody's loss.
import type { ContentWriter } from "../../shared/framing/content.ts";

/** As a content writer has, so that none of it is copied. */
const BUFFER_BYTES = 65_536;
/** A smaller content is copied: or a queue of small ones would take many times their size. */
const CONTENT_BYTES_MIN = BUFFER_BYTES / 2;
const FREE_MAX = 64;

export class ContentPool {
  readonly #free: Buffer[] = [];
  /** Of contents that were not given back. */
  readonly #lent = new WeakSet<ArrayBufferLike>();

  /** What was written, in memory of its own until it is given back; the writer is empty. */
  take(writer: ContentWriter): Buffer {
    if (writer.length < CONTENT_BYTES_MIN) return writer.take();
    const content = writer.handOver(this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES));
    // One that had to grow for a large message goes its own way.
    if (content.buffer.byteLength === BUFFER_BYTES) this.#lent.add(content.buffer);
    return content;
  }

  /** Nobody reads the content any more, or any view of it. */
  giveBack(content: Uint8Array): void {
    if (!this.#lent.delete(content.buffer) || this.#free.length >= FREE_MAX) return;
    this.#free.push(Buffer.from(content.buffer));
  }
}
