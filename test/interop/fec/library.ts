// Builds the small programs of this folder, which encode a block with another library, and runs them. Gives the
// reason when the compiler or the library is not there.

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Workspace } from "../../support/workspace.ts";

export interface Program {
  readonly path: string;
}

export interface Obstacle {
  readonly reason: string;
}

/** Where Debian's golang-*-dev packages put their source. */
const DEBIAN_GO_PATH = "/usr/share/gocode";

export function buildIsal(workspace: Workspace): Program | Obstacle {
  if (Bun.which("gcc") === null) return { reason: "gcc is not installed" };
  if (!existsSync("/usr/include/isa-l.h")) return { reason: "libisal-dev is not installed" };
  const path = workspace.path("isal");
  run(["gcc", "-O2", "-o", path, join(import.meta.dir, "isal.c"), "-lisal"]);
  return { path };
}

export function buildKlauspost(workspace: Workspace): Program | Obstacle {
  if (Bun.which("go") === null) return { reason: "go is not installed" };
  if (!existsSync(join(DEBIAN_GO_PATH, "src/github.com/klauspost/reedsolomon"))) {
    return { reason: "golang-github-klauspost-reedsolomon-dev is not installed" };
  }
  const path = workspace.path("klauspost");
  run(["go", "build", "-o", path, join(import.meta.dir, "klauspost.go")], {
    GO111MODULE: "off",
    GOFLAGS: "",
    GOPATH: DEBIAN_GO_PATH,
  });
  return { path };
}

/** The repair symbols of a block, end to end, as the other library makes them. */
export function encodeWith(
  program: Program,
  k: number,
  r: number,
  symbolBytes: number,
  source: Uint8Array,
): Buffer {
  return run([program.path, String(k), String(r), String(symbolBytes)], {}, source);
}

function run(command: string[], variables: Record<string, string> = {}, input?: Uint8Array): Buffer {
  const env = { ...process.env, ...variables };
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { env, stdin: input ?? null });
  if (exitCode !== 0) throw new Error(`cannot run ${command.join(" ")}: ${stderr.toString()}`);
  return stdout;
}
