// The kernel's settings and tables that doctor looks at. What this host hides (a container, a hardened unit) is undefined or empty.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { type NeighbourState, readArpTable, readNeighbour } from "./neighbour.ts";
import { findRoute, type Route } from "./route.ts";

const ASK_MS = 5000;

export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** `name` as sysctl(8) writes it. */
export function readSetting(name: string): number | undefined {
  const text = readText(`/proc/sys/${name.replaceAll(".", "/")}`).trim();
  return text === "" ? undefined : Number(text);
}

export function askRoute(address: string): Route | undefined {
  return findRoute(address, { ipv4: readText("/proc/net/route"), ipv6: readText("/proc/net/ipv6_route") });
}

/** Undefined when nothing here tells: an IPv6 address on a host without the program `ip`. */
export function askNeighbour(address: string, interfaceName: string): NeighbourState | undefined {
  const bare = address.split("%")[0] ?? address;
  const asked = spawnSync("ip", ["neigh", "show", "to", bare, "dev", interfaceName], {
    encoding: "utf8",
    timeout: ASK_MS,
  });
  if (asked.status === 0) return readNeighbour(asked.stdout);
  return bare.includes(":") ? undefined : readArpTable(readText("/proc/net/arp"), bare, interfaceName);
}
