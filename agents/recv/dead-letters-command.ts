// The command `dead-letters`: list, show, requeue and export what targets refused. Reads the store's file, whether the
// agent runs or not; requeue asks the running agent. Refuses ids that are none, and to requeue all there is by mistake.
import { closeSync, fsyncSync, openSync, rmSync, writeFileSync } from "node:fs";
import { askAgent } from "../../shared/admin/request-desk.ts";
import { EXIT, type ExitStatus } from "../../shared/cli/exit.ts";
import type { CommandValues } from "../../shared/cli/parse.ts";
import { openBlockLogReadOnly } from "../../shared/store/open.ts";
import type { Requeued } from "./dead-letter-desk.ts";
import { REQUEST_IDS_MAX, type RequeueRequest, requeueDirectory } from "./dead-letter-requests.ts";
import { DEAD_LETTERS_FILE, type DeadLetter, DeadLetters } from "./dead-letters.ts";
import { describeLetter, formatLetter, formatLetterLine, formatLetters } from "./dead-letters-text.ts";

export type Answered = { readonly status: ExitStatus; readonly stdout: string; readonly stderr: string };
type Choice = {
  readonly ids: readonly number[] | undefined;
  readonly target: string | undefined;
  readonly reason: string | undefined;
};

const ACTIONS = "list, show, requeue or export";

/** `name` makes the file of a request unique. */
export async function runDeadLetters(
  directory: string,
  values: CommandValues,
  name: string,
): Promise<Answered> {
  const ids = readIds(values.id);
  if (typeof ids === "string") return fail(EXIT.usage, ids);
  const choice = { ids, target: values.target, reason: values.reason };
  try {
    switch (values.action) {
      case "list":
        return listLetters(directory, choice, values.json !== undefined);
      case "show":
        return showLetters(directory, choice, values.json !== undefined);
      case "export":
        return exportLetters(directory, choice, values.out);
      case "requeue":
        return await requeueLetters(directory, choice, name);
    }
  } catch (error) {
    return fail(EXIT.failed, error instanceof Error ? error.message : String(error));
  }
  return fail(EXIT.usage, `cannot do ${JSON.stringify(values.action)} with dead letters: must be ${ACTIONS}`);
}

function listLetters(directory: string, choice: Choice, asJson: boolean): Answered {
  return readLetters(directory, choice, (letters, missing) =>
    asJson
      ? done(`${JSON.stringify([...letters].map(describeLetter), null, 2)}\n`)
      : done(formatLetters(letters), missing()),
  );
}

function showLetters(directory: string, choice: Choice, asJson: boolean): Answered {
  if (choice.ids === undefined) return fail(EXIT.usage, "say which: --id N, or --id N,N");
  return readLetters(directory, choice, (letters, missing) => {
    const text = asJson
      ? [...letters].map(formatLetterLine).join("")
      : [...letters].map(formatLetter).join("\n");
    return { ...done(text, missing()), status: missing() === "" ? EXIT.ok : EXIT.failed };
  });
}

function exportLetters(directory: string, choice: Choice, file: string | undefined): Answered {
  return readLetters(directory, choice, (letters, missing) => {
    if (file === undefined) return done([...letters].map(formatLetterLine).join(""), missing());
    try {
      const count = writeLines(file, letters);
      return done("", `${count} dead letter${count === 1 ? "" : "s"} written to ${file}\n${missing()}`);
    } catch (error) {
      const isThere = (error as { code?: string }).code === "EEXIST";
      const why = isThere ? "is there already, must be a new file" : String((error as Error).message);
      return fail(EXIT.failed, `cannot write ${file}: ${why}`);
    }
  });
}

/** Letter by letter, because all of them may be more than memory holds. A write that fails leaves no file behind. */
function writeLines(file: string, letters: Iterable<DeadLetter>): number {
  const fd = openSync(file, "wx", 0o600);
  let count = 0;
  try {
    for (const letter of letters) {
      writeFileSync(fd, formatLetterLine(letter));
      count++;
    }
    fsyncSync(fd);
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  return count;
}

async function requeueLetters(directory: string, choice: Choice, name: string): Promise<Answered> {
  const { ids, target, reason } = choice;
  if (ids === undefined && target === undefined && reason === undefined)
    return fail(EXIT.usage, "say which: --id N[,N], --target NAME or --reason REASON");
  const total = { requeued: 0, missing: 0, left: 0 };
  for (let at = 0; at === 0 || at < (ids?.length ?? 0); at += REQUEST_IDS_MAX) {
    const some = ids?.slice(at, at + REQUEST_IDS_MAX);
    const request: RequeueRequest = { ...(some ? { ids: [...some] } : {}), target, reason };
    const answer = await askAgent<Requeued>(requeueDirectory(directory), `${name}-${at}`, request);
    if (answer === undefined)
      return fail(
        EXIT.failed,
        "the agent did not answer: is it running? It will find the request when it starts",
      );
    if ("error" in answer) return fail(EXIT.failed, `cannot requeue: ${answer.error}`);
    for (const key of ["requeued", "missing", "left"] as const) total[key] += answer[key];
  }
  const notes = [
    total.missing > 0 ? `; ${total.missing} are not there, or their target is not` : "",
    total.left > 0 ? "; others have to wait until these are settled: ask again then" : "",
  ];
  const what = total.requeued === 1 ? "1 dead letter is" : `${total.requeued} dead letters are`;
  const stdout = `${what} sent again${notes.join("")}\n`;
  return { status: total.requeued > 0 ? EXIT.ok : EXIT.failed, stdout, stderr: "" };
}

/** `missing` says, once the letters have been gone through, which of those asked for were not there. */
function readLetters(
  directory: string,
  choice: Choice,
  use: (letters: Iterable<DeadLetter>, missing: () => string) => Answered,
): Answered {
  const store = new DeadLetters(openBlockLogReadOnly(directory, DEAD_LETTERS_FILE), 0);
  const found = new Set<number>();
  try {
    return use(chooseLetters(store, choice, found), () => explainMissing(store, choice, found));
  } finally {
    store.close();
  }
}

function* chooseLetters(
  store: DeadLetters,
  { ids, target, reason }: Choice,
  found: Set<number>,
): Iterable<DeadLetter> {
  for (const letter of ids === undefined ? store.list() : ids.map((id) => store.find(id))) {
    if (letter === undefined || (target !== undefined && letter.target !== target)) continue;
    if (reason !== undefined && letter.reason !== reason) continue;
    found.add(letter.id);
    yield letter;
  }
}

function readIds(text: string | undefined): number[] | undefined | string {
  if (text === undefined) return undefined;
  const ids = text
    .split(",")
    .map((part) => (/^[1-9]\d{0,14}$/.test(part.trim()) ? Number(part) : Number.NaN));
  return ids.some(Number.isNaN) ? "--id takes ids as `dead-letters list` prints them: N, or N,N" : ids;
}

function explainMissing(
  store: DeadLetters,
  { ids, target, reason }: Choice,
  found: ReadonlySet<number>,
): string {
  if (ids === undefined) {
    const altered = target === undefined && reason === undefined ? store.count - found.size : 0;
    return altered > 0 ? `${altered} more cannot be read: the disk has altered them\n` : "";
  }
  const missing = ids.filter((id) => !found.has(id));
  return missing.length === 0 ? "" : `there is no such dead letter: ${missing.join(", ")}\n`;
}

function done(stdout: string, stderr = ""): Answered {
  return { status: EXIT.ok, stdout, stderr };
}

function fail(status: ExitStatus, message: string): Answered {
  return { status, stdout: "", stderr: `${message}\n` };
}
