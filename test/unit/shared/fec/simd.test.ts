import { expect, test } from "bun:test";
import { join } from "node:path";

const CODEC = join(import.meta.dir, "../../../../shared/fec/codec.ts");

/** The name of the kernel that a codec takes in a runtime started with these variables. */
function readKernelName(variables: Record<string, string>): string {
  const program = `import { FecCodec } from ${JSON.stringify(CODEC)}; console.log(new FecCodec().kernelName);`;
  const run = Bun.spawnSync([process.execPath, "-e", program], { env: { ...process.env, ...variables } });
  return run.stdout.toString().trim() || run.stderr.toString();
}

test("openSimdKernel() opens where the runtime has WebAssembly SIMD", () => {
  expect(readKernelName({})).toBe("simd");
});

test("openSimdKernel() gives way to the portable kernel without WebAssembly SIMD", () => {
  expect(readKernelName({ BUN_JSC_useWasmSIMD: "0" })).toBe("portable");
});

test("openSimdKernel() gives way to the portable kernel without WebAssembly", () => {
  expect(readKernelName({ BUN_JSC_useWasm: "0" })).toBe("portable");
});
