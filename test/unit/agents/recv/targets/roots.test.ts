import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { PUBLIC_ROOTS, type PublicRoot, readRoots } from "../../../../../agents/recv/targets/roots.ts";

test("readRoots() finds each public root in the runtime, by its fingerprint, under its name and still valid", () => {
  const inAYear = Date.now() + 365 * 86_400_000;
  for (const name of Object.keys(PUBLIC_ROOTS) as PublicRoot[]) {
    const certificate = new X509Certificate(readRoots([name]) ?? "");
    expect(certificate.subject).toContain(`CN=${name}`);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(Date.parse(certificate.validTo)).toBeGreaterThan(inAYear);
  }
});

test("readRoots() puts several into one bundle", () => {
  const bundle = readRoots(["ISRG Root X1", "ISRG Root X2"]) ?? "";
  expect(bundle.match(/-----BEGIN CERTIFICATE-----/g)?.length).toBe(2);
});
