// AWS IoT's custom authorizer: what it is called by stands in the user name (or in the query of a WebSocket), the token in
// a field that the customer names, and the token is signed so that the service needn't ask for every stranger.
import { verify } from "node:crypto";
import type { IConnectPacket } from "mqtt-packet";
import type { UpgradeRequest } from "../server/wire.ts";

export type AwsAuthorizer = {
  /** The name of the field that has the token. */
  readonly tokenKeyName: string;
  /** PEM, RSA or EC; without it tokens are not signed. */
  readonly publicKey?: string;
  /** What the Lambda decides. */
  readonly allow: (asked: { user: string; password: string; token: string }) => boolean;
  readonly disconnectAfterSeconds: number;
};

export type AwsAuthorizers = Readonly<Record<string, AwsAuthorizer>>;

export type Authorization = { readonly expiresAfterSeconds: number } | { readonly fault: string };

/** Whether CONNECT or the request for a WebSocket asks for a custom authorizer at all. */
export function asksForAuthorizer(connect: IConnectPacket, upgrade: UpgradeRequest | undefined): boolean {
  const text = `${connect.username ?? ""}?${upgrade?.query ?? ""}`;
  return (
    /[?&]x-amz-customauthorizer-name=/i.test(text) ||
    upgrade?.headers["x-amz-customauthorizer-name"] !== undefined
  );
}

export function authorize(
  connect: IConnectPacket,
  upgrade: UpgradeRequest | undefined,
  authorizers: AwsAuthorizers,
): Authorization {
  const [user = "", query = ""] = splitOnce(connect.username ?? "", "?");
  const fields = new Map([...readQuery(upgrade?.query ?? ""), ...readQuery(query)]);
  const read = (name: string): string =>
    fields.get(name.toLowerCase()) ?? upgrade?.headers[name.toLowerCase()] ?? "";
  const authorizer = authorizers[read("x-amz-customauthorizer-name")];
  if (authorizer === undefined) return { fault: "unknown authorizer" };
  const token = read(authorizer.tokenKeyName);
  if (authorizer.publicKey !== undefined) {
    const signature = Buffer.from(read("x-amz-customauthorizer-signature"), "base64");
    if (signature.length === 0) return { fault: "token is not signed" };
    if (!verify("sha256", Buffer.from(token), authorizer.publicKey, signature))
      return { fault: "wrong token signature" };
  }
  const password = connect.password?.toString("utf8") ?? "";
  if (!authorizer.allow({ user, password, token })) return { fault: "authorizer said no" };
  return { expiresAfterSeconds: authorizer.disconnectAfterSeconds };
}

function readQuery(query: string): [string, string][] {
  return query
    .split("&")
    .filter((field) => field !== "")
    .map((field) => {
      const [name = "", value = ""] = splitOnce(field, "=");
      return [decode(name).toLowerCase(), decode(value)];
    });
}

/** A "%" that begins no escape stands for itself: the vendor's SDK encodes the signature alone. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function splitOnce(text: string, mark: string): string[] {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
