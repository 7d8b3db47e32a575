import { afterAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  Revocations,
  readCertificateName,
} from "../../../../../../agents/send/ingress/listen/revocations.ts";
import { CertificateAuthority } from "../../../../../support/certificates.ts";
import { Workspace } from "../../../../../support/workspace.ts";

const workspace = new Workspace("revocations");
afterAll(() => workspace.remove());

const nameOf = (file: string) => {
  const name = readCertificateName(new X509Certificate(readFileSync(file)).raw);
  if (name === undefined) throw new Error(`no name in ${file}`);
  return name;
};

test("Revocations knows what each list of a file revokes, and of whom", async () => {
  const one = await CertificateAuthority.create(workspace.directory, "one");
  const two = await CertificateAuthority.create(workspace.directory, "two");
  const files = await Promise.all(["a", "b", "c"].map((name) => one.issue(name, { usage: "client" })));
  const [a = "", b = "", c = ""] = files.map(({ certFile }) => certFile);
  await one.revoke(workspace.path("one.crl"), [a, b]);
  await two.revoke(workspace.path("two.crl"), [c]);
  const read = (name: string) => readFileSync(workspace.path(name), "utf8");
  const both = new Revocations(read("one.crl") + read("two.crl"));
  expect([a, b].map((file) => both.has(nameOf(file)))).toEqual([true, true]);
  // The other authority's list has the number of c, but c is not of that authority.
  expect(both.has(nameOf(c))).toBe(false);
  expect(both.has({ ...nameOf(c), issuer: nameOf(two.caFile).issuer })).toBe(true);
  await one.revoke(workspace.path("empty.crl"), []);
  expect(new Revocations(read("empty.crl")).has(nameOf(a))).toBe(false);
});

test("readCertificateName() gives the serial number as it is in the certificate", async () => {
  const authority = await CertificateAuthority.create(workspace.directory, "three");
  const { certFile } = await authority.issue("d", { usage: "client" });
  const { serialNumber } = new X509Certificate(readFileSync(certFile));
  expect(nameOf(certFile).serial.replace(/^00/, "")).toBe(serialNumber.toLowerCase());
});

test("Revocations and readCertificateName() come to an end with any bytes", async () => {
  const authority = await CertificateAuthority.create(workspace.directory, "four");
  const { certFile } = await authority.issue("e", { usage: "client" });
  await authority.revoke(workspace.path("four.crl"), [certFile]);
  const pem = readFileSync(workspace.path("four.crl"), "utf8");
  const list = Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64");
  const { raw } = new X509Certificate(readFileSync(certFile));
  const wrap = (bytes: Buffer) =>
    `-----BEGIN X509 CRL-----\n${bytes.toString("base64")}\n-----END X509 CRL-----\n`;
  for (let round = 0; round < 3000; round++) {
    for (const bytes of [Buffer.from(list), Buffer.from(raw)]) {
      bytes[Math.floor(Math.random() * 80)] = Math.floor(Math.random() * 256);
      const cut = bytes.subarray(0, 1 + Math.floor(Math.random() * bytes.length));
      new Revocations(wrap(cut)).has({ issuer: "", serial: "" });
      readCertificateName(cut);
    }
  }
});
