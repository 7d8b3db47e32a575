// Puts packets together, so that many leave in one write: a write each would cost a system call each.
// Bytes are written once into pieces that are never used again, because the socket may keep them for a while.
// A large payload is not copied but written by itself.

import { copyPayload, countPayloadBytes, type Message } from "../message.ts";

const PIECE_BYTES = 65_536;
/** Payloads from here on are cheaper to write by themselves than to copy. */
const OWN_WRITE_BYTES_MIN = 16_384;

/** One per connection. */
export class EgressBatch {
  readonly #write: (bytes: Buffer) => void;
  #piece = Buffer.alloc(0);
  #start = 0;
  #end = 0;

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write;
  }

  /** From here on `piece` has room for so many bytes; `end()` says how many were put there. */
  begin(bytesMax: number): number {
    this.#reserve(bytesMax);
    return this.#end;
  }

  get piece(): Buffer {
    return this.#piece;
  }

  /** `at` is where they end. */
  end(at: number): void {
    this.#end = at;
  }

  /** The payload must stay as it is. */
  putPayload(message: Message): void {
    const bytes = countPayloadBytes(message);
    if (bytes < OWN_WRITE_BYTES_MIN) {
      this.#reserve(bytes);
      copyPayload(message, this.#piece, this.#end);
      this.#end += bytes;
      return;
    }
    this.flush();
    const { payload } = message;
    this.#write(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength));
  }

  /** Writes what has been put. */
  flush(): void {
    if (this.#end === this.#start) return;
    const bytes = this.#piece.subarray(this.#start, this.#end);
    this.#start = this.#end;
    this.#write(bytes);
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#piece.length) return;
    this.flush();
    this.#piece = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, bytes));
    this.#start = 0;
    this.#end = 0;
  }
}
