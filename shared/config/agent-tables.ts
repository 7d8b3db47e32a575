// The tables that both agents have alike: [admin], [log], [stop], [limits], and the key file of [link].
// Refuses an admin address that others can reach unless that is asked for in so many words, and with a token.

import type * as z from "zod";
import { type Endpoint, isLoopback, parseEndpoint } from "./endpoint.ts";
import { address, choice, flag, path, wholeNumber } from "./leaf.ts";
import type { Review } from "./review.ts";
import type { Secret } from "./secret.ts";
import { readSecretLine } from "./secret-file.ts";
import { table } from "./table.ts";
import type { Partially } from "./validate.ts";

export type AdminConfig = {
  readonly address: Endpoint;
  /** Wanted as a bearer token; undefined: none is wanted. */
  readonly token: Secret<string> | undefined;
};

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal";
export type LogConfig = { readonly level: LogLevel; readonly file: string | undefined };
export type StopConfig = { readonly graceSeconds: number };
export type LimitsConfig = { readonly messageBytesMax: number };
export type Durability = "fsync" | "os" | "memory";

/** The largest payload MQTT can carry is a little under 2^28 [MQTT5 2.1.4]. */
const MESSAGE_BYTES_MAX = 268_435_455;
const TOKEN_CHARACTERS_MIN = 16;

export function sharedShape() {
  return {
    limits: table({
      message_bytes_max: wholeNumber(1, MESSAGE_BYTES_MAX)
        .default(1_048_576)
        .describe("Largest payload of a message. Larger ones are counted as lost, never cut."),
    })
      .prefault({})
      .describe("Limits of a message."),
    admin: table({
      address: address(0, "127.0.0.1:9464")
        .default("127.0.0.1:9464")
        .describe(
          "What the admin server binds; port 0 takes any free one. Serves /metrics, /healthz, /readyz, /api/status.",
        ),
      token_file: path()
        .optional()
        .describe("File with the bearer token that /metrics and /api/status want: one line, mode 0600."),
      allow_remote: flag()
        .default(false)
        .describe("Allows an address that other machines can reach. Needs token_file."),
    })
      .optional()
      .describe("The admin server. Without this table there is none."),
    log: table({
      level: choice(["trace", "debug", "info", "warn", "error", "fatal"])
        .default("info")
        .describe("The least weighty lines to write."),
      file: path().optional().describe("File to append to. Standard error unless given."),
    })
      .prefault({})
      .describe("The log: JSON lines, never payloads or secrets."),
    stop: table({
      grace_seconds: wholeNumber(0, 300)
        .default(10)
        .describe("How long a stop may take to pass on what is held in memory."),
    })
      .prefault({})
      .describe("How the agent stops."),
  };
}

export function durability(byDefault: Durability) {
  return choice(["fsync", "os", "memory"])
    .default(byDefault)
    .describe(
      'When a message counts as kept: "fsync" survives a power cut, "os" a crash of the agent, "memory" neither.',
    );
}

const sharedTable = table(sharedShape());
type SharedTable = z.output<typeof sharedTable>;

/** Reads the token and checks who can reach the admin server. */
export function loadAdmin(
  review: Review,
  admin: Partially<SharedTable>["admin"],
): Secret<string> | undefined {
  const token = admin?.token_file;
  const bound = admin?.address === undefined ? "" : parseEndpoint(admin.address);
  if (typeof bound !== "string" && !isLoopback(bound.host)) {
    const problem = `is ${admin?.address}, which other machines can reach`;
    const allowed = "must be a loopback address, or allow_remote = true and token_file must be given";
    if (admin?.allow_remote !== true || token === undefined)
      review.add(["admin", "address"], problem, allowed);
  }
  if (token === undefined) return undefined;
  const path = review.resolve(token);
  const secret = review.accept(["admin", "token_file"], readSecretLine(path));
  if (secret !== undefined && !/^[!-~]+$/.test(secret.reveal())) {
    review.add(
      ["admin", "token_file"],
      `${path} holds a token with a space or a non-ASCII character`,
      TOKEN_ALLOWED,
    );
  } else if (secret !== undefined && secret.reveal().length < TOKEN_CHARACTERS_MIN) {
    review.add(["admin", "token_file"], `${path} holds a token that is easily guessed`, TOKEN_ALLOWED);
  }
  return secret;
}

const TOKEN_ALLOWED = `must hold ${TOKEN_CHARACTERS_MIN} or more visible ASCII characters`;

export type SharedConfig = {
  readonly admin: AdminConfig | undefined;
  readonly log: LogConfig;
  readonly stop: StopConfig;
  readonly limits: LimitsConfig;
};

export function toShared(
  review: Review,
  value: SharedTable,
  token: Secret<string> | undefined,
): SharedConfig {
  return {
    admin: value.admin === undefined ? undefined : { address: toEndpoint(value.admin.address), token },
    log: {
      level: value.log.level,
      file: value.log.file === undefined ? undefined : review.resolve(value.log.file),
    },
    stop: { graceSeconds: value.stop.grace_seconds },
    limits: { messageBytesMax: value.limits.message_bytes_max },
  };
}

/** The parts of an endpoint that a schema has accepted. */
export function toEndpoint(text: string): Endpoint {
  const parsed = parseEndpoint(text);
  if (typeof parsed === "string") throw new Error(`cannot use endpoint ${text}: ${parsed}`);
  return parsed;
}
