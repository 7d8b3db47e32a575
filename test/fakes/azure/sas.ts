// Checks a shared access signature from what arrived, as Azure does: the signature is over `sr` exactly as it was sent.
// Written anew; the vendor's SDK proves it right (test/interop/clouds).
import { createHmac, timingSafeEqual } from "node:crypto";

export type SasFields = {
  /** As sent, not decoded. */
  readonly sr: string;
  readonly sig: Buffer;
  readonly expirySeconds: number;
  readonly policy: string | undefined;
};

const PREFIX = "SharedAccessSignature ";

/** The fields in any order; undefined when one is missing, doubled or strange. */
export function parseSas(text: string): SasFields | undefined {
  if (!text.startsWith(PREFIX)) return undefined;
  const fields = new Map<string, string>();
  for (const field of text.slice(PREFIX.length).split("&")) {
    const at = field.indexOf("=");
    if (at < 0 || fields.has(field.slice(0, at))) return undefined;
    fields.set(field.slice(0, at), field.slice(at + 1));
  }
  const [sr, sig, se, skn] = ["sr", "sig", "se", "skn"].map((name) => fields.get(name));
  if (sr === undefined || sig === undefined || se === undefined || !/^\d{1,12}$/.test(se)) return undefined;
  try {
    const policy = skn === undefined || skn === "" ? undefined : decodeURIComponent(skn);
    return { sr, sig: Buffer.from(decodeURIComponent(sig), "base64"), expirySeconds: Number(se), policy };
  } catch {
    return undefined;
  }
}

export function isSignedWith({ sr, sig, expirySeconds }: SasFields, base64Key: string): boolean {
  const key = Buffer.from(base64Key, "base64");
  const expected = createHmac("sha256", key).update(`${sr}\n${expirySeconds}`).digest();
  return sig.length === expected.length && timingSafeEqual(sig, expected);
}

/** Whether the token is for this resource or for something that contains it. Letter case doesn't matter to Azure. */
export function covers({ sr }: SasFields, resource: string): boolean {
  let scope: string;
  try {
    scope = decodeURIComponent(sr).toLowerCase();
  } catch {
    return false;
  }
  const wanted = resource.toLowerCase();
  return wanted === scope || wanted.startsWith(`${scope}/`);
}

/** Azure's tolerance for clocks that differ. */
export const SKEW_SECONDS = 300;

export function isExpired({ expirySeconds }: SasFields, nowMs: number): boolean {
  return expirySeconds + SKEW_SECONDS < nowMs / 1000;
}

/** When the service severs the connection: at the expiry, or after the tolerance when that has passed already. */
export function severAtMs({ expirySeconds }: SasFields, nowMs: number): number {
  const atMs = expirySeconds * 1000;
  return atMs > nowMs ? atMs : atMs + SKEW_SECONDS * 1000;
}
