// A TCP connection that is opened and written to, and never read: its socket is made here, outside the runtime's event loop, so
// that there is no code that could read it, and a kernel filter takes the payload out of every packet that comes.
import { closeSync } from "node:fs";
import { loadLibc, nameErrno, readErrno } from "./libc.ts";
import {
  bindToInterface,
  dropTcpInput,
  findInterfaceIndex,
  parseAddress,
  setSendBufferBytes,
} from "./socket-options.ts";

const AF_INET = 2;
const AF_INET6 = 10;
/** SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC */
const STREAM_NONBLOCKING = 1 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_KEEPALIVE = 9;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_USER_TIMEOUT = 18;
const POLLOUT = 4;

export type TcpWishes = {
  /** An address; a link-local one with its scope. */
  readonly address: string;
  readonly port: number;
  readonly interface: string | undefined;
  readonly localAddress: string | undefined;
  readonly sendBufferBytes: number;
  /** The connection is given up when nothing is acknowledged for this long. */
  readonly unacknowledgedMs: number;
};

/** Begins to connect; a file descriptor, or a reason as words for a person. The caller closes it. */
export function beginConnect(wishes: TcpWishes): { readonly fd: number; readonly deaf: boolean } | string {
  const libc = loadLibc();
  const target = encodeSocketAddress(wishes.address, wishes.port);
  if (libc === undefined || target === undefined) return "the address has a form that is not known here";
  const fd = libc.socket(target.length === 16 ? AF_INET : AF_INET6, STREAM_NONBLOCKING, 0);
  if (fd < 0) return describeError(readErrno(libc));
  const fail = (why: string) => {
    closeSync(fd);
    return why;
  };
  const deaf = dropTcpInput(fd) === undefined;
  const unbound = wishes.interface === undefined ? undefined : bindToInterface(fd, wishes.interface);
  if (unbound !== undefined) return fail(unbound);
  if (wishes.localAddress !== undefined) {
    const local = encodeSocketAddress(wishes.localAddress, 0);
    if (local === undefined || libc.bind(fd, local, local.length) !== 0)
      return fail(`cannot use the local address ${wishes.localAddress}: ${describeError(readErrno(libc))}`);
  }
  const set = (level: number, option: number, value: number) =>
    libc.setsockopt(fd, level, option, new Int32Array([value]), 4);
  setSendBufferBytes(fd, wishes.sendBufferBytes);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, wishes.unacknowledgedMs);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  if (libc.connect(fd, target, target.length) === 0) return { fd, deaf };
  const error = readErrno(libc);
  return error === "EINPROGRESS" ? { fd, deaf } : fail(describeError(error));
}

/** How far connecting has come: "open", "wait", or the reason why it has failed. */
export function askConnect(fd: number): "open" | "wait" | { readonly failed: string } {
  const libc = loadLibc();
  if (libc === undefined) return { failed: "the C library is gone" };
  const request = new DataView(new ArrayBuffer(8));
  request.setInt32(0, fd, true);
  request.setInt16(4, POLLOUT, true);
  if (libc.poll(new Uint8Array(request.buffer), 1n, 0) <= 0) return "wait";
  const error = new Int32Array(1);
  libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, error, new Int32Array([4]));
  return error[0] === 0 ? "open" : { failed: describeError(nameErrno(error[0] ?? 0)) };
}

/** struct sockaddr_in or sockaddr_in6; undefined for what is no address, or when the scope is no interface. */
export function encodeSocketAddress(address: string, port: number): Uint8Array | undefined {
  const bytes = parseAddress(address);
  if (bytes === undefined) return undefined;
  const out = new DataView(new ArrayBuffer(bytes.length === 4 ? 16 : 28));
  out.setUint16(0, bytes.length === 4 ? AF_INET : AF_INET6, true);
  out.setUint16(2, port);
  const whole = new Uint8Array(out.buffer);
  whole.set(bytes, bytes.length === 4 ? 4 : 8);
  const scope = address.split("%")[1];
  if (bytes.length === 16 && scope !== undefined) {
    const index = findInterfaceIndex(scope);
    if (index === undefined) return undefined;
    out.setUint32(24, index, true);
  }
  return whole;
}

const ERRORS: Record<string, string> = {
  ECONNREFUSED: "refused: nothing listens there",
  ETIMEDOUT: "no answer",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "no route leads there",
  ECONNRESET: "the other end has closed the connection",
  EPIPE: "the other end has closed the connection",
  EADDRNOTAVAIL: "this machine does not have that address",
};

/** An error's name as words for a person. */
export function describeError(name: string): string {
  return ERRORS[name] ?? name;
}
