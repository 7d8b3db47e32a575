// The keys of Azure's shared access signatures in a profile: one is named by KEY_file or KEY_env, and read again at each
// connection, so that a rotated key needs no restart. Refuses what the portal shows beside the key: a connection string.
import { environmentName, path } from "../../../shared/config/leaf.ts";
import type { Review } from "../../../shared/config/review.ts";
import { readValue } from "../../../shared/config/schema-faults.ts";
import { Secret } from "../../../shared/config/secret.ts";
import { readSecretLine } from "../../../shared/config/secret-file.ts";
import { decodeSasKey } from "../targets/azure/sas.ts";

export type SasKeySource =
  | { readonly kind: "file"; readonly file: string }
  | { readonly kind: "value"; readonly key: Secret<Buffer> };

type KeyProblem = { readonly problem: string; readonly allowed: string };
const ALLOWED = "must be the base64 key alone, as the portal shows it under primary key";

export function keyFile(what: string) {
  return path().optional().describe(`File with ${what} in base64, mode 0600. Read again at each connection.`);
}

export function keyVariable() {
  return environmentName().optional().describe("Environment variable with it instead.");
}

/** Reads the key once to note what is wrong with it; undefined when it has a fault. */
export function loadSasKey(
  review: Review,
  name: "device_key" | "policy_key" | "group_key",
  auth: string,
  keys: { readonly file: string | undefined; readonly variable: string | undefined },
): SasKeySource | undefined {
  const fileAt = [`${name}_file`];
  const variableAt = [`${name}_env`];
  const has = (at: string[]) => readValue(review.document, at) !== undefined;
  if (has(fileAt) && has(variableAt))
    review.add(variableAt, `is given beside ${name}_file`, "must be only one of the two");
  else if (!has(fileAt) && !has(variableAt))
    review.add(fileAt, "is missing", `must be given with auth = "${auth}", or ${name}_env`);
  if (keys.file !== undefined) {
    const file = review.resolve(keys.file);
    const read = readSasKey({ kind: "file", file });
    if (read instanceof Secret) return { kind: "file", file };
    review.addProblem(fileAt, read);
    return undefined;
  }
  if (keys.variable === undefined) return undefined;
  const value = review.environment[keys.variable];
  if (value === undefined || value === "") {
    const problem = `names a variable that is ${value === "" ? "empty" : "not set"}`;
    review.add(variableAt, problem, "must name a variable that the service sets");
    return undefined;
  }
  const key = decode(value, `the variable ${keys.variable}`);
  if (key instanceof Secret) return { kind: "value", key };
  review.addProblem(variableAt, key);
  return undefined;
}

/** The key as it is now, or what is wrong with it. */
export function readSasKey(source: SasKeySource): Secret<Buffer> | KeyProblem {
  if (source.kind === "value") return source.key;
  const read = readSecretLine(source.file);
  return read.ok ? decode(read.secret.reveal(), source.file) : read;
}

function decode(text: string, where: string): Secret<Buffer> | KeyProblem {
  const key = decodeSasKey(text.trim());
  if (key !== undefined) return new Secret(key);
  const problem = /SharedAccessKey=/i.test(text)
    ? `${where} holds a connection string`
    : `${where} holds no base64 key`;
  return { problem, allowed: ALLOWED };
}
