import { expect, test } from "bun:test";
import { formatBrokerUrl, parseBrokerUrl } from "../../../../shared/config/broker-url.ts";
import {
  type Endpoint,
  formatEndpoint,
  isLoopback,
  parseEndpoint,
} from "../../../../shared/config/endpoint.ts";

const ENDPOINTS: [text: string, expected: Endpoint | string][] = [
  ["10.0.0.2:14550", { host: "10.0.0.2", port: 14_550 }],
  ["[fd00::2]:1", { host: "fd00::2", port: 1 }],
  ["gate.example:65535", { host: "gate.example", port: 65_535 }],
  ["localhost:0", { host: "localhost", port: 0 }],
  ["10.0.0.2", "has no port"],
  ["10.0.0.2:", "is not HOST:PORT"],
  ["10.0.0.2:x", "is not HOST:PORT"],
  ["10.0.0.2:-1", "is not HOST:PORT"],
  ["10.0.0.2:65536", "has the port 65536, which is over 65535"],
  ["10.0.0.2:1000000", "is not HOST:PORT"],
  ["10.0.0.256:1", "has no valid host name or address"],
  ["10.0.0:1", "has no valid host name or address"],
  ["-x.example:1", "has no valid host name or address"],
  ["a b:1", "has no valid host name or address"],
  ["a..b:1", "has no valid host name or address"],
  [":1", "has no valid host name or address"],
  ["", "has no valid host name or address"],
  [`${"a".repeat(64)}:1`, "has no valid host name or address"],
  ["fd00::2:1", "is an IPv6 address without brackets"],
  ["[fd00::2]", "has no port"],
  ["[10.0.0.2]:1", "has no IPv6 address in its brackets"],
  ["[::1]x:1", "is an IPv6 address without brackets"],
];
test.each(ENDPOINTS)("parseEndpoint() of %j", (text, expected) => {
  expect(parseEndpoint(text)).toEqual(expected);
  if (typeof expected !== "string") expect(formatEndpoint(expected)).toBe(text);
});

test("isLoopback() knows this machine from others", () => {
  for (const host of ["127.0.0.1", "127.9.9.9", "::1", "localhost"]) expect(isLoopback(host)).toBe(true);
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "127.evil.example", "localhost.example"]) {
    expect(isLoopback(host)).toBe(false);
  }
});

const URLS: [text: string, expected: string][] = [
  ["mqtt://h", "mqtt://h:1883"],
  ["mqtts://h/", "mqtts://h:8883"],
  ["ws://h", "ws://h:80/"],
  ["wss://[fd00::2]:9001/mqtt/a", "wss://[fd00::2]:9001/mqtt/a"],
];
test.each(URLS)("parseBrokerUrl() takes %j", (text, expected) => {
  const url = parseBrokerUrl(text);
  expect(typeof url === "string" ? url : formatBrokerUrl(url)).toBe(expected);
});

const BAD_URLS: [text: string, problem: string][] = [
  ["h:1883", "is not a URL"],
  ["mqtt:/h", "is not a URL"],
  ["http://h", 'has the scheme "http"'],
  ["MQTT://h", 'has the scheme "MQTT"'],
  ["mqtt://u:p@h", "has a user name or password in it"],
  ["mqtt://h/path", "has a path, which only ws and wss can have"],
  ["ws://h/a?token=1", 'has a query or fragment ("?" or "#")'],
  ["ws://h/a b", "has a space or a non-ASCII character in its path"],
  ["mqtt://", "has no valid host name or address"],
  ["mqtt://h:0", "has the port 0"],
  ["mqtt://h:99999", "has the port 99999, which is over 65535"],
  ["mqtt://fd00::1", "is an IPv6 address without brackets"],
];
test.each(BAD_URLS)("parseBrokerUrl() refuses %j", (text, problem) => {
  expect(parseBrokerUrl(text)).toBe(problem);
});
