// The habits of the house as functions: each takes one file and returns its complaints, `file:line: what`.
import { findLines, type SourceFile } from "./files.ts";
import { blankComments } from "./imports.ts";

const LINES_MAX = 400;
const VAGUE_NAMES = /(^|[/.-])(utils?|helpers?|common|manager|misc)([/.-]|$)/;
// Put together from parts, so that this file passes its own test.
const MACHINE_PATHS = new RegExp(`(^|[\\s"'\`(=:])/(${["work", "home", "root", "Users"].join("|")})/[\\w.]`);
const REGISTRIES = ["registry npmjs", "npmjs org", "yarnpkg com", "pypi org", "golang org", "deb debian"];
const REGISTRY_HOSTS = new RegExp(REGISTRIES.map((words) => words.replace(" ", "\\.")).join("|"));

/** No default export: a thing has one name, everywhere. */
export function checkDefaultExport(file: SourceFile): string[] {
  return findLines(blank(file), /^\s*export\s+default\b|\bas\s+default\b/, "has a default export");
}

/** Only main.ts touches the process; the rest is handed what it needs. Types may be imported anywhere. */
export function checkProcess(file: SourceFile): string[] {
  if (file.path.endsWith("/main.ts")) return [];
  const use =
    /(^|[^.\w$"'`])process(\.|\[|\?\.)|globalThis\.process|^import (?!type\b).*["'](node:)?process["']/;
  return findLines(blank(file), use, "touches process; only main.ts may");
}

/** A file that long has more than one job. */
export function checkLength(file: SourceFile): string[] {
  const count = file.text.split("\n").length - 1;
  return count <= LINES_MAX ? [] : [`${file.path}:${count}: has ${count} lines; the limit is ${LINES_MAX}`];
}

/** A file opens with what it does and what it refuses. */
export function checkOpening(file: SourceFile): string[] {
  const start = file.text.replace(/^#!.*\n/, "");
  return /^(\/\/ \S|\/\*)/.test(start) ? [] : [`${file.path}:1: does not open with a comment`];
}

/** Names that say nothing about the job. */
export function checkName(file: SourceFile): string[] {
  const complaints = VAGUE_NAMES.test(file.path) ? [`${file.path}:1: has a name that says nothing`] : [];
  if (/\.(ts|mjs)$/.test(file.path) && /[A-Z_]/.test(file.path))
    complaints.push(`${file.path}:1: is not named in kebab-case`);
  return complaints;
}

/** The repository speaks of the product, not of the machine it was written on. */
export function checkMachine(file: SourceFile): string[] {
  return [
    ...findLines(file, MACHINE_PATHS, "names a path of one machine"),
    ...findLines(file, REGISTRY_HOSTS, "names the host of a package registry"),
  ];
}

/** A message may have its payload on its prototype, which a spread leaves behind: changeMessage(). */
export function checkMessageSpread(file: SourceFile): string[] {
  const spread = /\.\.\.(\w+\??\.)*(message|publish)\b(?!\??\.)/;
  return findLines(blank(file), spread, "spreads a message; changeMessage() keeps all of it");
}

function blank(file: SourceFile): SourceFile {
  return { path: file.path, text: blankComments(file.text) };
}
