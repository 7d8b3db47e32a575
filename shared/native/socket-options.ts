// Options of a socket that the runtime does not set: the device it is bound to, the filter against input, buffer sizes,
// multicast groups by interface. Each returns undefined when it is done, or a reason as a sentence for a person.
import { ptr } from "bun:ffi";
import { isIPv6 } from "node:net";
import { loadLibc, readErrno, toCString } from "./libc.ts";

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_BINDTODEVICE = 25;
const SO_ATTACH_FILTER = 26;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const IPPROTO_IP = 0;
const IP_RECVERR = 11;
const IP_ADD_MEMBERSHIP = 35;
const IPPROTO_IPV6 = 41;
const IPV6_ADD_MEMBERSHIP = 20;
const IPV6_RECVERR = 25;
const AF_INET = 2;
const AF_INET6 = 10;
/** IFNAMSIZ less the closing zero. */
export const INTERFACE_CHARACTERS_MAX = 15;

const NO_LIBRARY = "this system's C library has another name than those that are known";

/** Sends and receives through this network interface alone, whatever the routing table says [socket(7), SO_BINDTODEVICE]. */
export function bindToInterface(fd: number, name: string): string | undefined {
  const libc = loadLibc();
  if (libc === undefined) return NO_LIBRARY;
  const value = toCString(name);
  if (libc.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, value, value.length) === 0) return undefined;
  const error = readErrno(libc);
  if (error === "ENODEV") return `there is no network interface ${name}`;
  if (error === "EPERM")
    return "that needs CAP_NET_RAW on Linux before 5.7: setcap cap_net_raw+ep, or AmbientCapabilities= in the unit";
  return error;
}

/**
 * Attaches the classic BPF program "keep `bytes` bytes of each packet" to the socket [socket(7), SO_ATTACH_FILTER].
 * With 0 a datagram socket receives nothing at all. With 1 a TCP socket receives the headers, which its acknowledgements are in, and
 * no byte of what the peer sends: Linux never cuts a TCP packet within its header.
 */
function keepBytes(fd: number, bytes: 0 | 1): string | undefined {
  const libc = loadLibc();
  if (libc === undefined) return NO_LIBRARY;
  const program = new BigUint64Array([1n, BigInt(ptr(bytes === 0 ? KEEP_NOTHING : KEEP_HEADERS))]);
  if (libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.byteLength) === 0) return undefined;
  return readErrno(libc);
}

// One instruction each: BPF_RET | BPF_K with k = 0 and k = 1. They live as long as the program, as their addresses are passed on.
const KEEP_NOTHING = new Uint8Array([0x06, 0, 0, 0, 0, 0, 0, 0]);
const KEEP_HEADERS = new Uint8Array([0x06, 0, 0, 0, 1, 0, 0, 0]);

/**
 * A datagram socket that nothing can be sent to, ICMP errors included: the runtime asks for those, and each would make
 * a later write fail [ip(7), IP_RECVERR].
 */
export function dropAllInput(fd: number): string | undefined {
  const libc = loadLibc();
  if (libc === undefined) return NO_LIBRARY;
  const off = new Int32Array([0]);
  // A socket of one family has no option of the other; one of both has both.
  const done = [
    libc.setsockopt(fd, IPPROTO_IP, IP_RECVERR, off, 4),
    libc.setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, off, 4),
  ].includes(0);
  return done ? keepBytes(fd, 0) : readErrno(libc);
}

/** A TCP socket whose peer can send nothing to. To be called before it is connected. */
export function dropTcpInput(fd: number): string | undefined {
  return keepBytes(fd, 1);
}

/** Asks for a receive buffer and returns what was granted, in the kernel's own counting (twice the payload). */
export function setReceiveBufferBytes(fd: number, bytes: number): number | undefined {
  return setOption(fd, SO_RCVBUF, bytes) ? getOption(fd, SO_RCVBUF) : undefined;
}

export function setSendBufferBytes(fd: number, bytes: number): boolean {
  return setOption(fd, SO_SNDBUF, bytes);
}

/** The send buffer as it is, in the kernel's own counting (twice the payload). */
export function readSendBufferBytes(fd: number): number | undefined {
  return getOption(fd, SO_SNDBUF);
}

/**
 * What is sent from now on is cut into datagrams of so many bytes by the kernel, or by the network card; 0 ends that [udp(7),
 * UDP_SEGMENT]. False where the kernel does not know how: Linux does from 4.18 on.
 */
export function setSegmentBytes(fd: number, bytes: number): boolean {
  SEGMENT_BYTES[0] = bytes;
  return loadLibc()?.setsockopt(fd, SOL_UDP, UDP_SEGMENT, SEGMENT_BYTES, 4) === 0;
}

const SEGMENT_BYTES = new Int32Array(1);

function setOption(fd: number, option: number, value: number): boolean {
  return loadLibc()?.setsockopt(fd, SOL_SOCKET, option, new Int32Array([value]), 4) === 0;
}

function getOption(fd: number, option: number): number | undefined {
  const value = new Int32Array(1);
  const done = loadLibc()?.getsockopt(fd, SOL_SOCKET, option, value, new Int32Array([4])) === 0;
  return done ? value[0] : undefined;
}

/** The number of a network interface; undefined when there is none of this name. Numbers themselves are taken as they are. */
export function findInterfaceIndex(name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name);
  const index = loadLibc()?.if_nametoindex(toCString(name)) ?? 0;
  return index === 0 ? undefined : index;
}

/** The bytes of an address, without its scope: 4 or 16 of them. */
export function parseAddress(text: string): Uint8Array | undefined {
  const bare = text.split("%")[0] ?? "";
  const family = isIPv6(bare) ? AF_INET6 : AF_INET;
  const bytes = new Uint8Array(family === AF_INET6 ? 16 : 4);
  return loadLibc()?.inet_pton(family, toCString(bare), bytes) === 1 ? bytes : undefined;
}

/** Joins a multicast group on an interface, even one that has no address; without one where the routing table points. */
export function joinGroup(fd: number, group: string, interfaceName: string | undefined): string | undefined {
  const libc = loadLibc();
  const address = parseAddress(group);
  if (libc === undefined || address === undefined) return NO_LIBRARY;
  const index = interfaceName === undefined ? 0 : findInterfaceIndex(interfaceName);
  if (index === undefined) return `there is no network interface ${interfaceName}`;
  const isV6 = address.length === 16;
  // struct ipv6_mreq: group, index; struct ip_mreqn: group, own address (any), index.
  const request = Buffer.alloc(isV6 ? 20 : 12);
  request.set(address);
  new DataView(request.buffer, request.byteOffset).setInt32(isV6 ? 16 : 8, index, true);
  const [level, option] = isV6 ? [IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP] : [IPPROTO_IP, IP_ADD_MEMBERSHIP];
  if (libc.setsockopt(fd, level, option, request, request.length) === 0) return undefined;
  const error = readErrno(libc);
  return error === "ENODEV" ? "no route leads to the group: name the interface to join it on" : error;
}
