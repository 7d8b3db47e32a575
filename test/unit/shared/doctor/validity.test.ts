// Dates of certificates and revocation lists: the day before, the day of, and files that are none.
import { afterAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { readCrlDates } from "../../../../shared/doctor/crl-dates.ts";
import { judgeAuthorities, judgeCertificates, judgeCrls } from "../../../../shared/doctor/validity.ts";
import { CertificateAuthority } from "../../../support/certificates.ts";
import { Workspace } from "../../../support/workspace.ts";

const DAY_MS = 86_400_000;
const workspace = new Workspace("validity");
afterAll(() => workspace.remove());
const authority = await CertificateAuthority.create(workspace.directory);
const { certFile } = await authority.issue("server", { usage: "server", validToDays: 100 });
const pem = readFileSync(certFile, "utf8");
const nowMs = Date.now();
const at = (days: number) => nowMs + days * DAY_MS;
const levels = (findings: readonly { readonly level: string }[]) => findings.map(({ level }) => level);

test("judgeCertificates() warns from 30 days before the end, and fails after it and before the begin", () => {
  const judge = (days: number) => judgeCertificates("source door", "our certificate", pem, at(days));
  expect(judge(0)).toEqual([]);
  expect(judge(69)).toEqual([]);
  expect(levels(judge(71))).toEqual(["warn"]);
  expect(judge(71)[0]?.sentence).toContain("our certificate (CN=server) ends in 28 days");
  expect(levels(judge(101))).toEqual(["fail"]);
  expect(levels(judge(-3))).toEqual(["fail"]);
  expect(judge(-3)[0]?.sentence).toContain("look at the clock");
  const both = judgeCertificates("s", "c", pem + readFileSync(authority.caFile, "utf8"), at(390));
  expect(levels(both)).toEqual(["fail", "warn"]);
  expect(judgeCertificates("s", "c", "", nowMs)).toEqual([]);
});

test("judgeAuthorities() only warns, as a file may hold authorities that nobody needs", () => {
  expect(levels(judgeAuthorities("s", "c", pem, at(101)))).toEqual(["warn"]);
});

test("judgeCrls() warns a day before the next list is due, and fails after it", async () => {
  const file = workspace.path("crl.pem");
  await authority.revoke(file, [certFile], 5);
  const list = readFileSync(file, "utf8");
  const judge = (days: number) => judgeCrls("source door", "crl.pem", list, at(days));
  expect(judge(0)).toEqual([]);
  expect(levels(judge(4.5))).toEqual(["warn"]);
  expect(levels(judge(5.1))).toEqual(["fail"]);
  expect(judge(5.1)[0]?.sentence).toContain("so no client's certificate is taken");
  const [broken] = judgeCrls("s", "crl.pem", list.replace(/(-\n)[^-]+/, "$1AAAA\n"), nowMs);
  expect(broken?.sentence).toContain("cannot be read");
});

test("readCrlDates() refuses a list that is cut anywhere before its dates, and reads both kinds of time", async () => {
  const file = workspace.path("cut.pem");
  await authority.revoke(file, [certFile], 5);
  const der = Buffer.from(readFileSync(file, "utf8").replace(/-----[^-]+-----|\s/g, ""), "base64");
  const dates = readCrlDates(der);
  expect(Math.abs((dates?.nextUpdateMs ?? 0) - at(5))).toBeLessThan(2000);
  expect(Math.abs((dates?.thisUpdateMs ?? 0) - at(-3))).toBeLessThan(2000);
  for (let bytes = 0; bytes < der.length; bytes += 1)
    expect(readCrlDates(der.subarray(0, bytes))).toBeUndefined();
  // A list of the least: no version, empty names, GeneralizedTime, no next date.
  const time = Buffer.from("20500101000000Z");
  const body = Buffer.concat([Buffer.from([0x30, 0, 0x30, 0, 0x18, time.length]), time]);
  const whole = Buffer.concat([Buffer.from([0x30, body.length + 2, 0x30, body.length]), body]);
  expect(readCrlDates(whole)).toEqual({ thisUpdateMs: Date.UTC(2050, 0, 1), nextUpdateMs: undefined });
  expect(readCrlDates(Buffer.from("not a list"))).toBeUndefined();
});
