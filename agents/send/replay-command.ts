// The command `replay`: asks the running agent, by a small file in its journal directory, to send again what a gap code
// or a range names. Refuses codes with typing errors, codes of another journal, and ranges that make no sense.
import { askAgent } from "../../shared/admin/request-desk.ts";
import { EXIT, type ExitStatus } from "../../shared/cli/exit.ts";
import type { CommandValues } from "../../shared/cli/parse.ts";
import { decodeGapCode, tagJournal } from "../../shared/gap/code.ts";
import { openBlockLogReadOnly } from "../../shared/store/open.ts";
import { type ReplayRequest, type ReplayResult, replayDirectory } from "./replay-desk.ts";

type Answered = { readonly status: ExitStatus; readonly stdout: string; readonly stderr: string };

/** Asks and waits for the answer. `name` makes the request's file unique. */
export async function askReplay(
  journalDirectory: string,
  values: CommandValues,
  nowMs: number,
  name: string,
): Promise<Answered> {
  const requests = readRequests(journalDirectory, values, nowMs);
  if (typeof requests === "string") return fail(EXIT.usage, requests);
  const directory = replayDirectory(journalDirectory);
  let sequences = 0;
  let missing = 0;
  // All at once: the agent looks for requests once a second and answers all that it finds.
  const answers = requests.map((request, index) =>
    askAgent<ReplayResult>(directory, `${name}-${index}`, request),
  );
  for (const answer of await Promise.all(answers)) {
    if (answer === undefined) {
      return fail(
        EXIT.failed,
        "the agent did not answer: is it running? It will find the request when it starts",
      );
    }
    if ("error" in answer) return fail(EXIT.failed, `cannot replay: ${answer.error}`);
    sequences += answer.sequences;
    missing += answer.missing;
  }
  const rest = missing > 0 ? `; ${missing} are not in the journal any more, or were never sent` : "";
  const stdout = `${sequences} sequences are sent again${rest}\n`;
  return { status: sequences > 0 || missing === 0 ? EXIT.ok : EXIT.failed, stdout, stderr: "" };
}

function readRequests(directory: string, values: CommandValues, nowMs: number): ReplayRequest[] | string {
  const { gap, from, to, since, until } = values;
  const kinds = [gap, from ?? to, since ?? until].filter((value) => value !== undefined);
  if (kinds.length !== 1)
    return "say what to replay: --gap CODE, or --from N --to N [--stream N], or --since TIME [--until TIME]";
  if (gap !== undefined) return readGaps(directory, gap);
  if (since !== undefined || until !== undefined) {
    const sinceMs = since === undefined ? 0 : readTime(since, nowMs);
    const untilMs = until === undefined ? nowMs : readTime(until, nowMs);
    if (sinceMs === undefined || untilMs === undefined) {
      return "--since and --until take a time such as 2026-11-22T14:05:00Z, or a span before now such as 15m or 2h";
    }
    return sinceMs > untilMs ? "--since is later than --until" : [{ sinceMs, untilMs }];
  }
  const [first, last, stream] = [from, to, values.stream ?? "0"].map((text) =>
    /^\d{1,15}$/.test(text ?? "") ? Number(text) : undefined,
  );
  if (first === undefined || last === undefined)
    return "--from and --to take sequences, as `tidegate-recv gaps` prints them";
  if (stream === undefined || stream > 255) return "--stream takes a number from 0 to 255";
  return first > last ? "--from is greater than --to" : [{ stream, first, end: last + 1 }];
}

/** One code, or several with commas between them. */
function readGaps(directory: string, codes: string): ReplayRequest[] | string {
  const journalId = readJournalId(directory);
  const requests: ReplayRequest[] = [];
  for (const code of codes.split(",").filter((text) => text.trim() !== "")) {
    const range = decodeGapCode(code);
    if (typeof range === "string") return `gap code ${code.trim()} ${range}`;
    if (journalId !== undefined && range.journalTag !== tagJournal(journalId)) {
      return `gap code ${code.trim()} is of another journal: its messages are not here`;
    }
    requests.push({ stream: range.stream, first: range.first, end: range.first + range.count });
  }
  return requests.length === 0 ? "--gap has no code" : requests;
}

function readJournalId(directory: string): bigint | undefined {
  try {
    const log = openBlockLogReadOnly(directory, "journal.db");
    const id = log.value("journal_id");
    log.close();
    return id === undefined ? undefined : BigInt(`0x${id}`);
  } catch {
    return undefined; // a journal in memory: the agent will judge
  }
}

function readTime(text: string, nowMs: number): number | undefined {
  const span = /^(\d{1,6})([smhd])$/.exec(text);
  if (span !== null) {
    const unit = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[span[2] as "s" | "m" | "h" | "d"];
    return nowMs - Number(span[1]) * unit;
  }
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) || time < 0 ? undefined : time;
}

function fail(status: ExitStatus, message: string): Answered {
  return { status, stdout: "", stderr: `${message}\n` };
}
