import { expect, test } from "bun:test";
import { parseProxyUrl } from "../../../../shared/config/proxy.ts";

test("parseProxyUrl() takes http and socks5 with a host and a port", () => {
  expect(parseProxyUrl("http://proxy.example:3128")).toEqual({
    scheme: "http",
    host: "proxy.example",
    port: 3128,
  });
  expect(parseProxyUrl("socks5://[fd00::1]:1080/")).toEqual({
    scheme: "socks5",
    host: "fd00::1",
    port: 1080,
  });
});

test("parseProxyUrl() says what is wrong with anything else", () => {
  const cases: Record<string, string> = {
    "": "is not SCHEME://HOST:PORT",
    "proxy:3128": "is not SCHEME://HOST:PORT",
    "https://proxy:3128": 'has the scheme "https"',
    "socks4://proxy:1080": 'has the scheme "socks4"',
    "http://user:secret@proxy:3128": "has a user name or password in it",
    "http://proxy": "has no port",
    "http://proxy:0": "has the port 0",
    "http://proxy:99999": "has the port 99999, which is over 65535",
    "http://proxy:3128/path": "is not SCHEME://HOST:PORT",
    "http://fd00::1:3128": "is an IPv6 address without brackets",
  };
  for (const [url, problem] of Object.entries(cases))
    expect([url, parseProxyUrl(url)]).toEqual([url, problem]);
});
