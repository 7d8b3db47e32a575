// What an address means to a socket that sends to it: one host, a multicast group, or everybody on a network.
import { isIPv4 } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";

export function isMulticast(address: string): boolean {
  if (!isIPv4(address)) return /^ff/i.test(address);
  const first = Number(address.split(".")[0]);
  return first >= 224 && first <= 239;
}

/** The limited broadcast address, or the one of a network that this machine is in. */
export function isBroadcast(
  address: string,
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): boolean {
  if (!isIPv4(address)) return false;
  if (address === "255.255.255.255") return true;
  const target = toNumber(address);
  return Object.values(interfaces).some((entries) =>
    entries?.some((entry) => {
      if (entry.family !== "IPv4") return false;
      const hostBits = ~toNumber(entry.netmask) >>> 0;
      // Networks of one or two hosts have no broadcast address [RFC 3021].
      return hostBits > 1 && target === (toNumber(entry.address) | hostBits) >>> 0;
    }),
  );
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}
