// A byte stream whose lower end comes later: a connection through a proxy is handed out at once, and is real only when
// the proxy has opened the way. Until then what is written waits; a destroy() before then takes the lower end along.

import { Duplex } from "node:stream";

export class LateStream extends Duplex {
  #lower: Duplex | undefined;
  #waiting: (() => void) | undefined;

  /** The lower end is there. What comes from it comes out here, its end and its error included. */
  attach(lower: Duplex): void {
    if (this.destroyed) {
      lower.destroy();
      return;
    }
    this.#lower = lower;
    lower.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) lower.pause();
    });
    lower.on("end", () => this.push(null));
    lower.on("error", (error) => this.destroy(error));
    lower.on("close", () => {
      // What came before the close may still wait to be read.
      if (this.readableLength === 0 || this.readableEnded) this.destroy();
      else this.once("end", () => this.destroy());
    });
    // It may have been paused while the way was being opened.
    lower.resume();
    this.#waiting?.();
    this.#waiting = undefined;
  }

  override _read(): void {
    this.#lower?.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#lower === undefined) this.#waiting = () => this.#lower?.write(chunk, () => done());
    // A failed write only says that the lower end is closed; why, its "error" event says.
    else this.#lower.write(chunk, () => done());
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#lower === undefined) done();
    else this.#lower.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#waiting = undefined;
    this.#lower?.destroy();
    done(error);
  }
}
