// Reads a file from its beginning on, a window at a time, so that a file of any size takes the same memory.
// Refuses nothing but what is not a file; a read past the end says so and gives nothing.
import { closeSync, openSync, readSync } from "node:fs";

const WINDOW_BYTES = 256 * 1024;

export class ByteFile {
  readonly #descriptor: number;
  readonly #window = Buffer.allocUnsafe(WINDOW_BYTES);
  #start = 0;
  #end = 0;
  #position = 0;

  /** Throws what the system says. */
  constructor(path: string) {
    this.#descriptor = openSync(path, "r");
  }

  /** Bytes read so far: where the next read begins. */
  get position(): number {
    return this.#position;
  }

  /** The next `size` bytes, a copy; undefined when the file ends before. Then what is left is gone, too. */
  read(size: number): Buffer | undefined {
    const out = Buffer.alloc(Math.min(size, WINDOW_BYTES));
    let room = out;
    let have = 0;
    while (have < size) {
      if (this.#start === this.#end && !this.#fill()) return undefined;
      const take = Math.min(size - have, this.#end - this.#start);
      // Grows with what is really there: a length in a hostile file costs nothing by itself.
      if (have + take > room.length) room = Buffer.concat([room], Math.min(size, (have + take) * 2));
      this.#window.copy(room, have, this.#start, this.#start + take);
      this.#start += take;
      this.#position += take;
      have += take;
    }
    return room.subarray(0, size);
  }

  /** Passes over `size` bytes; false when the file ends before. */
  skip(size: number): boolean {
    let left = size;
    while (left > 0) {
      if (this.#start === this.#end && !this.#fill()) return false;
      const take = Math.min(left, this.#end - this.#start);
      this.#start += take;
      this.#position += take;
      left -= take;
    }
    return true;
  }

  /** True when nothing is left. */
  get ended(): boolean {
    return this.#start === this.#end && !this.#fill();
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #fill(): boolean {
    this.#start = 0;
    this.#end = readSync(this.#descriptor, this.#window, 0, WINDOW_BYTES, null);
    return this.#end > 0;
  }
}
