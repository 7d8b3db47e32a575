// The certificate files of a target while it runs: read again when they change, so that a renewed certificate needs no
// restart, and watched for their end. A change that is not usable (half written, a key of another pair) leaves what was
// there in force and says so; it is tried again when the files change further.
import { statSync } from "node:fs";
import {
  checkAuthority,
  checkExpiry,
  checkPrivateKey,
  readCertificates,
} from "../../../shared/config/certificate-file.ts";
import { readSecretFile } from "../../../shared/config/secret-file.ts";
import type { TlsConfig } from "../../../shared/config/tls.ts";

/** How often the files are looked at. */
const LOOK_MS = 5000;
const DAY_MS = 86_400_000;
/** From here on the end of our certificate is warned of, once a day. */
const WARN_DAYS = 30;

export type TlsEvents = {
  /** Other certificates are in force. */
  changed(): void;
  refused(problem: string): void;
  /** Our certificate ends in so many days, 0 or less when it has. */
  ending(days: number, file: string): void;
};

export class TlsFiles {
  #config: TlsConfig;
  readonly #events: TlsEvents;
  #stamp: string;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #warnedMs = Number.NEGATIVE_INFINITY;
  #endMs: number | undefined;

  constructor(config: TlsConfig, events: TlsEvents) {
    this.#config = config;
    this.#events = events;
    this.#stamp = stampFiles(config);
    this.#endMs = readEnd(config);
  }

  get config(): TlsConfig {
    return this.#config;
  }

  /** When our certificate ends, milliseconds since 1970; undefined without one. */
  get endMs(): number | undefined {
    return this.#endMs;
  }

  /** To be called every few milliseconds: `steadyMs` of a clock that only runs forward, `nowMs` of the wall clock. */
  tick(steadyMs: number, nowMs: number): void {
    if (steadyMs - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = steadyMs;
    const stamp = stampFiles(this.#config);
    if (stamp !== this.#stamp) {
      this.#stamp = stamp;
      this.#reload(nowMs);
    }
    const { certFile } = this.#config;
    if (this.#endMs === undefined || certFile === undefined) return;
    const days = Math.floor((this.#endMs - nowMs) / DAY_MS);
    if (days >= WARN_DAYS || steadyMs - this.#warnedMs < DAY_MS) return;
    this.#warnedMs = steadyMs;
    this.#events.ending(days, certFile);
  }

  #reload(nowMs: number): void {
    const read = readAgain(this.#config, nowMs);
    if (typeof read === "string") {
      this.#events.refused(read);
      return;
    }
    const { caPem, certPem, keyPem } = this.#config;
    const isSame =
      read.caPem === caPem && read.certPem === certPem && read.keyPem?.reveal() === keyPem?.reveal();
    this.#config = read;
    this.#endMs = readEnd(read);
    this.#warnedMs = Number.NEGATIVE_INFINITY;
    if (!isSame) this.#events.changed();
  }
}

/** The same settings with what is in their files now, or what is wrong with them. */
function readAgain(config: TlsConfig, nowMs: number): TlsConfig | string {
  const { caFile, certFile, keyFile } = config;
  const ca = caFile === undefined ? undefined : readCertificates(caFile);
  if (ca?.ok === false) return `${ca.problem}; ${ca.allowed}`;
  const own = certFile === undefined ? undefined : readCertificates(certFile);
  if (own?.ok === false) return `${own.problem}; ${own.allowed}`;
  const key = keyFile === undefined ? undefined : readSecretFile(keyFile);
  if (key?.ok === false) return `${key.problem}; ${key.allowed}`;
  const problem =
    (ca && caFile && checkAuthority(caFile, ca)) ||
    (own && certFile && checkExpiry(certFile, own.first, nowMs)) ||
    (key && keyFile && checkPrivateKey(keyFile, key.secret, own?.first));
  if (problem) return `${problem.problem}; ${problem.allowed}`;
  return {
    ...config,
    caPem: ca?.pem ?? config.caPem,
    certPem: own?.pem,
    keyPem: key?.secret.map((bytes) => new TextDecoder().decode(bytes)),
  };
}

function readEnd({ certFile }: TlsConfig): number | undefined {
  if (certFile === undefined) return undefined;
  const read = readCertificates(certFile);
  return read.ok ? Date.parse(read.first.validTo) : undefined;
}

/** Changes when one of the files does; a symbolic link is followed, as secret managers swap them. */
function stampFiles({ caFile, certFile, keyFile }: TlsConfig): string {
  return [caFile, certFile, keyFile].map((file) => (file === undefined ? "" : stampFile(file))).join(" ");
}

function stampFile(file: string): string {
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(file);
    return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
  } catch (error) {
    return String(error);
  }
}
