// Reads a configuration file as text. Refuses what is missing, unreadable, not a regular file (a FIFO would
// block for ever), over 1 MiB, or not UTF-8. A byte order mark is dropped: editors on Windows write one.

import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { Fault } from "./fault.ts";
import { FILE_KEY } from "./key-path.ts";

export const CONFIG_FILE_BYTES_MAX = 1_048_576;

export type FileBytes =
  | { readonly ok: true; readonly bytes: Uint8Array; readonly mode: number }
  | { readonly ok: false; readonly problem: string };

/** The text of the file, or the fault that stands for the whole file. */
export function readConfigFile(
  file: string,
): { readonly ok: true; readonly text: string } | { readonly ok: false; readonly fault: Fault } {
  const read = readBoundedFile(file, CONFIG_FILE_BYTES_MAX);
  if (!read.ok) {
    const allowed = `must be a readable TOML file of at most ${CONFIG_FILE_BYTES_MAX} bytes`;
    return { ok: false, fault: { file, line: 1, column: 1, key: FILE_KEY, problem: read.problem, allowed } };
  }
  try {
    return { ok: true, text: new TextDecoder("utf-8", { fatal: true }).decode(read.bytes) };
  } catch {
    const line = findLineNotUtf8(read.bytes);
    const problem = "is not UTF-8 text";
    return {
      ok: false,
      fault: { file, line, column: 1, key: FILE_KEY, problem, allowed: "must be TOML, saved as UTF-8" },
    };
  }
}

/** The bytes and permission bits of a regular file, taken from one open descriptor so that both belong together. */
export function readBoundedFile(path: string, bytesMax: number): FileBytes {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(descriptor);
    if (stat.isDirectory()) return { ok: false, problem: "is a directory" };
    if (!stat.isFile()) return { ok: false, problem: "is not a regular file" };
    // One byte more than allowed tells "too large" even for files whose size the system doesn't know.
    const buffer = new Uint8Array(Math.min(stat.size, bytesMax) + 1);
    let length = 0;
    while (length < buffer.length) {
      const count = readSync(descriptor, buffer, length, buffer.length - length, null);
      if (count === 0) break;
      length += count;
    }
    if (length > bytesMax || stat.size > bytesMax)
      return { ok: false, problem: `is over ${bytesMax} bytes (${Math.max(stat.size, length)})` };
    if (length > stat.size) return { ok: false, problem: "changed while it was read" };
    return { ok: true, bytes: buffer.subarray(0, length), mode: stat.mode & 0o7777 };
  } catch (error) {
    return { ok: false, problem: explainFileError(error) };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** The reason of a failed file operation, in words. */
export function explainFileError(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ENOENT") return "does not exist";
  if (code === "EACCES" || code === "EPERM") return "may not be read by this user";
  if (code === "ENOTDIR") return "has a path with a file where a directory should be";
  if (code === "ELOOP") return "is a loop of symbolic links";
  if (code === "ENAMETOOLONG") return "has too long a path";
  return `cannot be read${code === "" ? "" : ` (${code})`}`;
}

function findLineNotUtf8(bytes: Uint8Array): number {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 1;
  for (let start = 0; start <= bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    try {
      decoder.decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    start = end + 1;
  }
  return 1;
}
