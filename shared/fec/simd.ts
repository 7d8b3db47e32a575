// Opens the SIMD kernel (kernel.as.ts), which is embedded as text and needs no file. Where the runtime refuses it there
// is none: on x64, Bun has WebAssembly SIMD only if the processor has AVX, which Atom and Celeron processors of many
// appliances do not.

import { multiply } from "./field.ts";
import { type Kernel, MEMORY_BYTES, type Multiply, TABLES_AT } from "./kernel.ts";
import { KERNEL_WASM_BASE64 } from "./kernel-wasm.ts";

/** A new kernel with its own memory, or undefined where the runtime has no WebAssembly SIMD. */
export function openSimdKernel(): Kernel | undefined {
  const wasm = Buffer.from(KERNEL_WASM_BASE64, "base64");
  if (typeof WebAssembly === "undefined" || !WebAssembly.validate(wasm)) return undefined;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(wasm));
  const memory = new Uint8Array((exports.memory as WebAssembly.Memory).buffer);
  if (memory.length !== MEMORY_BYTES) {
    throw new RangeError(`cannot open FEC kernel: memory is ${memory.length} bytes, must be ${MEMORY_BYTES}`);
  }
  writeTables(memory);
  return { name: "simd", memory, multiply: exports.multiply as Multiply };
}

/** For each constant its products with 0x00 to 0x0f, then with 0x00 to 0xf0: what kernel.as.ts looks up. */
function writeTables(memory: Uint8Array): void {
  let at = TABLES_AT;
  for (let constant = 0; constant < 256; constant++) {
    for (let low = 0; low < 16; low++) memory[at++] = multiply(constant, low);
    for (let high = 0; high < 16; high++) memory[at++] = multiply(constant, high << 4);
  }
}
