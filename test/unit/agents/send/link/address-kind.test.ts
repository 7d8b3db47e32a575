import { expect, test } from "bun:test";
import type { NetworkInterfaceInfo } from "node:os";
import { isBroadcast, isMulticast } from "../../../../../agents/send/link/address-kind.ts";

test.each([
  ["224.0.0.1", true],
  ["239.255.255.255", true],
  ["223.255.255.255", false],
  ["240.0.0.1", false],
  ["10.0.0.1", false],
  ["ff02::1%eth0", true],
  ["FF05::1", true],
  ["fe80::1%eth0", false],
  ["::1", false],
])("isMulticast() tells %s: %p", (address, expected) => {
  expect(isMulticast(address)).toBe(expected);
});

function network(address: string, netmask: string): NetworkInterfaceInfo {
  return { address, netmask, family: "IPv4", mac: "", internal: false, cidr: null };
}

test("isBroadcast() knows the broadcast addresses of this machine's networks", () => {
  const interfaces = {
    eth0: [network("10.77.1.1", "255.255.255.0")],
    eth1: [network("192.0.2.1", "255.255.255.255"), network("198.51.100.4", "255.255.255.254")],
    eth2: [network("172.16.5.5", "255.240.0.0")],
  };
  const found = [
    "10.77.1.255",
    "10.77.1.1",
    "10.77.2.255",
    "192.0.2.1",
    "198.51.100.5",
    "172.31.255.255",
  ].filter((address) => isBroadcast(address, interfaces));
  expect(found).toEqual(["10.77.1.255", "172.31.255.255"]);
  expect(isBroadcast("255.255.255.255", {})).toBe(true);
  expect(isBroadcast("ff02::1", interfaces)).toBe(false);
});
