// The texts of `--help`, for the program and for each of its commands.

import type { CommandSpec, CommandTable, OptionSpec } from "./command.ts";

const ALWAYS: readonly OptionSpec[] = [
  { name: "help", summary: "Print this help" },
  { name: "version", summary: "Print the version" },
];

export function formatProgramHelp(table: CommandTable): string {
  return [
    table.summary,
    "",
    `Usage: ${table.program} COMMAND [OPTION]...`,
    "",
    "Commands:",
    ...alignColumns(table.commands.map(({ name, summary }) => [name, summary])),
    "",
    "Options:",
    ...alignColumns(ALWAYS.map(describeOption)),
    "",
    `${table.program} COMMAND --help says more about a command.`,
    "Exit status: 0 fine, 1 failed while running, 2 bad arguments, 78 bad configuration.",
    "",
  ].join("\n");
}

export function formatCommandHelp(table: CommandTable, command: CommandSpec): string {
  const usage = command.options.map(formatUsage).join(" ");
  return [
    `${command.summary}.`,
    "",
    `Usage: ${table.program} ${command.name}${usage === "" ? "" : ` ${usage}`}`,
    "",
    "Options:",
    ...alignColumns([...command.options, ...ALWAYS].map(describeOption)),
    "",
  ].join("\n");
}

function formatUsage(option: OptionSpec): string {
  if (option.positional) return option.required ? (option.value ?? "") : `[${option.value}]`;
  const text = formatOption(option);
  return option.required ? text : `[${text}]`;
}

function describeOption(option: OptionSpec): [string, string] {
  const short = option.name === "help" ? "-h, " : "";
  return [`${short}${formatOption(option)}`, option.summary];
}

function formatOption(option: OptionSpec): string {
  return option.value === undefined ? `--${option.name}` : `--${option.name} ${option.value}`;
}

function alignColumns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
