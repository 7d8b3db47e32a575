// A pipe between this program and a child, whose near end never waits. The runtime itself would give the child a socket,
// which some tools cannot open as /dev/stdin or /dev/stdout.
import { closeSync } from "node:fs";
import { loadLibc, readErrno } from "./libc.ts";

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETFL = 4;

export type Pipe = { readonly near: number; readonly far: number };

/** `near` is the end that this program uses: "read" or "write". The caller closes both. */
export function openPipe(near: "read" | "write"): Pipe | string {
  const libc = loadLibc();
  if (libc === undefined) return "this system's C library has another name than those that are known";
  const ends = new Int32Array(2);
  if (libc.pipe2(ends, O_CLOEXEC) !== 0) return readErrno(libc);
  const [read = -1, write = -1] = ends;
  const pipe = near === "read" ? { near: read, far: write } : { near: write, far: read };
  // Each end has its own flags: the child's end waits, as every program expects of its standard streams.
  if (libc.fcntl(pipe.near, F_SETFL, O_NONBLOCK) === 0) return pipe;
  closeSync(read);
  closeSync(write);
  return readErrno(libc);
}
