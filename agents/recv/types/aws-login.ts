// How a target of type "aws-iot" logs in: by certificate, through a custom authorizer, or over a WebSocket that AWS keys
// sign. The keys of the profile for it, and what they name.
import type * as z from "zod";
import { choice, environmentName, path, text } from "../../../shared/config/leaf.ts";
import type { Review } from "../../../shared/config/review.ts";
import { Secret } from "../../../shared/config/secret.ts";
import { readSecretLine } from "../../../shared/config/secret-file.ts";
import { table } from "../../../shared/config/table.ts";
import type { Partially } from "../../../shared/config/validate.ts";
import type { AwsCredentialSource } from "../targets/aws/credentials.ts";
import type { AwsKeys } from "../targets/aws/sigv4.ts";

export type AwsAuth =
  | { readonly kind: "x509" }
  | {
      readonly kind: "custom";
      readonly name: string | undefined;
      readonly username: string;
      readonly passwordFile: string | undefined;
      readonly tokenKey: string | undefined;
      readonly tokenFile: string | undefined;
      readonly signatureFile: string | undefined;
    }
  | { readonly kind: "sigv4"; readonly region: string; readonly source: AwsCredentialSource };

export const AWS_HOST = /^[a-z0-9]+(-ats)?\.iot\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$/;

export function awsLoginShape() {
  return {
    custom_authorizer: table({
      name: text(128)
        .optional()
        .describe("Name of the authorizer. Default: the account's default authorizer."),
      username: text(1024).default("tidegate").describe("User name that the authorizer gets."),
      password_file: path()
        .optional()
        .describe("File with the password that the authorizer gets, mode 0600."),
      token_key: text(128)
        .optional()
        .describe("Token key name of the authorizer, for one that checks signatures."),
      token_file: path()
        .optional()
        .describe("File with the token, mode 0600. Read again at each connection."),
      signature_file: path().optional().describe("File with the token's signature in base64, mode 0600."),
    })
      .optional()
      .describe('For auth = "custom".'),
    sigv4: table({
      region: text(64).optional().describe("Region of the keys' scope. Default: the region in endpoint."),
      source: choice(["static", "environment", "file", "container", "instance"])
        .default("environment")
        .describe(
          'Where the keys are: "static" in this profile, "environment" in AWS_ACCESS_KEY_ID and so on, "file" in a credentials file, "container" and "instance" from the metadata service of AWS.',
        ),
      access_key_id: text(128).optional().describe('For source = "static".'),
      secret_access_key_file: path()
        .optional()
        .describe('File with the secret key, mode 0600, for source = "static".'),
      secret_access_key_env: environmentName().optional().describe("Environment variable with it instead."),
      session_token_file: path().optional().describe("File with the session token of temporary keys."),
      credentials_file: path().optional().describe('AWS credentials file, for source = "file".'),
      profile: text(128).default("default").describe("Profile in the credentials file."),
    })
      .optional()
      .describe('For auth = "sigv4".'),
  };
}

const loginTable = table({
  auth: choice(["x509", "custom", "sigv4"]),
  endpoint: text(253),
  ...awsLoginShape(),
});
type LoginTable = z.output<typeof loginTable>;

export function reviewAuthorizer(review: Review, profile: Partially<LoginTable>): void {
  const authorizer = profile.custom_authorizer;
  if (authorizer === undefined) return;
  if ((authorizer.token_key === undefined) !== (authorizer.token_file === undefined)) {
    const [given, missing] =
      authorizer.token_key === undefined ? ["token_file", "token_key"] : ["token_key", "token_file"];
    review.add(["custom_authorizer", given], `has no ${missing} beside it`, "must come together with it");
  }
  for (const key of ["password_file", "token_file", "signature_file"] as const) {
    const file = authorizer[key];
    if (file !== undefined) review.accept(["custom_authorizer", key], readSecretLine(review.resolve(file)));
  }
}

export function loadAwsKeys(review: Review, profile: Partially<LoginTable>): Secret<AwsKeys> | undefined {
  const sigv4 = profile.sigv4 ?? { source: "environment" as const };
  const region = sigv4.region ?? awsRegion(profile.endpoint);
  if (region === undefined)
    review.add(
      ["sigv4", "region"],
      "is missing, and endpoint does not tell it",
      "must be a region such as eu-central-1",
    );
  if (sigv4.source === "environment") return loadKeysFromEnvironment(review);
  if (sigv4.source === "file") {
    if (sigv4.credentials_file === undefined)
      review.add(["sigv4", "credentials_file"], "is missing", 'must be given with source = "file"');
    return undefined;
  }
  if (sigv4.source !== "static") return undefined;
  if (sigv4.access_key_id === undefined)
    review.add(["sigv4", "access_key_id"], "is missing", 'must be given with source = "static"');
  const secretFile = sigv4.secret_access_key_file;
  const variable = sigv4.secret_access_key_env;
  if ((secretFile === undefined) === (variable === undefined))
    review.add(
      ["sigv4"],
      "must have one of secret_access_key_file and secret_access_key_env",
      "must have just one",
    );
  const read = (key: string, file: string | undefined) =>
    file === undefined
      ? undefined
      : review.accept(["sigv4", key], readSecretLine(review.resolve(file)))?.reveal();
  const secretAccessKey =
    read("secret_access_key_file", secretFile) ??
    (variable === undefined ? undefined : review.environment[variable]);
  if (variable !== undefined && !secretAccessKey)
    review.add(
      ["sigv4", "secret_access_key_env"],
      "names a variable that is not set",
      "must name one that is",
    );
  const sessionToken = read("session_token_file", sigv4.session_token_file);
  if (sigv4.access_key_id === undefined || !secretAccessKey) return undefined;
  const accessKeyId = sigv4.access_key_id;
  return new Secret({
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
  });
}

function loadKeysFromEnvironment(review: Review): Secret<AwsKeys> | undefined {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = review.environment;
  if (accessKeyId && secretAccessKey)
    return new Secret({ accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) });
  const problem = 'is "environment", and AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set';
  review.add(["sigv4", "source"], problem, "must be another source, or the service must set both");
  return undefined;
}

/** The region in the name of an endpoint of AWS IoT Core. */
export function awsRegion(endpoint: string | undefined): string | undefined {
  return AWS_HOST.exec(endpoint?.replace(/:\d+$/, "") ?? "")?.[2];
}

export function toAwsAuth(review: Review, value: LoginTable, keys: Secret<AwsKeys> | undefined): AwsAuth {
  const resolve = (file: string | undefined) => (file === undefined ? undefined : review.resolve(file));
  if (value.auth === "x509") return { kind: "x509" };
  if (value.auth === "custom") {
    const authorizer = value.custom_authorizer;
    return {
      kind: "custom",
      name: authorizer?.name,
      username: authorizer?.username ?? "tidegate",
      passwordFile: resolve(authorizer?.password_file),
      tokenKey: authorizer?.token_key,
      tokenFile: resolve(authorizer?.token_file),
      signatureFile: resolve(authorizer?.signature_file),
    };
  }
  const { sigv4 } = value;
  const region = sigv4?.region ?? awsRegion(value.endpoint) ?? "";
  const kind = sigv4?.source ?? "environment";
  if (kind === "file")
    return {
      kind: "sigv4",
      region,
      source: { kind, file: resolve(sigv4?.credentials_file) ?? "", profile: sigv4?.profile ?? "default" },
    };
  if (kind === "container" || kind === "instance") return { kind: "sigv4", region, source: { kind } };
  return { kind: "sigv4", region, source: { kind: "static", keys: keys as Secret<AwsKeys> } };
}
