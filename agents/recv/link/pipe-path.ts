// One pipe path: the standard output of a program, a serial device or a named pipe, read and never written to. What ends or breaks is
// opened again, with growing and random pauses. Refuses nothing for good.
import type { PipeEnd } from "../../../shared/config/path-tables.ts";
import { RecordDecoder } from "../../../shared/framing/record.ts";
import { Backoff } from "../../../shared/mqtt/backoff.ts";
import { type Command, startCommand } from "../../../shared/native/command.ts";
import { openDevice } from "../../../shared/native/device.ts";
import type { PipeRecvPath } from "../path-config.ts";
import { FdReader } from "./fd-reader.ts";
import type { PathInput, PathSink } from "./path-input.ts";

const REOPEN_MIN_MS = 100;
const REOPEN_MAX_MS = 5000;
/** A stream that has lasted this long is opened again without delay. */
const STABLE_MS = 5000;

export class PipePath implements PathInput {
  readonly address: string;
  readonly #end: PipeEnd;
  readonly #sink: PathSink;
  readonly #name: string;
  readonly #backoff: Backoff;
  readonly #decoder: RecordDecoder;
  #reader: FdReader | undefined;
  #command: Command | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #openedMs = 0;
  #closed = false;

  constructor(path: PipeRecvPath, sink: PathSink, random: () => number) {
    const { end } = path;
    this.address = end.kind === "device" ? end.device : (end.command[0] ?? "");
    this.#end = end;
    this.#name = path.name;
    this.#sink = sink;
    this.#decoder = new RecordDecoder(sink);
    this.#backoff = new Backoff(REOPEN_MIN_MS, REOPEN_MAX_MS, random);
    this.#open();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#shut();
  }

  #open(): void {
    const end = this.#end;
    try {
      if (end.kind === "device") this.#read(openDevice(end.device, "read", end.baud), undefined);
      else {
        const command = startCommand(end.command, "read", this.#sink.log);
        this.#read(command.fd, command);
      }
    } catch (error) {
      this.#reopenLater(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#openedMs = performance.now();
    this.#sink.count("opened");
    this.#sink.setProblem(undefined);
    this.#sink.log.info({ path: this.#name, address: this.address }, `path ${this.#name} is open, read-only`);
  }

  #read(fd: number, command: Command | undefined): void {
    this.#command = command;
    this.#reader = new FdReader(fd, {
      bytes: (bytes) => this.#decoder.push(bytes),
      // A named pipe waits for its next writer; a serial line is never without one.
      noWriter: () => {
        if (command !== undefined) this.#break(command.ended);
      },
      failed: (code) => this.#break(Promise.resolve(`cannot read ${this.address}: ${code}`)),
    });
  }

  #break(why: Promise<string>): void {
    this.#decoder.end();
    const shut = this.#shut();
    if (performance.now() - this.#openedMs > STABLE_MS) this.#backoff.reset();
    void Promise.all([why, shut]).then(([reason]) => this.#reopenLater(reason));
  }

  #reopenLater(why: string): void {
    if (this.#closed) return;
    this.#sink.setProblem(why);
    this.#timer = setTimeout(() => this.#open(), this.#backoff.next());
  }

  async #shut(): Promise<void> {
    const command = this.#command;
    this.#command = undefined;
    if (command === undefined) this.#reader?.close();
    else {
      this.#reader?.stop();
      await command.close();
    }
    this.#reader = undefined;
  }
}
