// The few functions of the C library that the runtime does not offer: socket options and pipes. Linux only, glibc and musl,
// with the constants that x86-64 and arm64 share. Nothing here reads from a socket. Everything returns a value or a reason.
import { dlopen, type FFIFunction, FFIType, read } from "bun:ffi";
import { constants } from "node:os";

const LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

const { i32, u32, i64, u64, ptr } = FFIType;
const FUNCTIONS = {
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, ptr, u32], returns: i32 },
  connect: { args: [i32, ptr, u32], returns: i32 },
  sendto: { args: [i32, ptr, u64, i32, ptr, u32], returns: i64 },
  setsockopt: { args: [i32, i32, i32, ptr, u32], returns: i32 },
  getsockopt: { args: [i32, i32, i32, ptr, ptr], returns: i32 },
  poll: { args: [ptr, u64, i32], returns: i32 },
  pipe2: { args: [ptr, i32], returns: i32 },
  fcntl: { args: [i32, i32, i32], returns: i32 },
  inet_pton: { args: [i32, ptr, ptr], returns: i32 },
  if_nametoindex: { args: [ptr], returns: u32 },
  __errno_location: { args: [], returns: ptr },
} as const;

export type Libc = ReturnType<typeof dlopen<typeof FUNCTIONS>>["symbols"];

let loaded: Libc | null | undefined;

/** Undefined on a system whose C library has another name. */
export function loadLibc(): Libc | undefined {
  if (loaded === undefined) loaded = openLibc(FUNCTIONS) ?? null;
  return loaded ?? undefined;
}

/** Other functions of the C library; undefined as above, and where it lacks one of them. */
export function openLibc<Functions extends Record<string, FFIFunction>>(
  functions: Functions,
): ReturnType<typeof dlopen<Functions>>["symbols"] | undefined {
  for (const library of LIBRARIES) {
    try {
      return dlopen(library, functions).symbols;
    } catch {
      // Not this C library.
    }
  }
  return undefined;
}

/** The name of the error of the call that has just failed, e.g. "EPERM". */
export function readErrno(libc: Pick<Libc, "__errno_location">): string {
  const at = libc.__errno_location();
  return at === null ? "unknown error" : nameErrno(read.i32(at, 0));
}

/** Errors as kernel calls and SO_ERROR number them. */
export function nameErrno(errno: number): string {
  for (const [name, value] of Object.entries(constants.errno)) if (value === errno) return name;
  return `error ${errno}`;
}

/** A text as C wants it. */
export function toCString(text: string): Buffer {
  return Buffer.from(`${text}\0`, "utf8");
}
