// One directory path: records in files, which somebody else carries across. A file is written under a hidden name, made durable,
// and then renamed to a name that sorts by run and number; so who moves the files never sees half a one. When the outbox is
// full, or its disk, the path has no room and the journal holds what waits.
import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { formatFileName, parseFileName } from "../../../shared/framing/file-name.ts";
import { encodeRecordHeader } from "../../../shared/framing/record.ts";
import type { DirectorySendPath } from "../path-config.ts";
import type { WriteResult } from "./path-queue.ts";
import type { PathWriter } from "./path-writer.ts";
import { RecordWriter } from "./record-writer.ts";

/** Hidden and with another ending, so that a rule such as "*.tgd" leaves it alone. */
const PART = ".part";
const LOOK_MS = 1000;

type OpenFile = { readonly name: string; readonly fd: number; readonly writer: RecordWriter; bytes: number };

export class DirectoryPath implements PathWriter {
  readonly #path: DirectorySendPath;
  readonly #linkId: string;
  readonly #clock: () => number;
  #epoch: bigint | undefined;
  #number = 0;
  #file: OpenFile | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waiting = { files: 0, bytes: 0, atMs: Number.NEGATIVE_INFINITY };

  /** `clock` runs forward only, in milliseconds. */
  constructor(path: DirectorySendPath, linkId: string, clock: () => number) {
    this.#path = path;
    this.#linkId = linkId;
    this.#clock = clock;
  }

  begin(epoch: bigint): void {
    this.#epoch = epoch;
  }

  write(datagrams: readonly Buffer[]): WriteResult {
    try {
      const full = this.#judgeOutbox();
      if (full !== undefined) return { written: 0, error: full };
      const file = this.#file ?? this.#start();
      const written = file.writer.write(datagrams);
      if (file.bytes >= this.#path.fileBytesMax) this.#finish();
      return { written };
    } catch (error) {
      return { written: 0, error: `cannot write to ${this.#path.directory}: ${explain(error)}` };
    }
  }

  close(): void {
    try {
      this.#finish();
    } catch {
      // It stays under its hidden name, and is finished by the next run.
    }
    clearTimeout(this.#timer);
  }

  #start(): OpenFile {
    const { directory, fileSeconds } = this.#path;
    if (this.#epoch === undefined) throw new Error("the run has not begun");
    if (this.#number === 0) this.#recover();
    const name = formatFileName(this.#linkId, this.#epoch, this.#number);
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
    const fd = openSync(join(directory, `.${name}${PART}`), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o640);
    const file: OpenFile = {
      name,
      fd,
      bytes: 0,
      writer: new RecordWriter((chunks) => {
        const taken = writeSync(fd, Buffer.concat(chunks));
        file.bytes += taken;
        return taken;
      }),
    };
    this.#file = file;
    this.#timer = setTimeout(() => this.#finishLater(), fileSeconds * 1000);
    return file;
  }

  #finishLater(): void {
    try {
      this.#finish();
    } catch {
      this.#timer = setTimeout(() => this.#finishLater(), LOOK_MS); // A full disk, say: the next write tells.
    }
  }

  /** Ends the file with its mark, makes it durable, and shows it. */
  #finish(): void {
    const file = this.#file;
    if (file === undefined) return;
    if (!file.writer.flush()) throw new Error("the disk takes nothing");
    writeSync(file.fd, encodeRecordHeader(0));
    fsyncSync(file.fd);
    this.#show(file.name);
    this.#file = undefined;
    this.#number++;
    clearTimeout(this.#timer);
    closeSync(file.fd);
    this.#waiting.files++;
    this.#waiting.bytes += file.bytes;
  }

  #show(name: string): void {
    const { directory } = this.#path;
    renameSync(join(directory, `.${name}${PART}`), join(directory, name));
    const fd = openSync(directory, constants.O_RDONLY);
    try {
      fsyncSync(fd);
    } catch {
      // Not every file system can; then the name is as durable as that file system makes it.
    } finally {
      closeSync(fd);
    }
  }

  /** What a run that was killed has left is shown as it is: its whole records count, and a cut one is found out. */
  #recover(): void {
    for (const entry of readdirSync(this.#path.directory)) {
      if (!entry.startsWith(".") || !entry.endsWith(PART)) continue;
      const name = entry.slice(1, -PART.length);
      if (parseFileName(name)?.linkId !== this.#linkId) continue;
      const file = join(this.#path.directory, entry);
      if (statSync(file).size === 0) unlinkSync(file);
      else this.#show(name);
    }
  }

  /** Why no further file may be begun; the files are counted anew from time to time, because others take them away. */
  #judgeOutbox(): string | undefined {
    if (this.#file !== undefined) return undefined;
    const { directory, outboxFilesMax, outboxBytesMax } = this.#path;
    const nowMs = this.#clock();
    if (nowMs - this.#waiting.atMs >= LOOK_MS)
      this.#waiting = { ...countFiles(directory, this.#linkId), atMs: nowMs };
    const { files, bytes } = this.#waiting;
    if (files < outboxFilesMax && bytes < outboxBytesMax) return undefined;
    return `the outbox ${directory} is full: is anybody taking the files away?`;
  }
}

function countFiles(directory: string, linkId: string): { files: number; bytes: number } {
  let files = 0;
  let bytes = 0;
  for (const name of readdirSync(directory)) {
    if (parseFileName(name)?.linkId !== linkId) continue;
    files++;
    try {
      bytes += statSync(join(directory, name)).size;
    } catch {
      files--; // Taken away at this moment.
    }
  }
  return { files, bytes };
}

const ERRORS: Record<string, string> = {
  ENOENT: "there is no such directory",
  ENOTDIR: "it is no directory",
  EACCES: "permission denied",
  ENOSPC: "the disk is full",
  EDQUOT: "the quota is used up",
  EROFS: "the file system is read-only",
};

function explain(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return ERRORS[code ?? ""] ?? message;
}
