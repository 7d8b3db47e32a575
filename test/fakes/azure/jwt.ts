// Makes and checks JSON Web Tokens signed with RS256 [RFC 7519], as Microsoft Entra issues them for Event Grid.
import { generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";

export type Claims = {
  readonly aud?: unknown;
  readonly exp?: unknown;
  readonly nbf?: unknown;
  readonly sub?: unknown;
};

/** Stands in for Microsoft Entra. */
export class TokenIssuer {
  readonly publicKey: KeyObject;
  readonly #privateKey: KeyObject;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    this.publicKey = publicKey;
    this.#privateKey = privateKey;
  }

  issue(claims: Claims): string {
    const head = encode({ alg: "RS256", typ: "JWT" });
    const text = `${head}.${encode(claims)}`;
    return `${text}.${sign("sha256", Buffer.from(text), this.#privateKey).toString("base64url")}`;
  }
}

/** The claims of a token that this key has signed; undefined for any other. */
export function readToken(token: string, key: KeyObject): Claims | undefined {
  const [head = "", body = "", signature = "", more] = token.split(".");
  if (more !== undefined) return undefined;
  const algorithm = decode(head)?.alg;
  const bytes = Buffer.from(signature, "base64url");
  if (algorithm !== "RS256" || !verify("sha256", Buffer.from(`${head}.${body}`), key, bytes))
    return undefined;
  return decode(body);
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
