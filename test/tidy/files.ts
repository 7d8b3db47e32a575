// Lists the files of the repository, as git would take them, and reads them once. Rules report what they
// find as `file:line: what is wrong`, all of it at once.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const NOT_OURS = new Set(["node_modules", "dist", ".git"]);

export type SourceFile = { readonly path: string; readonly text: string };

/** Everything tracked, and what is new and not ignored; from an unpacked archive: everything but what is built. */
export function listFiles(): SourceFile[] {
  const git = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  const paths = git.status === 0 ? git.stdout.split("\0").filter((path) => path !== "") : walk("");
  const present = [...new Set(paths)].filter(
    (path) => existsSync(join(ROOT, path)) && statSync(join(ROOT, path)).isFile(),
  );
  return present.sort().map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));
}

/** The product's own source files. */
export function listProductSources(): SourceFile[] {
  return listFiles().filter(({ path }) => /^(agents|shared)\/.*\.ts$/.test(path));
}

/** The parsed content of a JSON file of the repository. */
export function readJson<Value>(path: string): Value {
  return JSON.parse(readFileSync(join(ROOT, path), "utf8")) as Value;
}

/** `file:line: complaint` for each line that fits the pattern. */
export function findLines(file: SourceFile, pattern: RegExp, complaint: string): string[] {
  return file.text.split("\n").flatMap((line, index) => {
    return pattern.test(line) ? [`${file.path}:${index + 1}: ${complaint}`] : [];
  });
}

function walk(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (NOT_OURS.has(entry.name)) return [];
    return entry.isDirectory() ? walk(path) : [path];
  });
}
