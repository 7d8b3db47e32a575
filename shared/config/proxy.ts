// The [proxy] table of a source or target: the proxy on the way to the broker, and who we are to it.
// Refuses a login inside the URL (it would end up in logs), other schemes, a password without a user name.

import type * as z from "zod";
import type { ProxySettings } from "../mqtt/proxy.ts";
import { parseEndpoint } from "./endpoint.ts";
import type { KeyPath } from "./key-path.ts";
import { checked, environmentName, path, text } from "./leaf.ts";
import { loadPassword } from "./password.ts";
import type { Review } from "./review.ts";
import { readValue } from "./schema-faults.ts";
import { mayHoldSecret, quoteText } from "./show-value.ts";
import { table } from "./table.ts";
import type { Partially } from "./validate.ts";

const ALLOWED = "must be http or socks5://HOST:PORT, with the user in proxy.username and proxy.password_file";

export function proxyTable() {
  return table({
    url: checked(text(1024), ALLOWED, (url) => {
      const parsed = parseProxyUrl(url);
      if (typeof parsed !== "string") return undefined;
      return mayHoldSecret(url) ? parsed : `${quoteText(url)} ${parsed}`;
    }).describe(
      "The proxy: http://HOST:PORT (HTTP CONNECT) or socks5://HOST:PORT. It resolves the broker's name.",
    ),
    username: text(255).optional().describe("User name for the proxy."),
    password_file: path()
      .optional()
      .describe(
        "File that holds the proxy's password on one line, mode 0600. Not together with password_env.",
      ),
    password_env: environmentName()
      .optional()
      .describe("Environment variable that holds the proxy's password. Not together with password_file."),
  });
}

export type ProxyTable = z.output<ReturnType<typeof proxyTable>>;

/** Reads the password and notes every fault; undefined when there is no proxy or its URL has a fault. */
export function loadProxy(
  review: Review,
  at: KeyPath,
  proxy: Partially<ProxyTable> | undefined,
): ProxySettings | undefined {
  if (proxy === undefined) return undefined;
  const hasUser = readValue(review.document, [...at, "username"]) !== undefined;
  for (const key of ["password_file", "password_env"]) {
    if (readValue(review.document, [...at, key]) !== undefined && !hasUser)
      review.add([...at, key], "has no username beside it", "must have one");
  }
  const password = loadPassword(review, at, proxy);
  const url = proxy.url === undefined ? "" : parseProxyUrl(proxy.url);
  return typeof url === "string" ? undefined : { ...url, username: proxy.username, password };
}

/** The parts, or what is wrong with the text. */
export function parseProxyUrl(text: string): Pick<ProxySettings, "scheme" | "host" | "port"> | string {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)\/?$/.exec(text);
  if (match === null) return "is not SCHEME://HOST:PORT";
  const [, scheme = "", authority = ""] = match;
  if (scheme !== "http" && scheme !== "socks5") return `has the scheme "${scheme}"`;
  if (authority.includes("@")) return "has a user name or password in it";
  const endpoint = parseEndpoint(authority);
  if (typeof endpoint === "string") return endpoint;
  if (endpoint.port === 0) return "has the port 0";
  return { scheme, ...endpoint };
}
