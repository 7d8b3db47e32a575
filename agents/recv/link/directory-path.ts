// One directory path: an inbox that files arrive in, in any order, more than once, or bit by bit. A file is taken away only after
// what it brought is in the spool: not while half a block of it, or what is behind a hole, waits in memory for another file, or for
// the rest of this one, should it come after all. Looks at names of this link alone, never follows a symbolic link, and has no more
// than FILES_OPEN_MAX unfinished files in hand.
import { type FSWatcher, readdirSync, renameSync, unlinkSync, watch } from "node:fs";
import { join } from "node:path";
import { parseFileName } from "../../../shared/framing/file-name.ts";
import type { DirectoryRecvPath } from "../path-config.ts";
import { InboxFile } from "./inbox-file.ts";
import type { PathInput, PathSink } from "./path-input.ts";

const FILES_OPEN_MAX = 64;
/** After a change, so that many of them are one look. */
const CHANGE_MS = 20;

type Entry = {
  readonly file: InboxFile;
  /** All that is there was given on, up to this mark: what is left to do is to take the file away. */
  mark: number | undefined;
  /** It ended without its end mark, and may yet go on. */
  isCut: boolean;
};

export class DirectoryPath implements PathInput {
  readonly address: string;
  readonly #path: DirectoryRecvPath;
  readonly #linkId: string;
  readonly #sink: PathSink;
  readonly #clock: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #refused = new Set<string>();
  #watcher: FSWatcher | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking: Promise<void> | undefined;
  #changed = false;
  #closed = false;
  #problem: string | undefined;

  /** `clock` runs forward only, in milliseconds. */
  constructor(path: DirectoryRecvPath, linkId: string, sink: PathSink, clock: () => number) {
    this.address = path.directory;
    this.#path = path;
    this.#linkId = linkId;
    this.#sink = sink;
    this.#clock = clock;
    this.#schedule(0);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#watcher?.close();
    await this.#looking;
  }

  #schedule(waitMs: number): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#looking = this.#look().finally(() => {
        this.#looking = undefined;
        const waitMs = this.#changed ? CHANGE_MS : this.#path.pollMs;
        this.#changed = false;
        this.#schedule(waitMs);
      });
    }, waitMs);
  }

  /** Changes are told by the system where it can; the poll finds them everywhere. */
  #watch(): void {
    if (this.#watcher !== undefined) return;
    const forget = () => {
      this.#watcher?.close();
      this.#watcher = undefined;
    };
    try {
      this.#watcher = watch(this.#path.directory, () => {
        if (this.#looking === undefined) this.#schedule(CHANGE_MS);
        else this.#changed = true;
      });
      this.#watcher.on("error", forget);
    } catch {
      forget();
    }
  }

  async #look(): Promise<void> {
    this.#problem = undefined;
    const names = this.#list();
    for (const [name, { file }] of this.#entries) {
      if (names.has(name)) continue;
      file.end();
      this.#entries.delete(name);
    }
    for (const name of this.#refused) if (!names.has(name)) this.#refused.delete(name);
    for (const name of [...names].sort()) {
      if (this.#closed) return;
      const entry = this.#entries.get(name) ?? this.#begin(name);
      if (entry === undefined) continue;
      if (entry.mark === undefined || entry.isCut) await this.#read(name, entry);
      this.#takeAway(name, entry);
      // Other paths have their turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
    // What waited for another file has perhaps got it.
    for (const [name, entry] of this.#entries) this.#takeAway(name, entry);
    this.#sink.setProblem(this.#problem);
  }

  #list(): ReadonlySet<string> {
    try {
      const names = readdirSync(this.#path.directory);
      this.#watch();
      return new Set(names.filter((name) => parseFileName(name)?.linkId === this.#linkId));
    } catch (error) {
      this.#watcher?.close();
      this.#watcher = undefined;
      this.#problem = `cannot look into ${this.#path.directory}: ${explain(error)}`;
      return new Set();
    }
  }

  #begin(name: string): Entry | undefined {
    if (this.#refused.has(name) || this.#countOpen() >= FILES_OPEN_MAX) return undefined;
    const path = join(this.#path.directory, name);
    const entry: Entry = {
      file: new InboxFile(path, this.#sink, this.#path, this.#clock()),
      mark: undefined,
      isCut: false,
    };
    this.#entries.set(name, entry);
    return entry;
  }

  #countOpen(): number {
    let count = 0;
    for (const { mark } of this.#entries.values()) if (mark === undefined) count++;
    return count;
  }

  async #read(name: string, entry: Entry): Promise<void> {
    const outcome = await entry.file.read(this.#clock());
    const names = { path: this.#path.name, file: name };
    switch (outcome.state) {
      case "growing":
        entry.mark = undefined;
        return;
      case "gone":
        if (outcome.why !== "ENOENT")
          this.#problem = `cannot read ${name}: ${explain({ code: outcome.why })}`;
        return;
      case "refused":
        this.#entries.delete(name);
        this.#refused.add(name);
        this.#sink.count("files_refused");
        this.#sink.log.warn(names, "file left alone: it is too large, or no regular file");
        return;
      case "cut":
        if (entry.mark !== undefined) return;
        this.#sink.count("files_cut");
        this.#sink.log.warn(
          names,
          "file is not complete and does not grow any more: what is there was taken",
        );
        entry.isCut = true;
        break;
      case "whole":
        this.#sink.count("files");
        entry.isCut = false;
    }
    entry.mark = this.#sink.mark();
  }

  #takeAway(name: string, { file, mark, isCut }: Entry): void {
    if (mark === undefined) return;
    const { directory, moveTo } = this.#path;
    const keeping = this.#sink.keep(mark);
    if (keeping === "refused") this.#problem = "the spool takes nothing: files stay where they are";
    if (keeping !== "kept") return;
    try {
      if (isCut && !file.isReadToItsEnd()) return;
      if (moveTo === undefined) unlinkSync(join(directory, name));
      else renameSync(join(directory, name), join(moveTo, name));
      file.end();
      this.#entries.delete(name);
    } catch (error) {
      const what = moveTo === undefined ? `delete ${name}` : `move ${name} to ${moveTo}`;
      this.#problem = `cannot ${what}: ${explain(error)}`;
    }
  }
}

const ERRORS: Record<string, string> = {
  ENOENT: "there is no such directory",
  ENOTDIR: "it is no directory",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  EXDEV: "it is on another file system",
};

function explain(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return ERRORS[code ?? ""] ?? message ?? code ?? String(error);
}
