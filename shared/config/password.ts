// A password that a table names in password_file or password_env, never both. Refuses a variable that is not set.

import type { KeyPath } from "./key-path.ts";
import type { Review } from "./review.ts";
import { readValue } from "./schema-faults.ts";
import { Secret } from "./secret.ts";
import { readSecretLine } from "./secret-file.ts";

export type PasswordKeys = {
  readonly password_file?: string | undefined;
  readonly password_env?: string | undefined;
};

/** Reads the password of the table at `at` and notes every fault. */
export function loadPassword(review: Review, at: KeyPath, table: PasswordKeys): Secret<string> | undefined {
  const has = (key: string) => readValue(review.document, [...at, key]) !== undefined;
  if (has("password_file") && has("password_env")) {
    review.add([...at, "password_env"], "is given beside password_file", "must be only one of the two");
  }
  if (table.password_file !== undefined) {
    return review.accept([...at, "password_file"], readSecretLine(review.resolve(table.password_file)));
  }
  if (table.password_env === undefined) return undefined;
  const password = review.environment[table.password_env];
  if (password !== undefined && password !== "") return new Secret(password);
  const problem = `names a variable that is ${password === "" ? "empty" : "not set"}`;
  review.add([...at, "password_env"], problem, "must name a variable that the service sets");
  return undefined;
}
