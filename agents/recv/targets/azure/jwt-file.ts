// The token of an Azure Event Grid login, in a file that something else renews: read again when it changes, so that the
// session is handed over to one with the new token before the old one ends. Reads a token's dates, checks no signature:
// that is the broker's to do.
import { statSync } from "node:fs";
import type { Secret } from "../../../../shared/config/secret.ts";
import { readSecretLine } from "../../../../shared/config/secret-file.ts";

/** What Event Grid takes as authentication data. */
const TOKEN_BYTES_MAX = 8192;
const LOOK_MS = 2000;
/** From here on the end of a token that nobody has renewed is warned of. */
const WARN_MS = 300_000;

export type Token = { readonly text: Secret<string>; readonly endMs: number | undefined };

/** The token in a file, or what is wrong with it; without a time its dates are not looked at. */
export function readJwt(file: string, nowMs: number | undefined): Token | string {
  const read = readSecretLine(file);
  if (!read.ok) return `${read.problem}; ${read.allowed}`;
  const text = read.secret.reveal();
  if (Buffer.byteLength(text) > TOKEN_BYTES_MAX) return `${file} has over ${TOKEN_BYTES_MAX} bytes`;
  const claims = readClaims(text);
  if (claims === undefined)
    return `${file} holds no JSON Web Token; must be HEADER.CLAIMS.SIGNATURE on one line`;
  const { exp, nbf } = claims;
  const endMs = typeof exp === "number" ? exp * 1000 : undefined;
  if (nowMs === undefined) return { text: read.secret, endMs };
  if (typeof exp === "number" && exp * 1000 <= nowMs)
    return `the token in ${file} ended at ${showSeconds(exp)}; have it renewed, or set this host's clock if it is ahead`;
  if (typeof nbf === "number" && nbf * 1000 > nowMs + 300_000)
    return `the token in ${file} is good from ${showSeconds(nbf)} only; set this host's clock if it is behind`;
  return { text: read.secret, endMs };
}

function readClaims(text: string): { readonly exp?: unknown; readonly nbf?: unknown } | undefined {
  const parts = text.split(".");
  if (parts.length !== 3 || !parts.every((part) => /^[A-Za-z0-9_-]+$/.test(part))) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(parts[1] as string, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function showSeconds(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `second ${seconds}` : date.toISOString();
}

export type JwtEvents = {
  /** There is another token than the one in use. */
  changed(): void;
  /** The one in use ends soon, and there is no other. */
  ending(endMs: number): void;
};

export class JwtFile {
  readonly #file: string;
  readonly #events: JwtEvents;
  #stamp = "";
  #used: Token | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #hasWarned = false;

  constructor(file: string, events: JwtEvents) {
    this.#file = file;
    this.#events = events;
  }

  /** For a login: the token as it is now, or what is wrong with it. */
  take(nowMs: number): Token | string {
    this.#stamp = stampFile(this.#file);
    const read = readJwt(this.#file, nowMs);
    if (typeof read === "string") return read;
    if (read.text.reveal() !== this.#used?.text.reveal()) this.#hasWarned = false;
    this.#used = read;
    return read;
  }

  /** To be called often: `steadyMs` of a clock that only runs forward, `nowMs` of the wall clock. */
  tick(steadyMs: number, nowMs: number): void {
    if (this.#used === undefined || steadyMs - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = steadyMs;
    const stamp = stampFile(this.#file);
    if (stamp !== this.#stamp) {
      // One that is half written, or bad, is looked at again when it changes further.
      this.#stamp = stamp;
      const read = readJwt(this.#file, nowMs);
      if (typeof read !== "string" && read.text.reveal() !== this.#used.text.reveal()) {
        this.#events.changed();
        return;
      }
    }
    const { endMs } = this.#used;
    if (this.#hasWarned || endMs === undefined || endMs - nowMs > WARN_MS) return;
    this.#hasWarned = true;
    this.#events.ending(endMs);
  }
}

function stampFile(file: string): string {
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(file);
    return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
  } catch (error) {
    return String(error);
  }
}
