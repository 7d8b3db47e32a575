// The directory of target profiles: every *.toml in it, hidden files left out, in the order of their names.
// Refuses a directory without profiles or with too many, and two profiles that share a name or a seat at a broker.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { explainFileError } from "../../shared/config/config-file.ts";
import type { Fault } from "../../shared/config/fault.ts";
import { Review } from "../../shared/config/review.ts";
import { quoteText } from "../../shared/config/show-value.ts";
import { readToml } from "../../shared/config/toml.ts";
import { validate } from "../../shared/config/validate.ts";
import { type Claim, claimsOf, profileSchema, readProfile, type TargetProfile } from "./profile.ts";

const PROFILES_MAX = 64;
const ALLOWED = `must be a directory with 1 to ${PROFILES_MAX} profiles, files whose names end with .toml`;

export type LoadedProfiles = {
  readonly profiles: readonly TargetProfile[];
  readonly files: readonly string[];
  readonly faults: readonly Fault[];
};

/** `shown` is the directory as the operator knows it, relative to where the program runs. */
export function loadProfiles(review: Review, directory: string, shown: string): LoadedProfiles {
  const files = listProfiles(review, directory).map((name) => join(shown, name));
  const faults: Fault[] = [];
  const profiles: TargetProfile[] = [];
  const claimed = new Map<string, string>();
  for (const file of files) {
    const parsed = readToml(file);
    if (!parsed.ok) {
      faults.push(parsed.fault);
      continue;
    }
    const { value, partial, faults: found } = validate(profileSchema, parsed.document);
    const own = new Review(parsed.document, review.environment, review.nowMs);
    const { toTarget } = readProfile(own, partial, value);
    requireUnclaimed(own, claimsOf(own, partial), claimed);
    faults.push(...found, ...own.faults);
    if (toTarget !== undefined && found.length === 0 && own.faults.length === 0) profiles.push(toTarget());
  }
  return { profiles, files, faults };
}

function listProfiles(review: Review, directory: string): string[] {
  let names: string[];
  try {
    names = readdirSync(directory).filter((name) => name.endsWith(".toml") && !name.startsWith("."));
  } catch (error) {
    const isFile = error instanceof Error && "code" in error && error.code === "ENOTDIR";
    const problem = isFile ? "is not a directory" : explainFileError(error);
    review.add(["targets"], `${directory} ${problem}`, ALLOWED);
    return [];
  }
  if (names.length === 0) review.add(["targets"], `${directory} holds no profile`, ALLOWED);
  if (names.length > PROFILES_MAX) {
    review.add(["targets"], `${directory} holds ${names.length} profiles`, ALLOWED);
    return [];
  }
  return names.sort();
}

// Said at the second file; the sentence names the first, because either may be the one to change.
function requireUnclaimed(review: Review, claims: readonly Claim[], claimed: Map<string, string>): void {
  for (const { path, key, shown } of claims) {
    const earlier = claimed.get(key);
    if (earlier === undefined) claimed.set(key, review.document.file);
    else review.add(path, `is ${quoteText(shown)}, as in ${earlier} already`, "must be unique");
  }
}
