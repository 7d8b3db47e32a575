import { expect, test } from "bun:test";
import { CONFIG_OPTION, type CommandTable, KEYGEN_COMMAND } from "../../../../shared/cli/command.ts";
import { EXIT } from "../../../../shared/cli/exit.ts";
import { parseCommandLine } from "../../../../shared/cli/parse.ts";

const TABLE: CommandTable = {
  program: "tidegate-send",
  summary: "The plant side.",
  version: "tidegate-send 1.2.3",
  commands: [
    { name: "run", summary: "Run the agent", options: [CONFIG_OPTION] },
    { name: "status", summary: "Ask it", options: [CONFIG_OPTION, { name: "json", summary: "As JSON" }] },
    KEYGEN_COMMAND,
  ],
};

function parse(line: string) {
  return parseCommandLine(line === "" ? [] : line.split(" "), TABLE);
}

const GOOD: [line: string, name: string, values: Record<string, string>][] = [
  ["run --config a.toml", "run", { config: "a.toml" }],
  ["run --config=a.toml", "run", { config: "a.toml" }],
  ["run --config=-a.toml", "run", { config: "-a.toml" }],
  ["status --json --config a", "status", { config: "a", json: "true" }],
  ["keygen link.key", "keygen", { out: "link.key" }],
  ["keygen --out link.key", "keygen", { out: "link.key" }],
  ["keygen -- -x", "keygen", { out: "-x" }],
];
test.each(GOOD)("parseCommandLine() takes %j", (line, name, values) => {
  expect(parse(line)).toEqual({ kind: "command", name, values });
});

const RUN = "tidegate-send run";
const BAD: [line: string, message: string][] = [
  ["", "tidegate-send: no command given; see tidegate-send --help"],
  ["rnu", 'tidegate-send: unknown command "rnu", did you mean run?; see tidegate-send --help'],
  ["replay", 'tidegate-send: unknown command "replay"; see tidegate-send --help'],
  ["--hlep", 'tidegate-send: unknown option "--hlep", did you mean --help?; see tidegate-send --help'],
  ["--config a run", "tidegate-send: --config must stand after a command; see tidegate-send --help"],
  ["run", `${RUN}: --config FILE is missing; see ${RUN} --help`],
  ["run --config", `${RUN}: --config has no value, must be --config FILE; see ${RUN} --help`],
  ["run --config=", `${RUN}: --config has no value, must be --config FILE; see ${RUN} --help`],
  ["run --config --json", `${RUN}: --config has no value, must be --config FILE; see ${RUN} --help`],
  ["run --confg a", `${RUN}: unknown option "--confg", did you mean --config?; see ${RUN} --help`],
  ["run -c a", `${RUN}: unknown option "-c"; see ${RUN} --help`],
  ["run --no-config", `${RUN}: unknown option "--no-config", did you mean --config?; see ${RUN} --help`],
  ["run --__proto__", `${RUN}: unknown option "--__proto__"; see ${RUN} --help`],
  ["run --config a --config b", `${RUN}: --config is given twice; see ${RUN} --help`],
  ["run a.toml", `${RUN}: unexpected argument "a.toml"; see ${RUN} --help`],
  [
    "status --config a --json=1",
    "tidegate-send status: --json takes no value; see tidegate-send status --help",
  ],
  ["keygen", "tidegate-send keygen: FILE is missing; see tidegate-send keygen --help"],
  ["keygen a b", 'tidegate-send keygen: unexpected argument "b"; see tidegate-send keygen --help'],
];
test.each(BAD)("parseCommandLine() refuses %j in one line", (line, message) => {
  expect(parse(line)).toEqual({ kind: "error", message });
});

test.each(["--version", "run --version", "run --config a --version"])(
  "parseCommandLine() prints the version for %j",
  (line) => {
    expect(parse(line)).toEqual({ kind: "print", text: "tidegate-send 1.2.3\n" });
  },
);

test("parseCommandLine() prints the help of the program with its commands and exit statuses", () => {
  const help = parse("--help");
  expect(help).toEqual(parse("-h"));
  const text = help.kind === "print" ? help.text : "";
  expect(text).toContain("Usage: tidegate-send COMMAND [OPTION]...\n");
  expect(text).toContain("  keygen  Write a new link key to FILE");
  expect(text).toContain(
    "Exit status: 0 fine, 1 failed while running, 2 bad arguments, 78 bad configuration.\n",
  );
  expect(text).not.toContain("replay");
});

test("parseCommandLine() prints the help of a command", () => {
  const help = parse("status -h");
  expect(help).toEqual(parse("status --config a --help"));
  expect(help.kind === "print" ? help.text : "").toBe(`Ask it.

Usage: tidegate-send status --config FILE [--json]

Options:
  --config FILE  The configuration (required)
  --json         As JSON
  -h, --help     Print this help
  --version      Print the version
`);
  const keygen = parse("keygen --help");
  expect(keygen.kind === "print" ? keygen.text : "").toContain("Usage: tidegate-send keygen FILE\n");
});

test("EXIT holds the statuses that scripts rely on", () => {
  expect(EXIT).toEqual({ ok: 0, failed: 1, usage: 2, config: 78 });
});
