import { expect, test } from "bun:test";
import { compileKernel } from "../../../../build/fec.ts";
import { KERNEL_WASM_BASE64 } from "../../../../shared/fec/kernel-wasm.ts";

test("KERNEL_WASM_BASE64 is what kernel.as.ts compiles to (if not: bun build/fec.ts)", async () => {
  expect(Buffer.from(await compileKernel()).toString("base64")).toBe(KERNEL_WASM_BASE64);
}, 60_000);

test("KERNEL_WASM_BASE64 imports nothing and exports its memory and multiply() alone", () => {
  const module = new WebAssembly.Module(Buffer.from(KERNEL_WASM_BASE64, "base64"));
  expect(WebAssembly.Module.imports(module)).toEqual([]);
  expect(WebAssembly.Module.exports(module).map(({ name }) => name)).toEqual(["multiply", "memory"]);
});
