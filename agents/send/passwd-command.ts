// The command `passwd`: sets or removes a user of a listening source. The file is replaced as a whole, so that a running
// agent never reads half of it. The password comes on standard input and is never an argument, where others could read it.
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import type { CommandSpec } from "../../shared/cli/command.ts";
import { EXIT } from "../../shared/cli/exit.ts";
import type { CommandResult } from "../../shared/cli/keygen.ts";
import type { CommandValues } from "../../shared/cli/parse.ts";
import { readUsers } from "./ingress/listen/users.ts";

const NAME_CHARACTERS_MAX = 1024;
/** bcrypt takes no more; argon2 would, but a file may hold both. */
const PASSWORD_BYTES_MAX = 72;

export const PASSWD_COMMAND: CommandSpec = {
  name: "passwd",
  summary: "Set the password of a user of a listening source, read from standard input",
  options: [
    {
      name: "file",
      value: "FILE",
      summary: "The users_file of the source; it is made if need be",
      required: true,
    },
    { name: "user", value: "NAME", summary: "The user", required: true },
    { name: "algorithm", value: "NAME", summary: "argon2id (unless given) or bcrypt" },
    { name: "delete", summary: "Remove the user instead" },
  ],
};

/** Why the values are no good, before anybody types a password. */
export function checkPasswd({ user = "", algorithm = "argon2id" }: CommandValues): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (user.length > NAME_CHARACTERS_MAX || /[\u0000-\u001f\u007f:]/.test(user) || user.startsWith("#"))
    return 'cannot set a password: --user must have no ":", no control character and not begin with "#"';
  if (algorithm === "argon2id" || algorithm === "bcrypt") return undefined;
  return `cannot set a password: --algorithm is ${JSON.stringify(algorithm)}, must be argon2id or bcrypt`;
}

/** Writes the file anew with the user in it, or without. */
export async function setPassword(values: CommandValues, password: string): Promise<CommandResult> {
  const { file = "", user = "", algorithm = "argon2id" } = values;
  const users = new Map<string, string>();
  if (existsSync(file)) {
    const read = readUsers(file);
    if (!read.ok) return fail(`cannot change ${file}: ${read.problem}; ${read.allowed}`);
    for (const [name, hash] of read.users) users.set(name, hash);
  } else if (values.delete !== undefined) return fail(`cannot change ${file}: it does not exist`);
  if (values.delete !== undefined) {
    if (!users.delete(user)) return fail(`cannot remove ${user}: is not in ${file}`);
  } else {
    const bytes = Buffer.byteLength(password);
    if (bytes === 0 || bytes > PASSWORD_BYTES_MAX)
      return fail(`cannot set the password: has ${bytes} bytes, must have 1 to ${PASSWORD_BYTES_MAX}`);
    users.set(user, await Bun.password.hash(password, algorithm === "bcrypt" ? "bcrypt" : "argon2id"));
  }
  try {
    replaceFile(file, [...users].map(([name, hash]) => `${name}:${hash}\n`).join(""));
  } catch (error) {
    return fail(`cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const what = values.delete === undefined ? "is set" : "is removed";
  return { status: EXIT.ok, stdout: `user ${user} ${what} in ${file}\n`, stderr: "" };
}

/** Whole and synced, or as it was. */
function replaceFile(file: string, text: string): void {
  const next = `${file}.new`;
  rmSync(next, { force: true });
  const fd = openSync(next, "wx", 0o600);
  try {
    // An empty file would be a fault; a line of comment says that it is meant to have no users.
    writeSync(fd, text === "" ? "# no users\n" : text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(next, file);
}

function fail(sentence: string): CommandResult {
  return { status: EXIT.failed, stdout: "", stderr: `${sentence}\n` };
}
