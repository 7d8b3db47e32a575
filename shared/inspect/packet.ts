// From a captured packet to its UDP datagram: Ethernet with VLAN tags, Linux cooked (both versions), loopback and raw IP
// below; IPv4, and IPv6 with extension headers. Says why there is none: it never guesses, and puts no fragments together.
import { formatIpv6 } from "./ip-address.ts";

export type UdpDatagram = {
  readonly kind: "udp";
  /** "10.0.0.1:14550" or "[fe80::1]:14550". */
  readonly source: string;
  readonly destination: string;
  readonly destinationPort: number;
  /** What was captured of it. */
  readonly payload: Buffer;
  /** Bytes that it had on the wire. */
  readonly bytes: number;
};

/** Why a packet gives no datagram; the word of the summary. */
export type NoDatagram =
  | "link-type" // a link layer that is not known here
  | "not-ip"
  | "not-udp"
  | "fragment" // a piece of an IP packet: the datagram was larger than the MTU
  | "cut"; // captured with too few bytes, or broken

const NULL = 0;
const ETHERNET = 1;
const RAW = new Set([12, 14, 101, 228, 229]);
const LOOP = 108;
const LINUX_COOKED = 113;
const LINUX_COOKED_2 = 276;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const VLAN = new Set([0x8100, 0x88a8, 0x9100]);
const UDP = 17;
const FRAGMENT = 44;
/** Hop-by-hop, routing and destination options. */
const IPV6_EXTENSIONS = new Set([0, 43, 60]);

export function findDatagram(linkType: number, packet: Buffer): UdpDatagram | NoDatagram {
  if (RAW.has(linkType) || linkType === NULL || linkType === LOOP) {
    return readIp(packet.subarray(RAW.has(linkType) ? 0 : 4));
  }
  if (linkType === ETHERNET) return readEthernet(packet, 12);
  // The protocol number of a cooked header may be a VLAN's, as in Ethernet.
  if (linkType === LINUX_COOKED) return readEthernet(packet, 14);
  if (linkType === LINUX_COOKED_2) {
    if (packet.length < 20) return "cut";
    return readProtocol(packet.readUInt16BE(0), packet.subarray(20));
  }
  return "link-type";
}

/** From the two bytes on that name the protocol. */
function readEthernet(packet: Buffer, at: number): UdpDatagram | NoDatagram {
  if (packet.length < at + 2) return "cut";
  const protocol = packet.readUInt16BE(at);
  return VLAN.has(protocol) ? readEthernet(packet, at + 4) : readProtocol(protocol, packet.subarray(at + 2));
}

function readProtocol(protocol: number, packet: Buffer): UdpDatagram | NoDatagram {
  return protocol === IPV4 || protocol === IPV6 ? readIp(packet) : "not-ip";
}

function readIp(packet: Buffer): UdpDatagram | NoDatagram {
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4) return readIpv4(packet);
  return version === 6 ? readIpv6(packet) : "not-ip";
}

function readIpv4(packet: Buffer): UdpDatagram | NoDatagram {
  if (packet.length < 20) return "cut";
  const headerBytes = (packet.readUInt8(0) & 0x0f) * 4;
  if (headerBytes < 20) return "cut";
  // More fragments follow, or this is not the first.
  if ((packet.readUInt16BE(6) & 0x3fff) !== 0) return "fragment";
  if (packet.readUInt8(9) !== UDP) return "not-udp";
  const [source, destination] = [12, 16].map((at) => packet.subarray(at, at + 4).join("."));
  return readUdp(packet.subarray(headerBytes), source ?? "", destination ?? "");
}

function readIpv6(packet: Buffer): UdpDatagram | NoDatagram {
  if (packet.length < 40) return "cut";
  const [source, destination] = [8, 24].map((at) => `[${formatIpv6(packet.subarray(at, at + 16))}]`);
  let next = packet.readUInt8(6);
  let at = 40;
  while (IPV6_EXTENSIONS.has(next)) {
    if (packet.length < at + 2) return "cut";
    next = packet.readUInt8(at);
    at += (packet.readUInt8(at + 1) + 1) * 8;
  }
  if (next === FRAGMENT) return "fragment";
  if (next !== UDP) return "not-udp";
  return readUdp(packet.subarray(at), source ?? "", destination ?? "");
}

function readUdp(segment: Buffer, source: string, destination: string): UdpDatagram | NoDatagram {
  if (segment.length < 8) return "cut";
  const destinationPort = segment.readUInt16BE(2);
  const bytes = segment.readUInt16BE(4) - 8;
  if (bytes < 0) return "cut";
  return {
    kind: "udp",
    source: `${source}:${segment.readUInt16BE(0)}`,
    destination: `${destination}:${destinationPort}`,
    destinationPort,
    payload: segment.subarray(8, 8 + bytes),
    bytes,
  };
}
