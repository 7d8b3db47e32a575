// What SQLite says when something is wrong, sorted: damage that a salvage can mend, and sentences for a person.
import { dirname } from "node:path";

function codeOf(error: unknown): string {
  return (error as { code?: unknown } | null)?.code?.toString() ?? "";
}

/** True when the file is not what was written. A disk that is full, busy or away is no damage. */
export function isDamage(error: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB)/.test(codeOf(error)) || isUnreadable(error);
}

/** True when the disk does not give back what is there: a bad sector. */
export function isUnreadable(error: unknown): boolean {
  return /^SQLITE_IOERR_(READ|SHORT_READ|CORRUPTFS|DATA)/.test(codeOf(error));
}

const PASSING: ReadonlySet<string> = new Set([
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  "EACCES",
  "EPERM",
  "EAGAIN",
  "EINTR",
]);

/** True when a plain file cannot be read now, and that says nothing of what is in it. */
export function isPassing(error: unknown): boolean {
  return PASSING.has(codeOf(error));
}

export function nameReadFault(error: unknown): Error {
  const code = codeOf(error);
  if (code === "EMFILE" || code === "ENFILE") return new Error("too many files and connections are open");
  return error instanceof Error ? error : new Error(String(error));
}

/** What a plain file's disk said, in the words that SQLite has for it. */
export function nameWriteFault(error: unknown): Error {
  const code = codeOf(error);
  if (code === "ENOSPC" || code === "EDQUOT") return new Error("the disk is full");
  if (code === "EROFS") return new Error("the disk is read-only");
  return error instanceof Error ? error : new Error(String(error));
}

export function describeFault(error: unknown, file: string): string {
  const code = codeOf(error);
  if (/^SQLITE_BUSY/.test(code)) return "another process has it open: is the agent running already?";
  if (/^SQLITE_CANTOPEN/.test(code)) return `${dirname(file)} is not there or may not be written`;
  if (/^SQLITE_READONLY/.test(code)) return "it may not be written";
  if (/^SQLITE_NOTADB/.test(code)) return "it is not a Tidegate log, or damaged";
  if (/^SQLITE_CORRUPT/.test(code)) return "it is damaged: the agent mends it when it is started";
  if (/^SQLITE_FULL/.test(code) || code === "ENOSPC") return "no space is left on its disk";
  if (code === "EROFS") return "its disk is read-only";
  if (code === "ENOTDIR" || code === "EEXIST") return `${dirname(file)} is not a directory`;
  if (code === "EACCES" || code === "EPERM") return `${dirname(file)} may not be written`;
  return error instanceof Error ? error.message : String(error);
}
