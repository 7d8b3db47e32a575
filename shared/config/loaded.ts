// What loading a configuration gives: all of it, or every fault of every file.

import { type Fault, formatFault, sortFaults } from "./fault.ts";
import type { KeyPath } from "./key-path.ts";
import { readLinkKey } from "./link-key.ts";
import type { Review } from "./review.ts";
import type { Secret } from "./secret.ts";

export type Loaded<T> =
  | { readonly ok: true; readonly config: T }
  | { readonly ok: false; readonly faults: readonly Fault[] };

export type LoadOptions = {
  /** The clock for the expiry of certificates; the system's unless given. */
  readonly nowMs?: number;
  /** An agent that starts lets the broker judge an expired certificate: one of them must not stop the other links. */
  readonly expiredCertificates?: "refuse" | "allow";
};

export function refuse(faults: readonly Fault[], files: readonly string[] = []): Loaded<never> {
  return { ok: false, faults: sortFaults(faults, files) };
}

export function chooseClock(options: LoadOptions): number | undefined {
  return options.expiredCertificates === "allow" ? undefined : (options.nowMs ?? Date.now());
}

/** The link key named at that path, its file relative to the configuration. */
export function loadLinkKey(
  review: Review,
  at: KeyPath,
  file: string | undefined,
): Secret<Uint8Array> | undefined {
  return file === undefined ? undefined : review.accept(at, readLinkKey(review.resolve(file)));
}

/** One line a fault, for standard error. */
export function formatFaults(faults: readonly Fault[]): string {
  return faults.map((fault) => `${formatFault(fault)}\n`).join("");
}
