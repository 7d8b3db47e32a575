// Keys that sign requests to AWS, from where the profile says they are. Temporary keys are fetched again before they
// end; a fetch that fails leaves the old ones in use while they live, and is tried again. Only the sources "container"
// and "instance" ask the network, and only the address that AWS puts beside a host of its own.
import { fromContainerMetadata, fromInstanceMetadata } from "@smithy/credential-provider-imds";
import { parseKnownFiles } from "@smithy/shared-ini-file-loader";
import type { Secret } from "../../../../shared/config/secret.ts";
import type { AwsKeys } from "./sigv4.ts";

export type AwsCredentialSource =
  | { readonly kind: "static"; readonly keys: Secret<AwsKeys> }
  /** A credentials file as AWS's own tools have it, and the profile in it. */
  | { readonly kind: "file"; readonly file: string; readonly profile: string }
  | { readonly kind: "container" }
  | { readonly kind: "instance" };

/** Keys are fetched again so long before they end. */
const EARLY_MS = 300_000;
/** Keys without an end may have been changed where they are. */
const LOOK_AGAIN_MS = 60_000;
const RETRY_MS = 5000;
const FETCH_TIMEOUT_MS = 5000;

type Fetched = { readonly keys: AwsKeys; readonly endMs: number };

export class AwsCredentials {
  readonly #source: AwsCredentialSource;
  #fetched: Fetched | undefined;
  #problem = "they are being fetched";
  #nextMs = Number.NEGATIVE_INFINITY;
  #isFetching = false;

  constructor(source: AwsCredentialSource) {
    this.#source = source;
  }

  /** The keys, or in words why there are none. */
  read(nowMs: number): AwsKeys | string {
    this.tick(nowMs);
    if (this.#source.kind === "static") return this.#source.keys.reveal();
    if (this.#fetched === undefined || this.#fetched.endMs <= nowMs) return this.#problem;
    return this.#fetched.keys;
  }

  /** To be called often, with the wall clock. */
  tick(nowMs: number): void {
    if (this.#source.kind === "static" || this.#isFetching || nowMs < this.#nextMs) return;
    this.#isFetching = true;
    this.#fetch(this.#source)
      .then((fetched) => {
        this.#fetched = fetched;
        const early = Number.isFinite(fetched.endMs) ? fetched.endMs - EARLY_MS : nowMs + LOOK_AGAIN_MS;
        this.#nextMs = Math.max(early, nowMs + RETRY_MS);
      })
      .catch((error: unknown) => {
        this.#problem = error instanceof Error ? error.message : String(error);
        this.#nextMs = nowMs + RETRY_MS;
      })
      .finally(() => {
        this.#isFetching = false;
      });
  }

  async #fetch(source: Exclude<AwsCredentialSource, { kind: "static" }>): Promise<Fetched> {
    if (source.kind === "file") return { keys: await readFile(source), endMs: Number.POSITIVE_INFINITY };
    const settings = { timeout: FETCH_TIMEOUT_MS, maxRetries: 0 };
    const fetchKeys =
      source.kind === "container" ? fromContainerMetadata(settings) : fromInstanceMetadata(settings);
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await fetchKeys();
    const keys = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
    return { keys, endMs: expiration?.getTime() ?? Number.POSITIVE_INFINITY };
  }
}

async function readFile({ file, profile }: { file: string; profile: string }): Promise<AwsKeys> {
  const profiles = await parseKnownFiles({ filepath: file, configFilepath: file, ignoreCache: true });
  const found = profiles[profile];
  if (found === undefined) throw new Error(`${file} has no profile "${profile}", or cannot be read`);
  const { aws_access_key_id: id, aws_secret_access_key: secret, aws_session_token: token } = found;
  if (id === undefined || secret === undefined)
    throw new Error(`${file} has no aws_access_key_id and aws_secret_access_key under "${profile}"`);
  return {
    accessKeyId: id,
    secretAccessKey: secret,
    ...(token === undefined ? {} : { sessionToken: token }),
  };
}
