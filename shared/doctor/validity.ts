// How long certificates and revocation lists hold still: what ends soon is a warning, what has ended a failure.
import { X509Certificate } from "node:crypto";
import { readCrlDates } from "./crl-dates.ts";
import type { Finding } from "./finding.ts";

const DAY_MS = 86_400_000;
export const WARN_DAYS = 30;
/** A list is made anew every few days or hours. */
const CRL_WARN_DAYS = 1;
const CERTIFICATES = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
const CRLS = /-----BEGIN X509 CRL-----([\s\S]+?)-----END X509 CRL-----/g;

/** What is wrong with the dates of the certificates in `pem`; nothing when they hold on. `what` names them: "our certificate". */
export function judgeCertificates(subject: string, what: string, pem: string, nowMs: number): Finding[] {
  return (pem.match(CERTIFICATES) ?? []).flatMap((block) => {
    const { subject: holder, validFrom, validTo } = new X509Certificate(block);
    const name = `${what} (${holder.replaceAll("\n", ", ")})`;
    return judgePeriod(subject, name, Date.parse(validFrom), Date.parse(validTo), nowMs);
  });
}

/** The same of authorities: a file may hold old ones that nobody needs, so none is more than a warning. */
export function judgeAuthorities(subject: string, what: string, pem: string, nowMs: number): Finding[] {
  return judgeCertificates(subject, what, pem, nowMs).map((finding) => ({
    ...finding,
    level: "warn" as const,
  }));
}

/** The same of one certificate whose dates are known, a broker's. */
export function judgePeriod(
  subject: string,
  name: string,
  beginMs: number,
  endMs: number,
  nowMs: number,
): Finding[] {
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  if (nowMs < beginMs) {
    const sentence = `${name} holds from ${day(beginMs)} only; look at the clock, or wait`;
    return [{ level: "fail", subject, sentence }];
  }
  if (nowMs > endMs)
    return [{ level: "fail", subject, sentence: `${name} ended on ${day(endMs)}; have it renewed` }];
  const days = Math.floor((endMs - nowMs) / DAY_MS);
  if (days >= WARN_DAYS) return [];
  return [
    { level: "warn", subject, sentence: `${name} ends in ${days} days, on ${day(endMs)}; have it renewed` },
  ];
}

/** What is wrong with the dates of the revocation lists in `pem`; a list that has ended lets no client in. */
export function judgeCrls(subject: string, file: string, pem: string, nowMs: number): Finding[] {
  return [...pem.matchAll(CRLS)].flatMap(([, base64 = ""]): Finding[] => {
    const dates = readCrlDates(Buffer.from(base64, "base64"));
    if (dates === undefined)
      return [
        {
          level: "fail",
          subject,
          sentence: `${file} has a revocation list that cannot be read; fetch it again`,
        },
      ];
    if (dates.nextUpdateMs === undefined) return [];
    const end = new Date(dates.nextUpdateMs).toISOString().slice(0, 16).replace("T", " ");
    if (nowMs > dates.nextUpdateMs) {
      const sentence = `the revocation list ${file} ended at ${end} UTC, so no client's certificate is taken; fetch the next one`;
      return [{ level: "fail", subject, sentence }];
    }
    if (dates.nextUpdateMs - nowMs >= CRL_WARN_DAYS * DAY_MS) return [];
    return [
      {
        level: "warn",
        subject,
        sentence: `the revocation list ${file} ends at ${end} UTC; fetch the next one`,
      },
    ];
  });
}
