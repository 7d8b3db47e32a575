// Microseconds of the machine's own clock, the same in all processes: what one process stamps another can subtract.
// Bun's clocks begin anew in each process, and the wall clock may be set while we measure.
import { dlopen, FFIType, ptr } from "bun:ffi";

const CLOCK_MONOTONIC = 1;
const { symbols } = dlopen("libc.so.6", {
  clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
});
const time = new BigInt64Array(2);
const halves = new Uint32Array(time.buffer);
const address = ptr(time);

/** Microseconds since the machine was started. */
export function readMicroseconds(): number {
  symbols.clock_gettime(CLOCK_MONOTONIC, address);
  return (halves[0] ?? 0) * 1e6 + (halves[2] ?? 0) / 1e3;
}
