// What the kernel knows of a neighbour's hardware address: the answer of `ip neigh show`, and where that program is missing /proc/net/arp,
// which has IPv4 alone.

/** static: set by hand and kept · learnt: from an answer, forgotten in time · missing: none, or nobody answered. */
export type NeighbourState = "static" | "learnt" | "missing";

/** `text` has a line for the address, such as "10.10.0.2 lladdr 02:00:00:00:00:02 PERMANENT", or none. */
export function readNeighbour(text: string): NeighbourState {
  const line = text.split("\n").find((each) => /\blladdr\b/.test(each));
  if (line === undefined || /\bFAILED\b/.test(line)) return "missing";
  return /\b(PERMANENT|NOARP)\b/.test(line) ? "static" : "learnt";
}

const ATF_COMPLETE = 2;
const ATF_PERMANENT = 4;

/** IP address, HW type, Flags, HW address, Mask, Device. */
export function readArpTable(text: string, address: string, interfaceName: string): NeighbourState {
  for (const line of text.split("\n").slice(1)) {
    const [ip, , flags, , , device] = line.trim().split(/\s+/);
    if (ip !== address || device !== interfaceName) continue;
    const bits = Number(flags);
    if ((bits & ATF_PERMANENT) !== 0) return "static";
    return (bits & ATF_COMPLETE) === 0 ? "missing" : "learnt";
  }
  return "missing";
}
