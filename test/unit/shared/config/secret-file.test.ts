import { afterAll, expect, test } from "bun:test";
import { chmodSync, symlinkSync } from "node:fs";
import { inspect } from "node:util";
import pino from "pino";
import { Secret } from "../../../../shared/config/secret.ts";
import { readSecretFile, readSecretLine } from "../../../../shared/config/secret-file.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("secret-file");
afterAll(() => workspace.remove());

function problem(path: string, read: typeof readSecretFile | typeof readSecretLine = readSecretFile): string {
  const result = read(path);
  const text = result.ok ? "no problem" : `${result.problem}; ${result.allowed}`;
  return text.replaceAll(workspace.directory, "DIR");
}

const OWNER = "must be a file of 1 to 65536 bytes that only its owner can read";

test.each([0o644, 0o640, 0o604, 0o610, 0o660, 0o601, 0o677])(
  "readSecretFile() refuses the mode %o and says what mends it",
  (mode) => {
    const path = workspace.write(`mode-${mode.toString(8)}`, "x");
    chmodSync(path, mode);
    expect(problem(path)).toBe(
      `DIR/mode-${mode.toString(8)} has mode 0${mode.toString(8)}, so others can get at it; ` +
        `must be for its owner alone: chmod 600 DIR/mode-${mode.toString(8)}`,
    );
  },
);

test.each([0o600, 0o400, 0o700])("readSecretFile() takes the mode %o", (mode) => {
  const path = workspace.write(`good-${mode.toString(8)}`, "x");
  chmodSync(path, mode);
  expect(problem(path)).toBe("no problem");
});

test("readSecretFile() judges the file behind a symbolic link, not the link", () => {
  symlinkSync(workspace.write("behind", "x"), workspace.path("link-good"));
  symlinkSync(workspace.write("behind-loose", "x", 0o644), workspace.path("link-loose"));
  expect(problem(workspace.path("link-good"))).toBe("no problem");
  expect(problem(workspace.path("link-loose"))).toContain("has mode 0644");
});

test("readSecretFile() refuses what is missing, empty, a directory or too large", () => {
  expect(problem(workspace.path("none"))).toBe(`DIR/none does not exist; ${OWNER}`);
  expect(problem(workspace.write("empty", ""))).toBe(`DIR/empty is empty; ${OWNER}`);
  expect(problem(workspace.directory)).toBe(`DIR is a directory; ${OWNER}`);
  expect(problem(workspace.write("max", "x".repeat(65_536)))).toBe("no problem");
  expect(problem(workspace.write("large", "x".repeat(65_537)))).toBe(
    `DIR/large is over 65536 bytes (65537); ${OWNER}`,
  );
});

test.each([
  ["hunter2", "hunter2"],
  ["hunter2\n", "hunter2"],
  ["hunter2\r\n", "hunter2"],
  [" two words \n", " two words "],
])("readSecretLine() gives of %j the line", (content, line) => {
  const read = readSecretLine(workspace.write("line", content));
  expect(read.ok && read.secret.reveal()).toBe(line);
});

const LINE = "must hold one line of UTF-8 text";
const BAD_LINES: [content: string | Uint8Array, message: string][] = [
  ["\n", `DIR/bad holds an empty line; ${LINE}`],
  ["a\nb\n", `DIR/bad holds several lines or control characters; ${LINE}`],
  ["a\0", `DIR/bad holds several lines or control characters; ${LINE}`],
  [new Uint8Array([0xff, 0xfe]), `DIR/bad is not UTF-8 text; ${LINE}`],
];
test.each(BAD_LINES)("readSecretLine() refuses %j", (content, message) => {
  expect(problem(workspace.write("bad", content), readSecretLine)).toBe(message);
});

test("Secret shows itself to no way of printing", () => {
  const secret = new Secret("hunter2");
  const lines: string[] = [];
  pino({}, { write: (line: string) => lines.push(line) }).info({ secret, deep: [{ secret }] }, "x");
  const shown = [
    String(secret),
    JSON.stringify({ secret }),
    inspect({ secret }),
    Bun.inspect(secret),
    ...lines,
  ];
  shown.push(inspect(secret, { showHidden: true, depth: 9 }), JSON.stringify(Object.entries(secret)));
  expect(shown.filter((text) => text.includes("hunter2"))).toEqual([]);
  expect(JSON.stringify({ secret })).toBe('{"secret":"[secret]"}');
  expect(`${secret} ${inspect(secret)}`).toBe("[secret] [secret]");
  expect(secret.reveal()).toBe("hunter2");
});
