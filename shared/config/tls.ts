// The [tls] table of a source or target: whom to trust, and how to show who we are. Reads and checks its files.
// Refuses a certificate without its key or the reverse, and what certificate-file.ts and secret-file.ts refuse.

import type * as z from "zod";
import { checkAuthority, checkExpiry, checkPrivateKey, readCertificates } from "./certificate-file.ts";
import { isServerName } from "./endpoint.ts";
import type { KeyPath } from "./key-path.ts";
import { checked, path, text } from "./leaf.ts";
import type { Review } from "./review.ts";
import { readValue } from "./schema-faults.ts";
import type { Secret } from "./secret.ts";
import { readSecretFile } from "./secret-file.ts";
import { list, table } from "./table.ts";
import type { Partially } from "./validate.ts";

/** All a TLS client needs, already read. `undefined` means the usual: public roots, no client certificate. */
export type TlsConfig = {
  readonly caFile: string | undefined;
  readonly caPem: string | undefined;
  readonly certFile: string | undefined;
  readonly certPem: string | undefined;
  readonly keyFile: string | undefined;
  readonly keyPem: Secret<string> | undefined;
  /** Looked for in the certificate and sent as SNI; the host of the URL when undefined. */
  readonly serverName: string | undefined;
  readonly alpn: readonly string[];
};

export function tlsTable() {
  return table({
    ca_file: path()
      .optional()
      .describe("PEM file of the authorities to trust, in place of the public ones the program knows."),
    cert_file: path()
      .optional()
      .describe("PEM file of the client certificate and its intermediates. Comes together with key_file."),
    key_file: path()
      .optional()
      .describe("PEM file of the client certificate's private key: mode 0600, without passphrase."),
    server_name: checked(text(253), 'must be a host name, such as "broker.example"', (name) =>
      isServerName(name) ? undefined : `is ${JSON.stringify(name)}`,
    )
      .optional()
      .describe("The name the broker's certificate must have, also sent as SNI. Default: the host of url."),
    alpn: list("protocol names", text(255), 1, 16)
      .optional()
      .describe('Protocols to offer by ALPN, such as ["mqtt"]. Default: none.'),
  });
}

export type TlsTable = z.output<ReturnType<typeof tlsTable>>;

/** Reads the files of the table at `at` and notes every fault. What has a fault is undefined in the result. */
export function loadTls(review: Review, at: KeyPath, tls: Partially<TlsTable>): TlsConfig {
  const [caFile, certFile, keyFile] = [tls.ca_file, tls.cert_file, tls.key_file].map((file) =>
    file === undefined ? undefined : review.resolve(file),
  );
  requirePair(review, at);
  const ca = readAt(review, [...at, "ca_file"], caFile);
  if (ca !== undefined && caFile !== undefined) {
    const problem = checkAuthority(caFile, ca);
    if (problem !== undefined) review.addProblem([...at, "ca_file"], problem);
  }
  const own = readAt(review, [...at, "cert_file"], certFile);
  if (own !== undefined && certFile !== undefined && review.nowMs !== undefined) {
    const problem = checkExpiry(certFile, own.first, review.nowMs);
    if (problem !== undefined) review.addProblem([...at, "cert_file"], problem);
  }
  const keyAt = [...at, "key_file"];
  const keyPem = keyFile === undefined ? undefined : review.accept(keyAt, readSecretFile(keyFile));
  if (keyFile !== undefined && keyPem !== undefined) {
    const problem = checkPrivateKey(keyFile, keyPem, own?.first);
    if (problem !== undefined) review.addProblem(keyAt, problem);
  }
  return {
    caFile,
    caPem: ca?.pem,
    certFile,
    certPem: own?.pem,
    keyFile,
    keyPem: keyPem?.map((bytes) => new TextDecoder().decode(bytes)),
    serverName: tls.server_name,
    alpn: (tls.alpn ?? []).filter((protocol) => protocol !== undefined),
  };
}

function requirePair(review: Review, at: KeyPath): void {
  // Asked of the file, not of what the schema accepted: a refused key is there, and has its own fault.
  const has = (key: string) => readValue(review.document, [...at, key]) !== undefined;
  const hasCertificate = has("cert_file");
  if (hasCertificate === has("key_file")) return;
  const [given, missing] = hasCertificate ? ["cert_file", "key_file"] : ["key_file", "cert_file"];
  review.add([...at, given], `has no ${missing} beside it`, "must come together with it, or not at all");
}

function readAt(review: Review, at: KeyPath, file: string | undefined) {
  if (file === undefined) return undefined;
  const read = readCertificates(file);
  if (read.ok) return read;
  review.addProblem(at, read);
  return undefined;
}
