import { expect, test } from "bun:test";
import { createHubLogin } from "../../../../../../agents/recv/targets/azure/hub-login.ts";
import { Secret } from "../../../../../../shared/config/secret.ts";

const KEY = new Secret(Buffer.from("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "base64"));
const WISHES = {
  hub: "contoso.azure-devices.net",
  identity: { deviceId: "MyDevice01" },
  auth: { kind: "sas-key", key: { kind: "value", key: KEY } },
  registrationId: "MyDevice01",
  sasSeconds: 3600,
  nowMs: (1_893_456_000 - 3600) * 1000,
  random: 0,
  builtAt: "2026-01-01T00:00:00.000Z",
} as const;

test("createHubLogin() mints the token of the vendor's vector, to be replaced at three quarters of its life", () => {
  const login = createHubLogin(WISHES);
  expect(login.username).toBe("contoso.azure-devices.net/MyDevice01/?api-version=2021-04-12");
  expect(login.password?.reveal()).toBe(
    "SharedAccessSignature sr=contoso.azure-devices.net%2Fdevices%2FMyDevice01&sig=XpKA7BGcdWvp7wEi4awDizodd4ycaLFVylF2HAJ%2FqAE%3D&se=1893456000",
  );
  expect(login.renewAtMs).toBe(WISHES.nowMs + 2_700_000);
  const early = createHubLogin({ ...WISHES, random: 0.999 }).renewAtMs ?? 0;
  expect(early - WISHES.nowMs).toBeGreaterThan(2_340_000);
  expect(early - WISHES.nowMs).toBeLessThan(2_342_000);
});

test("createHubLogin() mints no token while the clock is before the day the program was made", () => {
  const builtAt = new Date(WISHES.nowMs + 1).toISOString();
  const login = createHubLogin({ ...WISHES, builtAt });
  expect(login.password).toBeUndefined();
  expect(login.problem).toContain("before this program was made");
  expect(createHubLogin({ ...WISHES, builtAt: "unknown" }).problem).toBeUndefined();
});

test("createHubLogin() says that the key's file is gone", () => {
  const auth = { kind: "sas-key", key: { kind: "file", file: "/nowhere/key" } } as const;
  expect(createHubLogin({ ...WISHES, auth }).problem).toStartWith(
    "there is no key to log in with: /nowhere/key does not exist",
  );
});
