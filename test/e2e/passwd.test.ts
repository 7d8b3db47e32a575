// tidegate-send passwd at a terminal, typed as a person would, and in a pipe.
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { findProgram } from "../support/agents.ts";
import { requireTools } from "../support/requirements.ts";
import { Workspace } from "../support/workspace.ts";

const TERMINAL = fileURLToPath(new URL("../support/terminal.py", import.meta.url));
const workspace = new Workspace("passwd");
afterAll(() => workspace.remove());
let files = 0;

type Typed = { output: string; status: number; shown: boolean[]; after: boolean; left: number };

/** Types at `passwd --user anna` with a file of its own. */
function type(steps: [wanted: string, keys: string | null][], file: string): Typed {
  const program = [findProgram("send"), "passwd", "--file", file, "--user", "anna"];
  const run = Bun.spawnSync(["/usr/bin/python3", TERMINAL, JSON.stringify(steps), ...program]);
  return JSON.parse(run.stdout.toString());
}

const newFile = () => workspace.path(`users-${files++}`);
const readHash = (file: string) => readFileSync(file, "utf8").trim().slice("anna:".length);

requireTools(["/usr/bin/python3"])("passwd at a terminal", () => {
  test("asks twice, shows nothing of it, and sets what was typed", async () => {
    const file = newFile();
    // Typed wrongly, mended with the backspace; an arrow key; typed anew after Ctrl-U.
    const typed = type(
      [
        ["Password: ", "gehiem\u007f\u007f\u007feim\u001b[D\r"],
        ["Once more: ", "wrong\u0015geheim\r"],
        ["user anna is set", null],
      ],
      file,
    );
    expect(typed).toMatchObject({ status: 0, left: 0, after: true });
    expect(typed.shown.slice(0, 2)).toEqual([false, false]);
    expect(typed.output).not.toMatch(/geh|wrong/);
    expect(await Bun.password.verify("geheim", readHash(file))).toBe(true);
  });

  test("takes what is pasted for both questions at once", async () => {
    const file = newFile();
    const typed = type(
      [
        ["Password: ", "pasted\rpasted\r"],
        ["is set", null],
      ],
      file,
    );
    expect(typed.status).toBe(0);
    expect(await Bun.password.verify("pasted", readHash(file))).toBe(true);
  });

  test.each([
    ["two that differ", "one\r", "two\r", "the two are different"],
    ["Ctrl-C at the first question", "one\u0003", undefined, "not typed to its end"],
    ["Ctrl-C at the second question", "one\r", "on\u0003", "not typed to its end"],
    ["Ctrl-D", "\u0004", undefined, "not typed to its end"],
    ["nothing", "\r", "\r", "has 0 bytes"],
  ])("changes nothing after %s, and leaves the terminal as it was", (_, first, second, why) => {
    const file = newFile();
    const steps: [string, string | null][] = [["Password: ", first]];
    if (second !== undefined) steps.push(["Once more: ", second]);
    const typed = type(steps, file);
    expect(typed).toMatchObject({ status: 1, left: 0, after: true });
    expect(typed.output).toContain(why);
    expect(existsSync(file)).toBe(false);
  });

  test("leaves the terminal as it was when it is killed while somebody types", () => {
    const typed = type([["Password: ", "SIGTERM"]], newFile());
    expect(typed).toMatchObject({ status: 1, shown: [false], after: true });
  });
});

describe("passwd in a pipe", () => {
  test.each([
    ["with an end of line", "geheim\n"],
    ["without", "geheim"],
    ["with one of Windows", "geheim\r\nmore"],
  ])("takes the first line, %s", async (_, text) => {
    const file = newFile();
    const run = Bun.spawnSync([findProgram("send"), "passwd", "--file", file, "--user", "anna"], {
      stdin: Buffer.from(text),
    });
    expect(run.exitCode).toBe(0);
    expect(run.stderr.toString()).toBe("");
    expect(await Bun.password.verify("geheim", readHash(file))).toBe(true);
  });
});
