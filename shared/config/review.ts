// Collects the faults that no schema of one value can see: values that contradict each other, files that are named
// but unfit, names used twice. Each is reported at its key; nothing stops at the first.

import { dirname, resolve } from "node:path";
import type { Fault, Problem } from "./fault.ts";
import { formatKeyPath, type KeyPath } from "./key-path.ts";
import { makeFault, readValue } from "./schema-faults.ts";
import type { Secret } from "./secret.ts";
import type { SecretRead } from "./secret-file.ts";
import { quoteText } from "./show-value.ts";
import type { TomlDocument } from "./toml.ts";

export type Environment = { readonly [name: string]: string | undefined };

export class Review {
  readonly #faults: Fault[] = [];

  constructor(
    readonly document: TomlDocument,
    readonly environment: Environment,
    /** For the expiry of certificates; undefined leaves expiry unchecked. */
    readonly nowMs: number | undefined,
  ) {}

  get faults(): readonly Fault[] {
    return this.#faults;
  }

  /** The file itself as an absolute path. */
  get file(): string {
    return resolve(this.document.file);
  }

  add(path: KeyPath, problem: string, allowed?: string): void {
    this.#faults.push(makeFault(this.document, path, problem, allowed));
  }

  addProblem(path: KeyPath, { problem, allowed }: Problem): void {
    this.add(path, problem, allowed);
  }

  /** The secret when it could be read; otherwise its fault is noted. */
  accept<T>(path: KeyPath, read: SecretRead<T>): Secret<T> | undefined {
    if (read.ok) return read.secret;
    this.addProblem(path, read);
    return undefined;
  }

  /** A path of the file as an absolute one: relative paths start from the file that names them. */
  resolve(path: string): string {
    return resolveBeside(this.document.file, path);
  }

  /** Reports each value that an earlier one has already; `undefined` entries are skipped. */
  requireUnique(entries: readonly { readonly path: KeyPath; readonly value: string | undefined }[]): void {
    const first = new Map<string, KeyPath>();
    for (const { path, value } of entries) {
      if (value === undefined) continue;
      const earlier = first.get(value);
      if (earlier === undefined) first.set(value, path);
      else {
        const { line } = this.document.locate(earlier);
        this.add(path, `is ${quoteText(value)}, as in line ${line} already`, "must be unique");
      }
    }
  }

  /** Reports a pair of numbers in the wrong order: at the lower one, unless only the other is in the file. */
  requireOrder(low: Limit, high: Limit): void {
    if (low.value === undefined || high.value === undefined || low.value <= high.value) return;
    const isWritten = (path: KeyPath) => readValue(this.document, path) !== undefined;
    if (isWritten(low.path) || !isWritten(high.path)) {
      const problem = `is ${low.value}, over ${formatKeyPath(high.path)}`;
      this.add(low.path, problem, `must be at most ${high.value}`);
    } else {
      const problem = `is ${high.value}, under ${formatKeyPath(low.path)}`;
      this.add(high.path, problem, `must be at least ${low.value}`);
    }
  }
}

/** A number and its place; undefined when it has a fault of its own. */
export type Limit = { readonly path: KeyPath; readonly value: number | undefined };

export function resolveBeside(file: string, path: string): string {
  return resolve(dirname(file), path);
}
