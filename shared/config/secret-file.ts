// Reads a file that holds a secret: a link key, a private key, a password, a token. Refuses what is missing,
// unreadable, empty, over 64 KiB or not a regular file, and what anyone but its owner may touch.

import { readBoundedFile } from "./config-file.ts";
import type { Problem } from "./fault.ts";
import { Secret } from "./secret.ts";

export const SECRET_FILE_BYTES_MAX = 65_536;

const OTHERS_MODE_BITS = 0o077;

export type SecretRead<T> =
  | { readonly ok: true; readonly secret: Secret<T> }
  | ({ readonly ok: false } & Problem);

/** The bytes of a secret file, or why it can't be used and what mends it. */
export function readSecretFile(path: string): SecretRead<Uint8Array> {
  const read = readBoundedFile(path, SECRET_FILE_BYTES_MAX);
  const allowed = `must be a file of 1 to ${SECRET_FILE_BYTES_MAX} bytes that only its owner can read`;
  if (!read.ok) return { ok: false, problem: `${path} ${read.problem}`, allowed };
  if ((read.mode & OTHERS_MODE_BITS) !== 0) {
    const mode = read.mode.toString(8).padStart(4, "0");
    return {
      ok: false,
      problem: `${path} has mode ${mode}, so others can get at it`,
      allowed: `must be for its owner alone: chmod 600 ${path}`,
    };
  }
  if (read.bytes.length === 0) return { ok: false, problem: `${path} is empty`, allowed };
  return { ok: true, secret: new Secret(read.bytes) };
}

/** The text of a password or token file: one line, its trailing newline dropped. */
export function readSecretLine(path: string): SecretRead<string> {
  const read = readSecretFile(path);
  if (!read.ok) return read;
  const allowed = "must hold one line of UTF-8 text";
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(read.secret.reveal());
  } catch {
    return { ok: false, problem: `${path} is not UTF-8 text`, allowed };
  }
  const line = text.replace(/\r?\n$/, "");
  if (line === "") return { ok: false, problem: `${path} holds an empty line`, allowed };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a control character here is a slip of the editor.
  if (/[\u0000-\u001f\u007f]/.test(line)) {
    return { ok: false, problem: `${path} holds several lines or control characters`, allowed };
  }
  return { ok: true, secret: new Secret(line) };
}
