// Runs a schema over a TOML document and keeps what is good of a document with faults, so that the checks that
// look at several keys, at files and at other documents still run and every fault is told at once.

import type * as z from "zod";
import type { Fault } from "./fault.ts";
import type { KeyPath } from "./key-path.ts";
import { explainIssues } from "./schema-faults.ts";
import type { TomlDocument } from "./toml.ts";

/** A document in which any key may be absent, because it was refused; what is there has its type. */
export type Partially<T> = T extends readonly (infer U)[]
  ? readonly (Partially<U> | undefined)[]
  : T extends object
    ? { readonly [K in keyof T]?: Partially<T[K]> | undefined }
    : T;

export type Validated<T> = {
  readonly faults: readonly Fault[];
  /** All of it; undefined when there are faults. */
  readonly value: T | undefined;
  readonly partial: Partially<T>;
};

/** Of one file. Nobody reads more, and a file of 1 MiB can have 100,000. */
const FAULTS_MAX = 1000;

export function validate<T extends z.ZodType>(schema: T, document: TomlDocument): Validated<z.output<T>> {
  let parsed: unknown;
  // A check that runs even after faults is the way to see what the schema made of the good keys.
  const watched = schema.refine(
    (value) => {
      parsed = value;
      return true;
    },
    { when: () => true },
  );
  const result = watched.safeParse(document.table);
  if (result.success) {
    return { faults: [], value: result.data, partial: result.data as Partially<z.output<T>> };
  }
  const { issues } = result.error;
  const refusals = explainIssues(document, issues.slice(0, FAULTS_MAX));
  // With that many faults the file is not a configuration of ours, and cutting each out would take for ever.
  let partial: unknown = issues.length <= FAULTS_MAX ? parsed : {};
  for (const { path } of refusals) partial = removeValue(partial, discardedPath(path));
  return {
    faults: refusals.map((refusal) => refusal.fault),
    value: undefined,
    partial: (partial ?? {}) as Partially<z.output<T>>,
  };
}

// A table of unknown type was not looked into, so all of it is unchecked, not only its key "type".
function discardedPath(path: KeyPath): KeyPath {
  return path.at(-1) === "type" ? path.slice(0, -1) : path;
}

/** The value without what is at the path. List elements keep their index: the place becomes undefined. */
function removeValue(value: unknown, path: KeyPath): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return undefined;
  if (Array.isArray(value)) {
    return value.map((element, index) => (index === part ? removeValue(element, rest) : element));
  }
  if (typeof value !== "object" || value === null) return undefined;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, key === part ? removeValue(inner, rest) : inner]),
  );
}
