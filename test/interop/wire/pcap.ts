// Writes captures by hand: pcap and pcapng, any link layer, IPv4 and IPv6, so that readers of captures meet all of them without a
// network. Check sums are zero, as a capture on loopback often has them.

export type Capsule = { readonly linkType: number; wrap(datagram: Buffer): Buffer };
export type PcapWishes = { readonly isLittle?: boolean; readonly nanoseconds?: boolean };

export const PORT = 14_550;
const START_SECONDS = 1_700_000_000;

function udp(datagram: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(40_000, 0);
  head.writeUInt16BE(PORT, 2);
  head.writeUInt16BE(datagram.length + 8, 4);
  return Buffer.concat([head, datagram]);
}

/** `fragment`: the field of flags and offset. */
export function ipv4(datagram: Buffer, fragment = 0): Buffer {
  const body = udp(datagram);
  const head = Buffer.from("4500000000000000401100000a0000010a000002", "hex");
  head.writeUInt16BE(20 + body.length, 2);
  head.writeUInt16BE(fragment, 6);
  return Buffer.concat([head, body]);
}

/** With an extension header of destination options. */
export function ipv6(datagram: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from("11000104000000000", "hex").subarray(0, 8), udp(datagram)]);
  const head = Buffer.from(`6000000000003c40${"fe80".padEnd(31, "0")}1${"ff02".padEnd(31, "0")}2`, "hex");
  head.writeUInt16BE(body.length, 4);
  return Buffer.concat([head, body]);
}

const mac = "020000000001020000000002";

export const CAPSULES: Readonly<Record<string, Capsule>> = {
  "Ethernet, IPv4": { linkType: 1, wrap: (datagram) => behind(`${mac}0800`, ipv4(datagram)) },
  "Ethernet, IPv6": { linkType: 1, wrap: (datagram) => behind(`${mac}86dd`, ipv6(datagram)) },
  "Ethernet, two VLAN tags": {
    linkType: 1,
    wrap: (datagram) => behind(`${mac}88a8000181000002${"0800"}`, ipv4(datagram)),
  },
  "Linux cooked": {
    linkType: 113,
    wrap: (datagram) => behind(`0000000100060200000000010000${"0800"}`, ipv4(datagram)),
  },
  "Linux cooked 2": {
    linkType: 276,
    wrap: (datagram) => behind(`86dd0000${"00000001"}0001000602000000${"00010000"}`, ipv6(datagram)),
  },
  "raw IP": { linkType: 101, wrap: (datagram) => ipv4(datagram) },
  "BSD loopback": { linkType: 0, wrap: (datagram) => behind("02000000", ipv4(datagram)) },
  "OpenBSD loopback": { linkType: 108, wrap: (datagram) => behind("00000018", ipv6(datagram)) },
};

function behind(hex: string, packet: Buffer): Buffer {
  return Buffer.concat([Buffer.from(hex, "hex"), packet]);
}

/** Packets a millisecond apart. */
export function writePcap(linkType: number, packets: readonly Buffer[], wishes: PcapWishes = {}): Buffer {
  const { isLittle = true, nanoseconds = false } = wishes;
  const u32 = (value: number) => number32(value, isLittle);
  const versions = isLittle ? "02000400" : "00020004";
  const head = [
    u32(nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4),
    Buffer.from(versions, "hex"),
    u32(0),
    u32(0),
    u32(262_144),
    u32(linkType),
  ];
  const records = packets.flatMap((packet, index) => {
    const fraction = index * 1000 * (nanoseconds ? 1000 : 1);
    return [u32(START_SECONDS), u32(fraction), u32(packet.length), u32(packet.length), packet];
  });
  return Buffer.concat([...head, ...records]);
}

export function writePcapng(linkType: number, packets: readonly Buffer[], isLittle = true): Buffer {
  const u32 = (value: number) => number32(value, isLittle);
  const block = (type: number, ...parts: Buffer[]) => {
    const body = Buffer.concat(parts);
    const padding = Buffer.alloc((4 - (body.length % 4)) % 4);
    const size = u32(12 + body.length + padding.length);
    return Buffer.concat([u32(type), size, body, padding, size]);
  };
  const versions = Buffer.from(isLittle ? "01000000" : "00010000", "hex");
  const section = block(0x0a0d0d0a, u32(0x1a2b3c4d), versions, Buffer.alloc(8, 255));
  const type = isLittle ? [linkType & 255, linkType >> 8] : [linkType >> 8, linkType & 255];
  // Its clock has nanoseconds.
  const resolution = Buffer.from(isLittle ? "09000100090000000000" : "00090001090000000000", "hex");
  const port = block(1, Buffer.from([...type, 0, 0]), u32(0), resolution, Buffer.alloc(2));
  const other = block(0x0bad, Buffer.alloc(7));
  const records = packets.map((packet, index) => {
    const time = BigInt(START_SECONDS) * 1_000_000_000n + BigInt(index) * 1_000_000n;
    const [high, low] = [Number(time >> 32n), Number(time & 0xffff_ffffn)];
    return block(6, u32(0), u32(high), u32(low), u32(packet.length), u32(packet.length), packet);
  });
  return Buffer.concat([section, other, port, ...records]);
}

function number32(value: number, isLittle: boolean): Buffer {
  const bytes = Buffer.alloc(4);
  if (isLittle) bytes.writeUInt32LE(value);
  else bytes.writeUInt32BE(value);
  return bytes;
}

/** A segment of one TCP connection, `sequence` bytes into it. */
export function ipv4Tcp(data: Buffer, sequence: number): Buffer {
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(40_000, 0);
  tcp.writeUInt16BE(PORT, 2);
  tcp.writeUInt32BE(sequence, 4);
  // Header of five words, ACK, a window.
  tcp.writeUInt16BE(0x5010, 12);
  tcp.writeUInt16BE(65_535, 14);
  const head = Buffer.from("4500000000000000400600000a0000010a000002", "hex");
  head.writeUInt16BE(40 + data.length, 2);
  return Buffer.concat([head, tcp, data]);
}

/** A datagram as streams carry it: "TGD1", its length, the complement of that, the datagram. */
export function encodeRecord(datagram: Buffer): Buffer {
  const head = Buffer.from("TGD1\0\0\0\0");
  head.writeUInt16BE(datagram.length, 4);
  head.writeUInt16BE(0xffff - datagram.length, 6);
  return Buffer.concat([head, datagram]);
}
