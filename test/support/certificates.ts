// Makes throw-away certificates (EC P-256) for tests and the demonstration: an authority and what it signs,
// good and bad. Private keys are written with mode 0600, as the agents demand. Nothing here is fit for use
// outside a temporary directory: the authority's own key lives in memory only.
import "reflect-metadata";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;
/** Longer than what is warned of. */
const AUTHORITY_DAYS = 400;

export type CertificateFiles = { readonly certFile: string; readonly keyFile: string };

export type CertificateWishes = {
  readonly usage: "server" | "client";
  /** Names and addresses the certificate stands for; "localhost", 127.0.0.1 and ::1 unless told. */
  readonly dnsNames?: readonly string[];
  readonly addresses?: readonly string[];
  /** Days from now; from a day ago to a month ahead unless told. */
  readonly validFromDays?: number;
  readonly validToDays?: number;
};

export class CertificateAuthority {
  private constructor(
    readonly caFile: string,
    private readonly directory: string,
    private readonly certificate: x509.X509Certificate,
    private readonly keys: CryptoKeyPair,
  ) {}

  /** A new authority, its certificate written as NAME.pem. */
  static async create(directory: string, name = "ca"): Promise<CertificateAuthority> {
    const keys = await createKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: `CN=${name}`,
      keys,
      signingAlgorithm: ALGORITHM,
      ...validity({ validToDays: AUTHORITY_DAYS }),
      extensions: [
        new x509.BasicConstraintsExtension(true, 1, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    const caFile = join(directory, `${name}.pem`);
    writeFileSync(caFile, `${certificate.toString("pem")}\n`);
    return new CertificateAuthority(caFile, directory, certificate, keys);
  }

  /** Writes a list of what is revoked: certificate files of this authority. The next list is due in `nextDays`. */
  async revoke(file: string, certFiles: readonly string[], nextDays = 30): Promise<void> {
    const entries = certFiles.map((certFile) => {
      const { serialNumber } = new x509.X509Certificate(readFileSync(certFile, "utf8"));
      // Without a reason the generator writes an empty list of extensions, which TLS libraries refuse.
      const reason = x509.X509CrlReason.keyCompromise;
      return { serialNumber, revocationDate: new Date(Date.now() - DAY_MS), reason };
    });
    const list = await x509.X509CrlGenerator.create({
      issuer: this.certificate.subject,
      thisUpdate: new Date(Date.now() - 3 * DAY_MS),
      nextUpdate: new Date(Date.now() + nextDays * DAY_MS),
      entries,
      signingKey: this.keys.privateKey,
      signingAlgorithm: ALGORITHM,
    });
    writeFileSync(file, `${x509.PemConverter.encode(list.rawData, "X509 CRL")}\n`);
  }

  /** Signs a certificate for NAME and writes NAME.pem and NAME.key. */
  async issue(name: string, wishes: CertificateWishes): Promise<CertificateFiles> {
    const keys = await createKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${name}`,
      issuer: this.certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.keys.privateKey,
      signingAlgorithm: ALGORITHM,
      ...validity(wishes),
      extensions: [
        ...describeHolder(wishes),
        await x509.AuthorityKeyIdentifierExtension.create(this.certificate, false),
      ],
    });
    return await writePair(this.directory, name, certificate, keys);
  }
}

/** A server's certificate that vouches for itself; no authority knows it. `isAuthority`: it may sign others, too. */
export async function createSelfSigned(
  directory: string,
  name: string,
  isAuthority = true,
): Promise<CertificateFiles> {
  const keys = await createKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    ...validity({}),
    // Marked as an authority, as openssl does by default; otherwise TLS gives a less telling reason.
    extensions: [
      new x509.BasicConstraintsExtension(isAuthority),
      ...describeHolder({ usage: "server" }).slice(2),
    ],
  });
  return await writePair(directory, name, certificate, keys);
}

export type CertificateSet = {
  readonly caFile: string;
  readonly authority: CertificateAuthority;
  readonly server: CertificateFiles;
  readonly client: CertificateFiles;
  readonly expiredServer: CertificateFiles;
  readonly expiredClient: CertificateFiles;
  readonly futureServer: CertificateFiles;
  /** For other.example, signed by the same authority. */
  readonly otherNameServer: CertificateFiles;
  readonly selfSignedServer: CertificateFiles;
  /** An authority nobody trusts, and a client of it. */
  readonly strangerCaFile: string;
  readonly strangerClient: CertificateFiles;
};

/** One of each kind that tests ask for. */
export async function createCertificateSet(directory: string): Promise<CertificateSet> {
  const authority = await CertificateAuthority.create(directory, "ca");
  const stranger = await CertificateAuthority.create(directory, "stranger-ca");
  return {
    caFile: authority.caFile,
    authority,
    server: await authority.issue("server", { usage: "server" }),
    client: await authority.issue("client", { usage: "client" }),
    expiredServer: await authority.issue("expired-server", {
      usage: "server",
      validFromDays: -30,
      validToDays: -1,
    }),
    expiredClient: await authority.issue("expired-client", {
      usage: "client",
      validFromDays: -30,
      validToDays: -1,
    }),
    futureServer: await authority.issue("future-server", {
      usage: "server",
      validFromDays: 2,
      validToDays: 30,
    }),
    otherNameServer: await authority.issue("other-name-server", {
      usage: "server",
      dnsNames: ["other.example"],
      addresses: [],
    }),
    selfSignedServer: await createSelfSigned(directory, "self-signed-server"),
    strangerCaFile: stranger.caFile,
    strangerClient: await stranger.issue("stranger-client", { usage: "client" }),
  };
}

function createKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

function validity(wishes: { validFromDays?: number; validToDays?: number }): {
  notBefore: Date;
  notAfter: Date;
} {
  const nowMs = Date.now();
  return {
    notBefore: new Date(nowMs + (wishes.validFromDays ?? -1) * DAY_MS),
    notAfter: new Date(nowMs + (wishes.validToDays ?? 30) * DAY_MS),
  };
}

function describeHolder(wishes: CertificateWishes): x509.Extension[] {
  const purpose =
    wishes.usage === "server" ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
  const extensions: x509.Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([purpose]),
  ];
  if (wishes.usage === "client") return extensions;
  const dnsNames = (wishes.dnsNames ?? ["localhost"]).map((value) => ({ type: "dns" as const, value }));
  const addresses = (wishes.addresses ?? ["127.0.0.1", "::1"]).map((value) => ({
    type: "ip" as const,
    value,
  }));
  return [...extensions, new x509.SubjectAlternativeNameExtension([...dnsNames, ...addresses])];
}

async function writePair(
  directory: string,
  name: string,
  certificate: x509.X509Certificate,
  keys: CryptoKeyPair,
): Promise<CertificateFiles> {
  const files = { certFile: join(directory, `${name}.pem`), keyFile: join(directory, `${name}.key`) };
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  writeFileSync(files.certFile, `${certificate.toString("pem")}\n`);
  writeFileSync(files.keyFile, `${x509.PemConverter.encode(key, "PRIVATE KEY")}\n`, { mode: 0o600 });
  return files;
}
