// One file of an inbox, read as far as it goes and again when it has grown: who brings files may write them in place. Refuses to follow
// symbolic links, what is no regular file, and more bytes than allowed. Never throws.
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import { RecordDecoder } from "../../../shared/framing/record.ts";
import type { PathSink } from "./path-input.ts";

/**
 * `whole`: its end mark is here. `growing`: it may go on. `cut`: it has not gone on for long.
 * `refused`: too large, or no regular file. `gone`: taken away meanwhile, or not readable; `why` says it.
 */
export type FileState =
  | { readonly state: "whole" | "growing" | "cut" | "refused" }
  | { readonly state: "gone"; readonly why: string };

const CHUNK_BYTES = 262_144;
/** Read at one go; then others have their turn. */
const TURN_BYTES = 1_048_576;

export type InboxLimits = { readonly fileBytesMax: number; readonly settleMs: number };

export class InboxFile {
  readonly #path: string;
  readonly #sink: PathSink;
  readonly #limits: InboxLimits;
  #decoder: RecordDecoder;
  #inode = -1;
  #offset = 0;
  #grownMs: number;

  constructor(path: string, sink: PathSink, limits: InboxLimits, nowMs: number) {
    this.#path = path;
    this.#sink = sink;
    this.#limits = limits;
    this.#decoder = new RecordDecoder(sink);
    this.#grownMs = nowMs;
  }

  /** Reads on from where it was left. */
  async read(nowMs: number): Promise<FileState> {
    let fd: number;
    try {
      fd = openSync(this.#path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === "ELOOP" ? { state: "refused" } : { state: "gone", why: code ?? String(error) };
    }
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile() || stat.size > this.#limits.fileBytesMax) return { state: "refused" };
      // Another file under the same name, or the same one begun anew: what was read of it is still good.
      if (stat.ino !== this.#inode || stat.size < this.#offset) this.#beginAnew(stat.ino, nowMs);
      if (stat.size > this.#offset) this.#grownMs = nowMs;
      await this.#readOn(fd, stat.size);
      if (this.#decoder.atEndMark) return { state: "whole" };
      return { state: nowMs - this.#grownMs >= this.#limits.settleMs ? "cut" : "growing" };
    } catch (error) {
      return { state: "gone", why: (error as NodeJS.ErrnoException).code ?? String(error) };
    } finally {
      closeSync(fd);
    }
  }

  /** False when more has come, or another file under its name, since it was read. */
  isReadToItsEnd(): boolean {
    const { ino, size } = lstatSync(this.#path);
    return ino === this.#inode && size === this.#offset;
  }

  /** Counts what is left of a record that was begun. */
  end(): void {
    this.#decoder.end();
  }

  #beginAnew(inode: number, nowMs: number): void {
    if (this.#inode !== -1) this.#decoder = new RecordDecoder(this.#sink);
    this.#inode = inode;
    this.#offset = 0;
    this.#grownMs = nowMs;
  }

  async #readOn(fd: number, size: number): Promise<void> {
    const buffer = new Uint8Array(Math.min(CHUNK_BYTES, size - this.#offset));
    let left = TURN_BYTES;
    while (this.#offset < size) {
      const count = readSync(fd, buffer, 0, Math.min(buffer.length, size - this.#offset), this.#offset);
      if (count === 0) return;
      this.#offset += count;
      this.#decoder.push(buffer.subarray(0, count));
      left -= count;
      if (left > 0) continue;
      left = TURN_BYTES;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
