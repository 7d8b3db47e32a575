// Reads a command line against a table of commands. Pure: main.ts prints and exits.
// Refuses unknown commands and options (naming the nearest known one), values missing or left over, and repeats.

import { parseArgs } from "node:util";
import { findNearestName } from "../config/nearest-name.ts";
import { quoteText } from "../config/show-value.ts";
import type { CommandSpec, CommandTable, OptionSpec } from "./command.ts";
import { formatCommandHelp, formatProgramHelp } from "./help.ts";

/** Values by the name of the option; a switch that was given is "true". */
export type CommandValues = { readonly [option: string]: string | undefined };

export type CommandLine =
  | { readonly kind: "command"; readonly name: string; readonly values: CommandValues }
  /** For standard output, with exit status 0. */
  | { readonly kind: "print"; readonly text: string }
  /** One line for standard error, with exit status 2. */
  | { readonly kind: "error"; readonly message: string };

/** `argv` begins after the program's own name. */
export function parseCommandLine(argv: readonly string[], table: CommandTable): CommandLine {
  const [first, ...rest] = argv;
  if (first === undefined) return fail(table, undefined, "no command given");
  if (first === "--help" || first === "-h") return { kind: "print", text: formatProgramHelp(table) };
  if (first === "--version") return { kind: "print", text: `${table.version}\n` };
  const command = table.commands.find(({ name }) => name === first);
  if (command !== undefined) return parseCommand(rest, table, command);
  const what = first.startsWith("-") ? "option" : "command";
  if (table.commands.some(({ options }) => options.some(({ name }) => isOption(first, name)))) {
    return fail(table, undefined, `${first.split("=", 1)[0]} must stand after a command`);
  }
  const known = what === "option" ? ["--help", "--version"] : table.commands.map(({ name }) => name);
  return fail(table, undefined, `unknown ${what} ${quoteText(first)}${suggest(first, known)}`);
}

function parseCommand(argv: readonly string[], table: CommandTable, command: CommandSpec): CommandLine {
  const values: { [option: string]: string } = {};
  const positional = command.options.find((option) => option.positional);
  for (const token of tokenize(argv, command)) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      if (positional === undefined || Object.hasOwn(values, positional.name)) {
        return fail(table, command, `unexpected argument ${quoteText(token.value)}`);
      }
      values[positional.name] = token.value;
      continue;
    }
    if (token.name === "help" || token.rawName === "-h") {
      return { kind: "print", text: formatCommandHelp(table, command) };
    }
    if (token.rawName === "--version") return { kind: "print", text: `${table.version}\n` };
    const option = command.options.find(({ name }) => `--${name}` === token.rawName);
    if (option === undefined) return fail(table, command, describeUnknown(token.rawName, command));
    const problem = checkValue(option, token, values);
    if (problem !== undefined) return fail(table, command, problem);
    values[option.name] = token.value ?? "true";
  }
  const missing = command.options.find(({ name, required }) => required && !values[name]);
  if (missing === undefined) return { kind: "command", name: command.name, values };
  const wanted = missing.positional ? missing.value : `--${missing.name} ${missing.value ?? ""}`.trimEnd();
  return fail(table, command, `${wanted} is missing`);
}

function isOption(argument: string, name: string): boolean {
  return argument === `--${name}` || argument.startsWith(`--${name}=`);
}

function tokenize(argv: readonly string[], command: CommandSpec) {
  const options = Object.fromEntries(
    command.options.map(({ name, value }) => [
      name,
      { type: value === undefined ? ("boolean" as const) : ("string" as const) },
    ]),
  );
  // Not strict: its errors are its own; ours name the nearest option and where to read on.
  return parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

function checkValue(
  option: OptionSpec,
  token: { readonly value?: string | undefined; readonly inlineValue?: boolean | undefined },
  values: CommandValues,
): string | undefined {
  const name = `--${option.name}`;
  if (Object.hasOwn(values, option.name)) return `${name} is given twice`;
  if (option.value === undefined) return token.value === undefined ? undefined : `${name} takes no value`;
  const isNextOption = token.inlineValue !== true && token.value?.startsWith("-") === true;
  return token.value === undefined || token.value === "" || isNextOption
    ? `${name} has no value, must be ${name} ${option.value}`
    : undefined;
}

function describeUnknown(rawName: string, command: CommandSpec): string {
  const known = [...command.options.map(({ name }) => `--${name}`), "--help", "--version"];
  return `unknown option ${quoteText(rawName)}${suggest(rawName, known)}`;
}

function suggest(name: string, known: readonly string[]): string {
  const nearest = findNearestName(name, known);
  return nearest === undefined ? "" : `, did you mean ${nearest}?`;
}

function fail(table: CommandTable, command: CommandSpec | undefined, problem: string): CommandLine {
  const where = command === undefined ? table.program : `${table.program} ${command.name}`;
  return { kind: "error", message: `${where}: ${problem}; see ${where} --help` };
}
