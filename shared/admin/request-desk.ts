// Requests from a command to the running agent: small JSON files in a directory that only the agent's user may write,
// because the agent has no door that a network could reach. NAME.ask is a request, NAME.done its answer.
// Refuses what is not a small regular file of JSON that the schema knows.
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
import type * as z from "zod";
import type { Logger } from "../log.ts";

const REQUEST_BYTES_MAX = 4096;
const ANSWERS_MAX = 100;
const ANSWER_WAIT_MS = 10_000;
const LOOK_MS = 50;

/** What came of a request; `error` is a sentence that follows "cannot …: ". */
export type Answer<T> = T | { readonly error: string };

export class RequestDesk<Schema extends z.ZodType, Result extends object> {
  readonly #directory: string | undefined;
  readonly #schema: Schema;
  readonly #handle: (request: z.output<Schema>) => Answer<Result>;
  readonly #log: Logger;

  constructor(
    directory: string,
    schema: Schema,
    log: Logger,
    handle: (request: z.output<Schema>) => Answer<Result>,
  ) {
    this.#schema = schema;
    this.#log = log;
    this.#handle = handle;
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.#directory = directory;
    } catch (error) {
      log.warn(
        { directory, error: String(error) },
        "cannot make the directory for requests: commands will not reach this agent",
      );
    }
  }

  /** Answers what has come since the last time. */
  look(): void {
    if (this.#directory === undefined) return;
    try {
      const names = readdirSync(this.#directory);
      for (const name of names.filter((name) => name.endsWith(".ask")))
        this.#take(join(this.#directory, name));
      // Answers that nobody fetched: the command was interrupted.
      const old = names.filter((name) => name.endsWith(".done")).slice(ANSWERS_MAX);
      for (const name of old) rmSync(join(this.#directory, name), { force: true });
    } catch (error) {
      this.#log.warn({ error: String(error) }, "cannot look for requests");
    }
  }

  #take(file: string): void {
    const answer = this.#answer(file);
    rmSync(file, { force: true, recursive: true });
    this.#log.info(
      { request: answer },
      "error" in answer ? `request refused: ${answer.error}` : "request taken",
    );
    writeWhole(file.replace(/\.ask$/, ".done"), JSON.stringify(answer));
  }

  #answer(file: string): Answer<Result> {
    const stat = statSync(file);
    if (!stat.isFile() || stat.size > REQUEST_BYTES_MAX) return { error: "the request is not a small file" };
    let json: unknown;
    try {
      json = JSON.parse(readFileSync(file, "utf8"));
    } catch {
      return { error: "the request is not JSON" };
    }
    const parsed = this.#schema.safeParse(json);
    return parsed.success
      ? this.#handle(parsed.data)
      : { error: "the request is not what the command writes" };
  }
}

/** Puts a request before the agent and waits for its answer; undefined when none comes. `name` must be unused. */
export async function askAgent<Result>(
  directory: string,
  name: string,
  request: unknown,
): Promise<Answer<Result> | undefined> {
  const answerFile = join(directory, `${name}.done`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeWhole(join(directory, `${name}.ask`), JSON.stringify(request));
  for (let waited = 0; waited < ANSWER_WAIT_MS; waited += LOOK_MS) {
    if (existsSync(answerFile)) {
      const answer = JSON.parse(readFileSync(answerFile, "utf8")) as Answer<Result>;
      rmSync(answerFile, { force: true });
      return answer;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return undefined;
}

/** The file appears whole or not at all. */
function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
