// Requests to send again, from the `replay` command to the running agent: small files in a directory of the journal,
// because the agent has no door that a network could reach. A request is a JSON file NAME.ask; the answer is NAME.done.
// Refuses requests that are not regular files, too large, or not what the command writes.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import type { Logger } from "../../shared/log.ts";
import type { Durability } from "../../shared/store/block-log.ts";
import type { SendCore } from "./core.ts";

const REQUEST_BYTES_MAX = 4096;
const whole = z.int().min(0);

/** Sequences of a stream, or times: what was written to the journal between them, in every stream. */
export const replayRequest = z.union([
  z.strictObject({ stream: z.int().min(0).max(255), first: whole, end: whole }),
  z.strictObject({ sinceMs: whole, untilMs: whole }),
]);
export type ReplayRequest = z.infer<typeof replayRequest>;

/** `sequences` will be sent again; `missing` are not in the journal any more, or were never sent. */
export type ReplayAnswer =
  | { readonly sequences: number; readonly missing: number }
  | { readonly error: string };

export function requestDirectory(journalDirectory: string): string {
  return join(journalDirectory, "replay");
}

export class ReplayDesk {
  readonly #directory: string | undefined;
  readonly #core: SendCore;
  readonly #log: Logger;

  constructor(journalDirectory: string, durability: Durability, core: SendCore, log: Logger) {
    this.#core = core;
    this.#log = log;
    if (durability === "memory" && !existsSync(journalDirectory))
      mkdirSync(journalDirectory, { recursive: true, mode: 0o700 });
    const directory = requestDirectory(journalDirectory);
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.#directory = directory;
    } catch (error) {
      log.warn(
        { directory, error: String(error) },
        "cannot make the directory for replay requests: replay will not work",
      );
    }
  }

  /** Answers what has come since the last time. */
  look(): void {
    if (this.#directory === undefined) return;
    try {
      for (const name of readdirSync(this.#directory)) {
        if (name.endsWith(".ask")) this.#handle(join(this.#directory, name));
      }
    } catch (error) {
      this.#log.warn({ error: String(error) }, "cannot look for replay requests");
    }
  }

  #handle(file: string): void {
    const answer = this.#answer(file);
    rmSync(file, { force: true, recursive: true });
    this.#log.info({ ...answer }, "error" in answer ? `replay refused: ${answer.error}` : "replay asked for");
    const done = file.replace(/\.ask$/, ".done");
    writeFileSync(`${done}.new`, JSON.stringify(answer), { mode: 0o600 });
    renameSync(`${done}.new`, done);
  }

  #answer(file: string): ReplayAnswer {
    const stat = statSync(file);
    if (!stat.isFile() || stat.size > REQUEST_BYTES_MAX) return { error: "the request is not a small file" };
    let parsed: ReturnType<typeof replayRequest.safeParse>;
    try {
      parsed = replayRequest.safeParse(JSON.parse(readFileSync(file, "utf8")));
    } catch {
      return { error: "the request is not JSON" };
    }
    if (!parsed.success) return { error: "the request is not what the replay command writes" };
    return this.#ask(parsed.data);
  }

  #ask(request: ReplayRequest): ReplayAnswer {
    const { journal } = this.#core;
    const ranges =
      "stream" in request
        ? [request]
        : journal.streams.flatMap((stream) => {
            const range = journal.sequencesBetween(stream, request.sinceMs, request.untilMs);
            return range === undefined ? [] : [{ stream, ...range }];
          });
    let sequences = 0;
    let missing = 0;
    for (const range of ranges) {
      const found = this.#core.replay(range);
      if (found === undefined) return { error: "too many ranges wait to be sent again already" };
      sequences += found;
      missing += range.end - range.first - found;
    }
    return { sequences, missing };
  }
}
