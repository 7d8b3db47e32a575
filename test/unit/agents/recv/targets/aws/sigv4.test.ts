// The signature that opens a WebSocket at AWS IoT Core. The golden one was computed by aws4, by aws-crt and by the
// documented algorithm; test/interop/clouds asks the first two again.
import { expect, test } from "bun:test";
import { presignWebSocketUrl } from "../../../../../../agents/recv/targets/aws/sigv4.ts";

const GOLDEN = {
  host: "abc-ats.iot.us-east-1.amazonaws.com",
  region: "us-east-1",
  keys: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" },
  atMs: Date.UTC(2030, 0, 1),
};
const GOLDEN_URL =
  "wss://abc-ats.iot.us-east-1.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
  "&X-Amz-Credential=AKIDEXAMPLE%2F20300101%2Fus-east-1%2Fiotdevicegateway%2Faws4_request" +
  "&X-Amz-Date=20300101T000000Z&X-Amz-SignedHeaders=host" +
  "&X-Amz-Signature=18be4ad9517e53345e709444e13ab650652b7005edc5302b894d5ac814c41632";

test("presignWebSocketUrl() makes the golden address", () => {
  expect(presignWebSocketUrl(GOLDEN)).toBe(GOLDEN_URL);
});

test("presignWebSocketUrl() appends the session token and leaves it out of the signature", () => {
  const keys = { ...GOLDEN.keys, sessionToken: "tok+/=en" };
  expect(presignWebSocketUrl({ ...GOLDEN, keys })).toBe(`${GOLDEN_URL}&X-Amz-Security-Token=tok%2B%2F%3Den`);
});

test("presignWebSocketUrl() signs the port only when it is not 443", () => {
  expect(presignWebSocketUrl({ ...GOLDEN, port: 443 })).toBe(GOLDEN_URL);
  const url = presignWebSocketUrl({ ...GOLDEN, port: 8443 });
  expect(url).toStartWith("wss://abc-ats.iot.us-east-1.amazonaws.com:8443/mqtt?");
  expect(readSignature(url)).not.toBe(readSignature(GOLDEN_URL));
});

test("presignWebSocketUrl() signs host, region, moment and each key", () => {
  const { keys } = GOLDEN;
  const others = [
    GOLDEN,
    { ...GOLDEN, host: "abd-ats.iot.us-east-1.amazonaws.com" },
    { ...GOLDEN, region: "us-east-2" },
    { ...GOLDEN, atMs: GOLDEN.atMs + 1000 },
    { ...GOLDEN, atMs: GOLDEN.atMs + 86_400_000 },
    { ...GOLDEN, keys: { ...keys, accessKeyId: "AKIDEXAMPLF" } },
    { ...GOLDEN, keys: { ...keys, secretAccessKey: `${keys.secretAccessKey}x` } },
  ].map((request) => readSignature(presignWebSocketUrl(request)));
  expect(new Set(others).size).toBe(others.length);
});

test("presignWebSocketUrl() drops the milliseconds of the moment", () => {
  expect(presignWebSocketUrl({ ...GOLDEN, atMs: GOLDEN.atMs + 999 })).toBe(GOLDEN_URL);
});

function readSignature(url: string): string {
  return new URL(url).searchParams.get("X-Amz-Signature") ?? "";
}
