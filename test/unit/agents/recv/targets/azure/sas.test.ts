// Tokens of Azure. The golden ones were made by azure-iot-common and published by Microsoft; test/interop/clouds asks the
// library again.
import { expect, test } from "bun:test";
import {
  allDevicesResource,
  decodeSasKey,
  deriveDeviceKey,
  deviceResource,
  mintSas,
  moduleResource,
  REGISTRATION_POLICY,
  registrationResource,
} from "../../../../../../agents/recv/targets/azure/sas.ts";

const HUB = "contoso.azure-devices.net";
const SE = 1_893_456_000;
const key = readKey("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");

test("mintSas() makes the golden token of a device", () => {
  expect(mintSas({ resource: deviceResource(HUB, "MyDevice01"), key, expirySeconds: SE })).toBe(
    "SharedAccessSignature sr=contoso.azure-devices.net%2Fdevices%2FMyDevice01" +
      "&sig=XpKA7BGcdWvp7wEi4awDizodd4ycaLFVylF2HAJ%2FqAE%3D&se=1893456000",
  );
});

test("mintSas() makes the golden token of a module", () => {
  const token = mintSas({ resource: moduleResource(HUB, "MyDevice01", "mod1"), key, expirySeconds: SE });
  expect(token).toContain("&sig=pvCWegu%2BzMb3mrsPeA6VOQo2xnnG%2BQh6BG4i7iXBOjo%3D&");
});

test("mintSas() makes the golden token of a policy", () => {
  const token = mintSas({ resource: HUB, key, expirySeconds: SE, policy: "iothubowner" });
  expect(token).toEndWith(
    "&sig=qntaV5IT1dM2apsDoJXawvLIz4ZKnzKlcX2pfrRfwRU%3D&se=1893456000&skn=iothubowner",
  );
});

test("mintSas() encodes what it signs and sends the same", () => {
  const resource = registrationResource("0ne00ABCDEF", "reg 01");
  const token = mintSas({ resource, key, expirySeconds: SE, policy: REGISTRATION_POLICY });
  expect(token).toContain("sr=0ne00ABCDEF%2Fregistrations%2Freg%2001&");
  expect(token).toEndWith("&skn=registration");
  expect(allDevicesResource(HUB)).toBe("contoso.azure-devices.net/devices");
});

test("deriveDeviceKey() makes the key that Microsoft published", () => {
  const groupKey = readKey(
    "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==",
  );
  const deviceKey = deriveDeviceKey(groupKey, "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6");
  expect(deviceKey.toString("base64")).toBe("Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
});

test("decodeSasKey() refuses what is not base64", () => {
  for (const text of ["", "=", "abc", "abcde", "ab=c", "ab==cd==", "a b=", "a-_=", "MDEy\n"])
    expect(decodeSasKey(text)).toBeUndefined();
  expect(decodeSasKey("MDEy")?.toString()).toBe("012");
});

function readKey(text: string): Buffer {
  const bytes = decodeSasKey(text);
  if (bytes === undefined) throw new Error("cannot read a key");
  return bytes;
}
