// The command `keygen`, the same for both programs: writes a new link key and says which key it is.
// Refuses to overwrite; the key itself is never printed.

import { createLinkKey } from "../config/link-key.ts";
import { EXIT, type ExitStatus } from "./exit.ts";

export type CommandResult = {
  readonly status: ExitStatus;
  readonly stdout: string;
  readonly stderr: string;
};

/** `random` gives that many unpredictable bytes; `showKeyId` gives the id under which the link knows the key. */
export function generateKey(
  file: string,
  random: (byteCount: number) => Uint8Array,
  showKeyId: (key: Uint8Array) => string,
): CommandResult {
  const created = createLinkKey(file, random);
  if (!created.ok) {
    return {
      status: EXIT.failed,
      stdout: "",
      stderr: `cannot create link key ${file}: ${created.problem}\n`,
    };
  }
  const stdout = `${file}\nkey id ${showKeyId(created.key.reveal())}\n`;
  return { status: EXIT.ok, stdout, stderr: "" };
}
