// Checks the query that opens a WebSocket at AWS IoT Core, from what arrived: it knows nothing of how the client made it.
// Written anew from the documented algorithm; the vendor's SDK proves it right (test/interop/clouds).
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { UpgradeRequest } from "../server/wire.ts";

export type AwsAccount = {
  readonly region: string;
  /** Secret, and for temporary keys the token that must come with it, by access key id. */
  readonly keys: Readonly<Record<string, { secret: string; token?: string }>>;
};

const WINDOW_MS = 5 * 60_000;
const REQUIRED = [
  "X-Amz-Algorithm",
  "X-Amz-Credential",
  "X-Amz-Date",
  "X-Amz-SignedHeaders",
  "X-Amz-Signature",
];

/** Why the service would answer 403, or undefined. `query` has no "X-Amz-Signature" when no one signed. */
export function findSignatureFault(
  { path, query, headers }: UpgradeRequest,
  account: AwsAccount,
  nowMs: number,
): string | undefined {
  const fields = query.split("&").map((field) => field.split("=", 2) as [string, string]);
  const value = (name: string): string =>
    decodeURIComponent(fields.find(([key]) => decodeURIComponent(key) === name)?.[1] ?? "");
  const missing = REQUIRED.find((name) => value(name) === "");
  if (missing !== undefined) return `has no ${missing}`;
  if (value("X-Amz-Algorithm") !== "AWS4-HMAC-SHA256") return "wrong algorithm";
  const [keyId = "", date = "", region = "", service = "", last = ""] = value("X-Amz-Credential").split("/");
  if (service !== "iotdevicegateway" || last !== "aws4_request") return "wrong service";
  if (region !== account.region) return "wrong region";
  const stamp = value("X-Amz-Date");
  if (!stamp.startsWith(date)) return "date differs from scope";
  const signedMs = Date.parse(stamp.replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5"));
  if (!(Math.abs(nowMs - signedMs) <= WINDOW_MS)) return "signature expired";
  const key = account.keys[keyId];
  if (key === undefined) return "unknown key";
  if (value("X-Amz-Security-Token") !== (key.token ?? "")) return "wrong token";
  const names = value("X-Amz-SignedHeaders").split(";");
  if (!names.includes("host")) return "host is not signed";
  const canonical = [
    "GET",
    path,
    canonicalQuery(fields),
    ...names.map((name) => `${name}:${headers[name] ?? ""}`),
    "",
    names.join(";"),
    sha256(""),
  ].join("\n");
  const signed = ["AWS4-HMAC-SHA256", stamp, `${date}/${region}/${service}/${last}`, sha256(canonical)].join(
    "\n",
  );
  let secret: Buffer = Buffer.from(`AWS4${key.secret}`);
  for (const part of [date, region, service, last, signed]) {
    secret = createHmac("sha256", secret).update(part).digest();
  }
  const given = Buffer.from(value("X-Amz-Signature"), "hex");
  return given.length === secret.length && timingSafeEqual(given, secret) ? undefined : "wrong signature";
}

/** By name, all but the signature and the token: this service leaves the token out. */
function canonicalQuery(fields: readonly (readonly [string, string])[]): string {
  return fields
    .filter(([key]) => key !== "X-Amz-Signature" && key !== "X-Amz-Security-Token")
    .map(([key, value = ""]) => `${key}=${value}`)
    .sort((a, b) => (a < b ? -1 : 1))
    .join("&");
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
