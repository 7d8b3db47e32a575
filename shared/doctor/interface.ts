// What the kernel tells of a network interface, read from /sys/class/net. A figure that it does not tell is undefined.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = "/sys/class/net";
const IFF_UP = 1;
const IFF_LOOPBACK = 8;
const IFF_POINTOPOINT = 16;
const IFF_NOARP = 128;

export type InterfaceFacts = {
  readonly name: string;
  readonly isUp: boolean;
  /** A cable with something at its other end; undefined: it does not tell. */
  readonly hasCarrier: boolean | undefined;
  readonly mtuBytes: number;
  readonly mbitPerSecond: number | undefined;
  /** Datagrams need no hardware address: a loopback, a line between two. */
  readonly needsNoAddress: boolean;
};

/** Undefined when there is none of this name. `folder` is another one in tests. */
export function readInterface(name: string, folder = FOLDER): InterfaceFacts | undefined {
  const read = (file: string): string | undefined => {
    try {
      return readFileSync(join(folder, name, file), "utf8").trim();
    } catch {
      return undefined; // The kernel refuses speed and carrier of an interface that is down.
    }
  };
  const flags = Number(read("flags"));
  const mtuBytes = Number(read("mtu"));
  if (Number.isNaN(flags) || Number.isNaN(mtuBytes)) return undefined;
  const carrier = read("carrier");
  const speed = Number(read("speed"));
  return {
    name,
    isUp: (flags & IFF_UP) !== 0,
    hasCarrier: carrier === undefined ? undefined : carrier === "1",
    mtuBytes,
    mbitPerSecond: speed > 0 ? speed : undefined,
    needsNoAddress: (flags & (IFF_LOOPBACK | IFF_POINTOPOINT | IFF_NOARP)) !== 0,
  };
}
