// Turns what a zod schema found into faults a person can act on: the key as it is written, what the value is, and
// (from the schema's own message) what it must be. Refuses to say "invalid input".

import type * as z from "zod";
import type { Fault } from "./fault.ts";
import { formatKeyPath, type KeyPath } from "./key-path.ts";
import { findNearestName } from "./nearest-name.ts";
import { describeValue } from "./show-value.ts";
import type { TomlDocument } from "./toml.ts";

type Issue = z.core.$ZodIssue;

/** A path of the document that the schema refused: nothing under it can be relied on. */
export type Refusal = { readonly path: KeyPath; readonly fault: Fault };

/** Of one table. One issue holds all of them, however many. */
const UNKNOWN_KEYS_MAX = 100;

export function explainIssues(document: TomlDocument, issues: readonly Issue[]): Refusal[] {
  const refusals: Refusal[] = [];
  const seen = new Set<string>();
  for (const refusal of issues.flatMap((issue) => explainIssue(document, issue, []))) {
    // A value that breaks several rules of its schema is one fault: the first rule tells all of them.
    const key = JSON.stringify(refusal.path);
    if (seen.has(key)) continue;
    seen.add(key);
    refusals.push(refusal);
  }
  return refusals;
}

export function makeFault(document: TomlDocument, path: KeyPath, problem: string, allowed?: string): Fault {
  const fault = { file: document.file, ...document.locate(path), key: formatKeyPath(path), problem };
  return allowed === undefined ? fault : { ...fault, allowed };
}

/** The value at a path of the document as it was written, or undefined. */
export function readValue(document: TomlDocument, path: KeyPath): unknown {
  let value: unknown = document.table;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

function explainIssue(document: TomlDocument, issue: Issue, parent: KeyPath): Refusal[] {
  const path = [...parent, ...toKeyPath(issue.path)];
  if (issue.code === "unrecognized_keys") {
    const known = issue.message.split(", ");
    return issue.keys
      .slice(0, UNKNOWN_KEYS_MAX)
      .map((key) => explainUnknownKey(document, [...path, key], key, known));
  }
  if (issue.code === "invalid_union" && issue.discriminator === undefined) {
    const branch = issue.errors.find((issues) => !issues.some(isWrongKind));
    if (branch !== undefined) return branch.flatMap((inner) => explainIssue(document, inner, path));
  }
  const value = readValue(document, path);
  const problem = (issue.code === "custom" ? issue.params?.problem : undefined) ?? describeValue(value);
  return [{ path, fault: makeFault(document, path, String(problem), suggestWord(issue, value)) }];
}

// The branch of a union that was meant is the one whose outermost kind (text, list, table) fits.
function isWrongKind(issue: Issue): boolean {
  return issue.code === "invalid_type" && issue.path.length === 0;
}

function explainUnknownKey(
  document: TomlDocument,
  path: KeyPath,
  key: string,
  known: readonly string[],
): Refusal {
  const nearest = findNearestName(key, known);
  const allowed =
    nearest === undefined ? `must be one of ${known.join(", ")}` : `did you mean ${JSON.stringify(nearest)}?`;
  return { path, fault: makeFault(document, path, "is not a known key", allowed) };
}

function suggestWord(issue: Issue, value: unknown): string {
  if (typeof value !== "string") return issue.message;
  const words = listWords(issue);
  const nearest = words.includes(value) ? undefined : findNearestName(value, words);
  return nearest === undefined
    ? issue.message
    : `${issue.message} (did you mean ${JSON.stringify(nearest)}?)`;
}

function listWords(issue: Issue): string[] {
  if (issue.code === "invalid_value") return issue.values.map(String);
  if (issue.code === "invalid_union" && "options" in issue && Array.isArray(issue.options)) {
    return issue.options.map(String);
  }
  return [];
}

function toKeyPath(path: readonly PropertyKey[]): KeyPath {
  return path.map((part) => (typeof part === "symbol" ? String(part) : part));
}
