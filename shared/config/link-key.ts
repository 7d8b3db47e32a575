// The key file of a link: one line `tidegate-key-1:BASE64` (32 bytes), lines beginning with "#", empty lines.
// Refuses anything else, whatever secret-file.ts refuses, and to overwrite a file when it writes a new key.

import { closeSync, constants, fchmodSync, fsyncSync, openSync, unlinkSync, writeFileSync } from "node:fs";
import { explainFileError } from "./config-file.ts";
import { Secret } from "./secret.ts";
import { readSecretFile, type SecretRead } from "./secret-file.ts";

export const LINK_KEY_FILE_PREFIX = "tidegate-key-1:";

const KEY_BYTES = 32;
const ALLOWED = `must hold one line "${LINK_KEY_FILE_PREFIX}" and 32 bytes in base64, as keygen writes it`;

export function readLinkKey(path: string): SecretRead<Uint8Array> {
  const read = readSecretFile(path);
  if (!read.ok) return read;
  const decoded = decodeLinkKey(new TextDecoder().decode(read.secret.reveal()));
  if (typeof decoded === "string") return { ok: false, problem: `${path} ${decoded}`, allowed: ALLOWED };
  return { ok: true, secret: new Secret(decoded) };
}

/** The 32 bytes, or what is wrong with the text; never a part of the text itself. */
export function decodeLinkKey(text: string): Uint8Array | string {
  const lines = text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#"));
  const [line] = lines;
  if (line === undefined) return "holds no key";
  if (lines.length > 1) return `holds ${lines.length} lines besides comments`;
  if (!line.startsWith(LINK_KEY_FILE_PREFIX)) return `does not begin with "${LINK_KEY_FILE_PREFIX}"`;
  const base64 = line.slice(LINK_KEY_FILE_PREFIX.length);
  const bytes = Buffer.from(base64, "base64");
  // Buffer skips what is not base64; only the canonical form is the same after a round trip.
  if (bytes.toString("base64") !== base64) return "holds a key that is not canonical base64";
  if (bytes.length !== KEY_BYTES) return `holds a key of ${bytes.length} bytes`;
  return new Uint8Array(bytes);
}

export function encodeLinkKey(key: Uint8Array): string {
  return [
    "# Tidegate link key: the same file on both sides of the diode. Keep it secret, keep its mode 0600.",
    `${LINK_KEY_FILE_PREFIX}${Buffer.from(key).toString("base64")}`,
    "",
  ].join("\n");
}

/** Writes a new key file, mode 0600. `random` gives that many unpredictable bytes. A failed run leaves no file. */
export function createLinkKey(
  path: string,
  random: (byteCount: number) => Uint8Array,
):
  | { readonly ok: true; readonly key: Secret<Uint8Array> }
  | { readonly ok: false; readonly problem: string } {
  const key = random(KEY_BYTES);
  if (key.length !== KEY_BYTES) return { ok: false, problem: `got ${key.length} random bytes` };
  let descriptor: number;
  try {
    // O_EXCL refuses an existing file and a symbolic link in one step: nothing can slip in between.
    descriptor = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  } catch (error) {
    return { ok: false, problem: explainCreateError(error) };
  }
  try {
    fchmodSync(descriptor, 0o600);
    writeFileSync(descriptor, encodeLinkKey(key));
    fsyncSync(descriptor);
    return { ok: true, key: new Secret(key) };
  } catch (error) {
    unlinkSync(path);
    return { ok: false, problem: explainCreateError(error) };
  } finally {
    closeSync(descriptor);
  }
}

function explainCreateError(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "EEXIST") return "exists already, and a key in use must not be overwritten";
  if (code === "ENOENT") return "is in a directory that does not exist";
  if (code === "EACCES" || code === "EPERM") return "may not be written by this user";
  if (code === "EROFS") return "is on a read-only file system";
  if (code === "ENOSPC" || code === "EDQUOT") return "does not fit: the disk is full";
  return explainFileError(error).replace("be read", "be written");
}
