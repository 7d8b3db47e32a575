// Reads PEM files of certificates and checks a private key against its certificate.
// Refuses a file without a certificate, one with a broken block, a key under a passphrase, a key of another pair.

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readBoundedFile } from "./config-file.ts";
import type { Problem } from "./fault.ts";
import type { Secret } from "./secret.ts";

const CERTIFICATE_FILE_BYTES_MAX = 1_048_576;
const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

export type CertificateFile = {
  readonly pem: string;
  readonly first: X509Certificate;
  /** One of them may sign others, or vouches for itself. */
  readonly hasAuthority: boolean;
};

/** The text of the file and its first certificate: the holder's own, when the file is a chain. */
export function readCertificates(
  path: string,
): ({ readonly ok: true } & CertificateFile) | ({ readonly ok: false } & Problem) {
  const allowed = "must be a PEM file with at least one certificate";
  const read = readBoundedFile(path, CERTIFICATE_FILE_BYTES_MAX);
  if (!read.ok) return { ok: false, problem: `${path} ${read.problem}`, allowed };
  const pem = new TextDecoder().decode(read.bytes);
  const blocks = pem.match(CERTIFICATE_BLOCK) ?? [];
  let first: X509Certificate | undefined;
  let hasAuthority = false;
  for (const [index, block] of blocks.entries()) {
    const certificate = parseCertificate(block);
    if (certificate === undefined) {
      return {
        ok: false,
        problem: `${path} has a certificate that cannot be parsed (number ${index + 1})`,
        allowed,
      };
    }
    first ??= certificate;
    hasAuthority ||= certificate.ca || certificate.issuer === certificate.subject;
  }
  if (first === undefined) return { ok: false, problem: `${path} holds no certificate`, allowed };
  return { ok: true, pem, first, hasAuthority };
}

/** Why the certificate can't be used at that time, or undefined. */
export function checkExpiry(path: string, certificate: X509Certificate, nowMs: number): Problem | undefined {
  const endMs = Date.parse(certificate.validTo);
  if (Number.isNaN(endMs) || nowMs <= endMs) return undefined;
  const end = new Date(endMs).toISOString().slice(0, 16).replace("T", " ");
  return { problem: `${path} expired at ${end} UTC`, allowed: "must be a certificate that is still valid" };
}

/** Why the file is of no use as one of authorities, or undefined: people put the broker's own certificate there. */
export function checkAuthority(path: string, { first, hasAuthority }: CertificateFile): Problem | undefined {
  if (hasAuthority) return undefined;
  const problem = `${path} holds the certificate of ${showName(first.subject)}, which is no authority; ${showName(first.issuer)} has signed it`;
  return {
    problem,
    allowed: "must be a PEM file of the authority that signs the certificates of the other side",
  };
}

/** A distinguished name comes as one line for each part. */
function showName(name: string): string {
  return JSON.stringify((/(?:^|\n)CN=(.*)/.exec(name)?.[1] ?? name.replaceAll("\n", ", ")).slice(0, 200));
}

/** Why the private key can't be used (with that certificate, when it is known), or undefined. */
export function checkPrivateKey(
  path: string,
  pem: Secret<Uint8Array>,
  certificate: X509Certificate | undefined,
): Problem | undefined {
  const allowed = "must be the PEM private key of the certificate in cert_file, without passphrase";
  const text = new TextDecoder().decode(pem.reveal());
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    return { problem: `${path} is under a passphrase, which nobody is there to type`, allowed };
  }
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: text, format: "pem" });
  } catch {
    return { problem: `${path} holds no private key`, allowed };
  }
  if (certificate === undefined || certificate.checkPrivateKey(key)) return undefined;
  return { problem: `${path} is not the key of the certificate in cert_file`, allowed };
}

function parseCertificate(block: string): X509Certificate | undefined {
  try {
    return new X509Certificate(block);
  } catch {
    return undefined;
  }
}
