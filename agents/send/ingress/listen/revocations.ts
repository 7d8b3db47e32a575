// Which certificates are revoked [RFC 5280 5.1], so that a client that is connected can be told apart when a new list comes. TLS
// itself judges a list and its signature when a client connects; here only issuer and serial number are read, out of
// files that TLS has taken. Refuses nothing: what does not parse revokes nothing here.

/** What names a certificate: who issued it, and its number there. */
export type CertificateName = { readonly issuer: string; readonly serial: string };

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const VERSION = 0xa0;
const BLOCK = /-----BEGIN X509 CRL-----([\s\S]+?)-----END X509 CRL-----/g;

export class Revocations {
  readonly #serials = new Map<string, Set<string>>();

  /** Of all lists in a PEM file. */
  constructor(pem: string) {
    for (const [, base64 = ""] of pem.matchAll(BLOCK)) this.#read(Buffer.from(base64, "base64"));
  }

  has({ issuer, serial }: CertificateName): boolean {
    return this.#serials.get(issuer)?.has(serial) === true;
  }

  #read(list: Buffer): void {
    const body = enter(enter(new Reader(list)));
    if (body === undefined) return;
    if (body.tag === INTEGER) body.skip(); // its version
    body.skip(); // how it is signed
    const issuer = body.take(SEQUENCE)?.toString("hex");
    while (body.tag === UTC_TIME || body.tag === GENERALIZED_TIME) body.skip();
    const entries = enter(body);
    if (issuer === undefined || entries === undefined) return;
    const serials = this.#serials.get(issuer) ?? new Set();
    this.#serials.set(issuer, serials);
    while (!entries.isEmpty) {
      const serial = enter(entries)?.take(INTEGER);
      if (serial === undefined) return;
      serials.add(serial.toString("hex"));
    }
  }
}

/** Reads the name out of a certificate in DER [RFC 5280 4.1]. */
export function readCertificateName(der: Uint8Array): CertificateName | undefined {
  const body = enter(enter(new Reader(Buffer.from(der))));
  if (body === undefined) return undefined;
  if (body.tag === VERSION) body.skip();
  const serial = body.take(INTEGER)?.toString("hex");
  body.skip(); // how it is signed
  const issuer = body.take(SEQUENCE)?.toString("hex");
  return serial === undefined || issuer === undefined ? undefined : { issuer, serial };
}

/** What is inside the sequence that comes next. */
function enter(outer: Reader | undefined): Reader | undefined {
  const bytes = outer?.take(SEQUENCE);
  return bytes === undefined ? undefined : new Reader(bytes);
}

/** One DER value after the other; each step goes forward or to the end. */
class Reader {
  #at = 0;
  constructor(readonly bytes: Buffer) {}

  get isEmpty(): boolean {
    return this.#at >= this.bytes.length;
  }

  get tag(): number | undefined {
    return this.bytes[this.#at];
  }

  skip(): void {
    this.#next();
  }

  /** The contents of the next value if it has this tag; then, or else, it is behind us. */
  take(tag: number): Buffer | undefined {
    const isWanted = this.tag === tag;
    const contents = this.#next();
    return isWanted ? contents : undefined;
  }

  #next(): Buffer | undefined {
    const { bytes } = this;
    let start = this.#at + 2;
    let length = bytes[this.#at + 1] ?? 0;
    if (length >= 0x80) {
      const size = length & 0x7f;
      length =
        size >= 1 && size <= 4 && start + size <= bytes.length ? bytes.readUIntBE(start, size) : bytes.length;
      start += size;
    }
    const end = start + length;
    this.#at = end;
    return end <= bytes.length ? bytes.subarray(start, end) : undefined;
  }
}
