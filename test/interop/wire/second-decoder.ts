// Runs the decoder in Python of this folder. Gives the reason when Python, its cryptography or zstd is not there.
import { join } from "node:path";
import type { WireInput } from "../../vectors/wire.ts";

export type Job = WireInput & { readonly linkId: string; readonly linkKeys: readonly string[] };
export type Decoder = { readonly python: string };
export type Obstacle = { readonly reason: string };

const DECODER = join(import.meta.dir, "decode.py");

/** Debian's python3-cryptography belongs to its own Python, which need not be the first in the path. */
export function findDecoder(): Decoder | Obstacle {
  if (Bun.which("zstd") === null) return { reason: "zstd is not installed" };
  for (const python of [Bun.which("python3"), "/usr/bin/python3"]) {
    if (python === null) continue;
    const check = "from cryptography.hazmat.primitives.ciphers.aead import AESGCM";
    const run = Bun.spawnSync([python, "-c", check], { stderr: "ignore" });
    if (run.exitCode === 0) return { python };
  }
  return { reason: "python3 with its module cryptography (python3-cryptography) is not installed" };
}

/** What the other decoder makes of each job. */
export function decodeAll(decoder: Decoder, jobs: readonly Job[]): unknown[][] {
  const input = jobs.map((job) => `${JSON.stringify(job)}\n`).join("");
  const output = runDecoder(decoder, ["serve"], Buffer.from(input));
  const lines = output.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as unknown[]);
}

export function runDecoder({ python }: Decoder, words: readonly string[], input?: Uint8Array): string {
  const command = [python, "-B", DECODER, ...words];
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdin: input ?? null });
  if (exitCode !== 0) throw new Error(`the second decoder says: ${stdout.toString()}${stderr.toString()}`);
  return stdout.toString();
}
