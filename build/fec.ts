// Compiles shared/fec/kernel.as.ts (AssemblyScript) and writes shared/fec/kernel-wasm.ts, which holds the result as
// text, so that the agents embed it like any other module and a checkout needs no step before its tests. Run it
// after a change of the kernel; a test compiles it again and refuses a kernel-wasm.ts that differs.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FEC_DIRECTORY = join(dirname(fileURLToPath(import.meta.url)), "..", "shared", "fec");

/** What is used of the compiler. Its own types would change the global `console` and more in the whole repository. */
interface Compiler {
  main(
    options: string[],
    files: {
      readFile(name: string): string | null;
      writeFile(name: string, contents: string | Uint8Array): void;
      listFiles(): string[];
    },
  ): Promise<{ error: Error | null; stderr: { toString(): string } }>;
}

const COMPILER_MODULE: string = "assemblyscript/asc";

/** 256 KiB that never grow: tables, one matrix, and a working set that stays in the second-level cache. */
const MEMORY_PAGES = "4";

/** Compiles the kernel. Throws with the compiler's own words when the source is wrong. */
export async function compileKernel(): Promise<Uint8Array> {
  const source = readFileSync(join(FEC_DIRECTORY, "kernel.as.ts"), "utf8");
  const { default: compiler } = (await import(COMPILER_MODULE)) as { default: Compiler };
  let wasm: Uint8Array | undefined;
  const { error, stderr } = await compiler.main(
    [
      "kernel.ts",
      ...["--outFile", "kernel.wasm", "--runtime", "stub", "--noAssert", "-O3", "--enable", "simd"],
      ...["--initialMemory", MEMORY_PAGES, "--maximumMemory", MEMORY_PAGES],
    ],
    {
      readFile: (name) => (name === "kernel.ts" ? source : null),
      writeFile: (_name, contents) => {
        if (typeof contents !== "string") wasm = contents;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || wasm === undefined) throw new Error(`cannot compile kernel.as.ts: ${stderr}`);
  return wasm;
}

/** The text of kernel-wasm.ts, in 100-character lines so that a change of the kernel shows as a readable diff. */
export function renderModule(wasm: Uint8Array): string {
  const base64 = Buffer.from(wasm).toString("base64");
  const lines = base64.match(/.{1,100}/g) ?? [];
  return [
    "// The compiled kernel.as.ts, in base64. Written by build/fec.ts: change the source, not this.",
    "",
    "export const KERNEL_WASM_BASE64 = [",
    ...lines.map((line) => `  "${line}",`),
    '].join("");',
    "",
  ].join("\n");
}

if (import.meta.main) {
  writeFileSync(join(FEC_DIRECTORY, "kernel-wasm.ts"), renderModule(await compileKernel()));
}
