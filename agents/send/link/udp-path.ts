// One UDP path: an unconnected socket that is only ever written to. An unconnected socket gets no ICMP errors from the
// far side, and a kernel filter drops whatever is addressed to it, so that not one byte of the link reaches the agent.
import { dlopen, FFIType, ptr } from "bun:ffi";
import type { WriteResult } from "./path-queue.ts";

/** Bytes around a datagram on Ethernet: preamble 8, header 14, checksum 4, gap 12, then IP and UDP. */
export function wireOverheadBytes(family: 4 | 6): number {
  return 38 + (family === 6 ? 40 : 20) + 8;
}

export type UdpSender = {
  /** False when the kernel filter could not be set: the agent still never looks at what arrives. */
  readonly deaf: boolean;
  write(datagrams: readonly Buffer[]): WriteResult;
  close(): void;
};

/** Opens the socket for one destination. `onDrain` is called when a full send buffer has room again. */
export async function openUdpSender(
  host: string,
  port: number,
  family: 4 | 6,
  onDrain: () => void,
): Promise<UdpSender> {
  const socket = await Bun.udpSocket({
    hostname: family === 6 ? "::" : "0.0.0.0",
    socket: { drain: onDrain, error: () => {} },
  });
  const deaf = dropAllInput((socket as unknown as { fd: number }).fd);
  return {
    deaf,
    write: (datagrams) => {
      const packets: (Buffer | number | string)[] = [];
      for (const datagram of datagrams) packets.push(datagram, port, host);
      try {
        return { written: socket.sendMany(packets as never) };
      } catch (error) {
        return { written: 0, error: error instanceof Error ? error.message : String(error) };
      }
    },
    close: () => socket.close(),
  };
}

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const C_LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

/** Attaches the classic BPF program "return 0" (keep no byte of any packet) to the socket [Linux socket(7), filter.rst]. */
function dropAllInput(fd: number): boolean {
  const instruction = new Uint8Array([0x06, 0, 0, 0, 0, 0, 0, 0]);
  for (const library of C_LIBRARIES) {
    try {
      const { symbols, close } = dlopen(library, {
        setsockopt: {
          args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
          returns: FFIType.i32,
        },
      });
      const program = new BigUint64Array([1n, BigInt(ptr(instruction))]);
      const result = symbols.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, ptr(program), program.byteLength);
      close();
      return result === 0;
    } catch {
      // Not this C library.
    }
  }
  return false;
}
