// The address that opens MQTT over WebSocket at AWS IoT Core: a query string signed with Signature Version 4. Pure: the
// moment is an argument, because AWS refuses a signature that is more than five minutes off. Sign anew for each connection.
import { createHash, createHmac } from "node:crypto";

export type AwsKeys = {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary keys only. */
  readonly sessionToken?: string;
};

export type PresignRequest = {
  /** `<prefix>-ats.iot.<region>.amazonaws.com`, or a custom domain. */
  readonly host: string;
  /** 443 unless told; any other port is part of the signed host header. */
  readonly port?: number;
  readonly region: string;
  readonly keys: AwsKeys;
  /** Milliseconds since 1970, UTC. */
  readonly atMs: number;
};

const ALGORITHM = "AWS4-HMAC-SHA256";
const SERVICE = "iotdevicegateway";
const PATH = "/mqtt";
const HTTPS_PORT = 443;
const EMPTY_PAYLOAD_SHA256 = sha256("");

/**
 * `wss://HOST/mqtt?…`. The session token comes after the signature and is not signed: this service differs there from
 * every other one of AWS, and general signers get it wrong.
 */
export function presignWebSocketUrl({ host, port = HTTPS_PORT, region, keys, atMs }: PresignRequest): string {
  const authority = port === HTTPS_PORT ? host : `${host}:${port}`;
  const stamp = formatStamp(atMs);
  const date = stamp.slice(0, 8);
  const scope = `${date}/${region}/${SERVICE}/aws4_request`;
  // In the order of their names, as the canonical request wants them.
  const query = [
    `X-Amz-Algorithm=${ALGORITHM}`,
    `X-Amz-Credential=${encodeStrictly(`${keys.accessKeyId}/${scope}`)}`,
    `X-Amz-Date=${stamp}`,
    "X-Amz-SignedHeaders=host",
  ].join("&");
  const request = ["GET", PATH, query, `host:${authority}`, "", "host", EMPTY_PAYLOAD_SHA256].join("\n");
  const signed = [ALGORITHM, stamp, scope, sha256(request)].join("\n");
  const signature = hmac(deriveKey(keys.secretAccessKey, date, region), signed).toString("hex");
  const token =
    keys.sessionToken === undefined ? "" : `&X-Amz-Security-Token=${encodeStrictly(keys.sessionToken)}`;
  return `wss://${authority}${PATH}?${query}&X-Amz-Signature=${signature}${token}`;
}

/** The key that is good for one day, one region and this service. */
function deriveKey(secret: string, date: string, region: string): Buffer {
  return [region, SERVICE, "aws4_request"].reduce(hmac, hmac(`AWS4${secret}`, date));
}

/** `20300101T000000Z`. */
function formatStamp(atMs: number): string {
  return new Date(atMs)
    .toISOString()
    .replace(/\.\d{3}/, "")
    .replaceAll(/[-:]/g, "");
}

/** Everything but the unreserved characters of RFC 3986, in capitals; encodeURIComponent() leaves five more alone. */
function encodeStrictly(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  });
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text, "utf8").digest();
}

function sha256(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}
