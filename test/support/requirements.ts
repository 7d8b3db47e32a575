// Decides whether a test can run here. A test whose tool is missing is skipped and says why; with
// TIDEGATE_TESTS_MUST_RUN=1 (as in CI) it fails instead, because a skipped proof must not look like a proof.

import { describe, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Has packages of its own, so that `npm start` need not wait for them. */
export const SDK_FOLDER = fileURLToPath(new URL("../fakes/sdk", import.meta.url));

const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** The full path of a program, or of a file that is named by one, or undefined. Looks where Debian keeps system programs, too. */
export function findTool(name: string): string | undefined {
  if (name.startsWith("/")) return existsSync(name) ? name : undefined;
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...SYSTEM_FOLDERS];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** The full path of a program that requireTools() has asked for. */
export function toolPath(name: string): string {
  const path = findTool(name);
  if (path === undefined) throw new Error(`cannot find ${name}: is missing, must be installed`);
  return path;
}

/**
 * `describe` when all of it is here, else a twin that skips (or fails, see above) with the reason printed.
 * Besides programs it knows "network namespaces" and "mount namespaces": root, and a kernel that lets it make one;
 * "binfmt_misc": a kernel that keeps emulators by namespace; "cloud sdks": the clouds' own client libraries; "port 443": the right to
 * listen there.
 */
export function requireTools(names: readonly string[]): (title: string, body: () => void) => void {
  const reason = findObstacle(names);
  if (reason === undefined) return describe;
  if (process.env.TIDEGATE_TESTS_MUST_RUN === "1") {
    return (title) => {
      test(`${title} can run`, () => {
        throw new Error(`cannot run these tests: ${reason}`);
      });
    };
  }
  return (title, body) => {
    process.stderr.write(`skipped: ${title}: ${reason}\n`);
    describe.skip(title, body);
  };
}

/** What stands in the way, or undefined. */
export function findObstacle(names: readonly string[]): string | undefined {
  for (const name of names) {
    if (name === "network namespaces") {
      const run = spawnSync(findTool("unshare") ?? "unshare", ["--net", "true"], { encoding: "utf8" });
      if (run.status !== 0) return "network namespaces need root and a kernel that allows them";
    } else if (name === "mount namespaces") {
      const run = spawnSync(findTool("unshare") ?? "unshare", ["--mount", "true"], { encoding: "utf8" });
      if (run.status !== 0) return "mount namespaces need root and a kernel that allows them";
    } else if (name === "binfmt_misc") {
      const mount = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc";
      const args = ["--user", "--map-root-user", "--mount", "sh", "-c", mount];
      const run = spawnSync(findTool("unshare") ?? "unshare", args, { encoding: "utf8" });
      if (run.status !== 0) return "emulators of one's own need root and Linux 6.7 or newer";
    } else if (name === "cloud sdks") {
      if (!existsSync(join(SDK_FOLDER, "node_modules/.package-lock.json")))
        return "the clouds' client libraries are missing (npm test installs them)";
    } else if (name === "port 443") {
      if (process.getuid?.() !== 0) return "listening on port 443 needs root";
    } else if (findTool(name) === undefined) {
      return `${name} is missing (npm test says how to install it)`;
    }
  }
  return undefined;
}
