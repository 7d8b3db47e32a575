// Parses TOML 1.0 into plain values and the position of each key. Never throws: a syntax error is one fault
// with its position. Refuses nesting deeper than any real configuration (a recursion would run out of stack).

import { parse } from "@iarna/toml";
import { readConfigFile } from "./config-file.ts";
import type { Fault } from "./fault.ts";
import { createLocator, type Locate } from "./toml-locator.ts";

/** A table, list, string, number, bigint (beyond 2^53), boolean or Date. Tables are plain objects. */
export type TomlTable = { readonly [key: string]: unknown };

export type TomlDocument = { readonly file: string; readonly table: TomlTable; readonly locate: Locate };

export type ParsedToml =
  | { readonly ok: true; readonly document: TomlDocument }
  | { readonly ok: false; readonly fault: Fault };

const NESTING_MAX = 32;
const SYNTAX_KEY = "syntax";

export function readToml(file: string): ParsedToml {
  const read = readConfigFile(file);
  return read.ok ? parseToml(file, read.text) : read;
}

export function parseToml(file: string, textRead: string): ParsedToml {
  // @iarna/toml takes no comment that ends with CRLF. TOML lets a parser take either newline for the other.
  const text = textRead.replaceAll("\r\n", "\n");
  try {
    // The locator goes first: its errors point at the culprit, those of the value parser often behind it.
    const locate = createLocator(text);
    const table = toPlainTable(parse(text), 0);
    if (table === undefined) {
      return { ok: false, fault: syntaxFault(file, 1, 1, `nests deeper than ${NESTING_MAX} levels`) };
    }
    return { ok: true, document: { file, table, locate } };
  } catch (error) {
    return { ok: false, fault: explainSyntaxError(file, error) };
  }
}

function explainSyntaxError(file: string, error: unknown): Fault {
  if (!(error instanceof Error)) return syntaxFault(file, 1, 1, "cannot be parsed");
  if (error instanceof RangeError) return syntaxFault(file, 1, 1, "nests too deeply or has too long a value");
  // toml-eslint-parser counts lines from 1 and columns from 0; @iarna/toml counts both from 0.
  if ("lineNumber" in error && "column" in error) {
    return syntaxFault(file, Number(error.lineNumber), Number(error.column) + 1, error.message);
  }
  if ("line" in error && "col" in error) {
    const message = error.message.split("\n", 1)[0]?.replace(/ at row \d+, col \d+, pos \d+:$/, "");
    return syntaxFault(file, Number(error.line) + 1, Number(error.col) + 1, message ?? "");
  }
  return syntaxFault(file, 1, 1, "cannot be parsed");
}

function syntaxFault(file: string, line: number, column: number, message: string): Fault {
  const problem = `is wrong here: ${lowerFirst(message)}`;
  return { file, line, column, key: SYNTAX_KEY, problem, allowed: "must be TOML 1.0" };
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

// @iarna/toml marks its tables and lists with symbols and boxes large integers; the schema sees plain values.
// Object.fromEntries defines own properties, so a key "__proto__" stays a key and is refused as unknown.
function toPlainTable(table: object, depth: number): TomlTable | undefined {
  const entries: [string, unknown][] = [];
  for (const [key, value] of Object.entries(table)) {
    const plain = toPlain(value, depth + 1);
    if (plain === undefined) return undefined;
    entries.push([key, plain]);
  }
  return Object.fromEntries(entries);
}

function toPlain(value: unknown, depth: number): unknown {
  if (depth > NESTING_MAX) return undefined;
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  if (Array.isArray(value)) {
    const list = value.map((element) => toPlain(element, depth + 1));
    return list.includes(undefined) ? undefined : list;
  }
  // A table may have a key "valueOf", so only what is not a plain object is asked for its number.
  return Object.getPrototypeOf(value) === Object.prototype ? toPlainTable(value, depth) : value.valueOf();
}
