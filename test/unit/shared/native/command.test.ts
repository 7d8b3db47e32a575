import { describe, expect, test } from "bun:test";
import { readSync, writeSync } from "node:fs";
import type { Logger } from "../../../../shared/log.ts";
import { type Command, startCommand } from "../../../../shared/native/command.ts";
import { waitFor } from "../../../support/wait.ts";

/** A log at debug that keeps its lines. */
function makeLog() {
  const lines: { program?: string; line?: string }[] = [];
  const log = {
    isLevelEnabled: () => true,
    debug: (names: object) => lines.push(names),
  } as unknown as Logger;
  return { log, lines };
}

async function readAll(command: Command): Promise<string> {
  const buffer = Buffer.alloc(1000);
  let said = "";
  await waitFor("its end", 5000, () => {
    try {
      const count = readSync(command.fd, buffer);
      said += buffer.toString("utf8", 0, count);
      return count === 0;
    } catch {
      return false; // Nothing at this moment.
    }
  });
  return said;
}

describe("startCommand()", () => {
  test("gives the program no environment beyond PATH and LANG, and no shell", async () => {
    const { log } = makeLog();
    const command = startCommand(["env"], "read", log);
    const said = await readAll(command);
    const names = said
      .trim()
      .split("\n")
      .map((line) => line.split("=")[0]);
    expect(names.sort()).toEqual(["LANG", "PATH"]);
    expect(await command.ended).toBe("env has ended with status 0");
    await command.close();
    const echo = startCommand(["echo", "$HOME; `x`"], "read", log);
    expect(await readAll(echo)).toBe("$HOME; `x`\n");
    await echo.close();
  });

  test("logs what it says on standard error, cut and line by line", async () => {
    const { log, lines } = makeLog();
    const script = "printf 'one\\ntwo' >&2; printf '%0500d\\n' 0 >&2; exit 3";
    const command = startCommand(["sh", "-c", script], "write", log);
    expect(await command.ended).toBe("sh has ended with status 3");
    await waitFor("its lines", 5000, () => lines.length === 2);
    expect(lines.map(({ line }) => line?.length)).toEqual([3, 256]);
    await command.close();
  });

  test("ends the program by the end of its input, and kills one that does not care", async () => {
    const { log } = makeLog();
    const cat = startCommand(["cat"], "write", log);
    writeSync(cat.fd, "x");
    await cat.close();
    expect(await cat.ended).toBe("cat has ended with status 0");
    const stubborn = startCommand(
      ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"],
      "read",
      log,
    );
    await waitFor("its first word", 5000, () => {
      try {
        return readSync(stubborn.fd, Buffer.alloc(10)) > 0;
      } catch {
        return false;
      }
    });
    await stubborn.close();
    expect(await stubborn.ended).toBe("sh has ended with SIGKILL");
  });

  test("refuses a program that is not there", () => {
    expect(() => startCommand(["no-such-program"], "write", makeLog().log)).toThrow(
      "cannot start no-such-program: ",
    );
  });
});
