// Where the kernel would send a datagram: the routing tables /proc/net/route and /proc/net/ipv6_route, as text. The longest prefix wins, then the
// lowest metric. Rules for other tables (ip rule) are not seen here.
import { isIPv4 } from "node:net";
import { parseAddress } from "../native/socket-options.ts";

export type Route = {
  readonly interface: string;
  /** The router to hand it to; undefined: the address itself is on this network. */
  readonly gateway: string | undefined;
};

const RTF_UP = 1;
const RTF_GATEWAY = 2;
const RTF_REJECT = 0x200;

type Entry = Route & { readonly prefixBits: number; readonly metric: number };

/** Undefined when no route leads there. `tables` are the texts of the two files. */
export function findRoute(
  address: string,
  tables: { readonly ipv4: string; readonly ipv6: string },
): Route | undefined {
  const bytes = parseAddress(address);
  if (bytes === undefined) return undefined;
  const entries = isIPv4(address) ? readIpv4(tables.ipv4, bytes) : readIpv6(tables.ipv6, bytes);
  const [best] = entries.sort((a, b) => b.prefixBits - a.prefixBits || a.metric - b.metric);
  return best && { interface: best.interface, gateway: best.gateway };
}

/** Iface Destination Gateway Flags RefCnt Use Metric Mask …: numbers in the machine's own byte order, in hexadecimal. */
function readIpv4(text: string, address: Uint8Array): Entry[] {
  const target = Buffer.from(address).readUInt32LE();
  return text
    .split("\n")
    .slice(1)
    .flatMap((line): Entry[] => {
      const [name = "", destination, gateway, flags, , , metric, mask] = line.split("\t");
      if (mask === undefined || !isUsable(flags)) return [];
      const maskBits = Number.parseInt(mask, 16);
      if ((target & maskBits) >>> 0 !== Number.parseInt(destination ?? "", 16)) return [];
      const via = Number.parseInt(gateway ?? "", 16);
      return [
        {
          interface: name,
          gateway: hasGateway(flags) ? showIpv4(via) : undefined,
          prefixBits: countOnes(maskBits),
          metric: Number(metric),
        },
      ];
    });
}

/** Destination, its prefix, source, its prefix, next hop, metric, references, use, flags, interface, all in hexadecimal. */
function readIpv6(text: string, address: Uint8Array): Entry[] {
  const target = Buffer.from(address).toString("hex");
  return text.split("\n").flatMap((line): Entry[] => {
    const [destination = "", prefix, , , hop = "", metric = "", , , flags, name] = line.trim().split(/\s+/);
    if (name === undefined || !isUsable(flags)) return [];
    const prefixBits = Number.parseInt(prefix ?? "", 16);
    if (toBits(destination).slice(0, prefixBits) !== toBits(target).slice(0, prefixBits)) return [];
    return [
      {
        interface: name,
        gateway: hasGateway(flags) ? (hop.match(/.{4}/g) ?? []).join(":") : undefined,
        prefixBits,
        metric: Number.parseInt(metric, 16),
      },
    ];
  });
}

function isUsable(flags: string | undefined): boolean {
  const bits = Number.parseInt(flags ?? "", 16);
  return (bits & RTF_UP) !== 0 && (bits & RTF_REJECT) === 0;
}

function hasGateway(flags: string | undefined): boolean {
  return (Number.parseInt(flags ?? "", 16) & RTF_GATEWAY) !== 0;
}

function showIpv4(littleEndian: number): string {
  return [0, 8, 16, 24].map((shift) => (littleEndian >>> shift) & 255).join(".");
}

function countOnes(bits: number): number {
  return (bits >>> 0).toString(2).replaceAll("0", "").length;
}

function toBits(hex: string): string {
  return [...hex].map((digit) => Number.parseInt(digit, 16).toString(2).padStart(4, "0")).join("");
}
