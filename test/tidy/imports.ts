// Reads which file imports which, and judges it: the two agents stay apart, shared code knows neither, and
// nothing goes in a circle. Type imports count, too: a type that leaks is a wire between them all the same.
import { dirname, normalize } from "node:path/posix";
import type { SourceFile } from "./files.ts";

export type Import = { readonly from: string; readonly to: string; readonly line: number };

const IMPORT =
  /(?:^|[^.\w])(?:import|export)\s[^;"'`]*?from\s*["']([^"']+)["']|(?:^|[^.\w])import\s*\(?\s*["']([^"']+)["']/g;

/** All imports of files of the repository, resolved; packages are left out. */
export function listImports(files: readonly SourceFile[]): Import[] {
  return files.flatMap(({ path, text }) => {
    const code = blankComments(text);
    return [...code.matchAll(IMPORT)].flatMap((match) => {
      const target = match[1] ?? match[2] ?? "";
      if (!target.startsWith(".")) return [];
      const line = code.slice(0, match.index + match[0].length).split("\n").length;
      return [{ from: path, to: normalize(`${dirname(path)}/${target}`), line }];
    });
  });
}

/** Complaints about imports across the wall. */
export function findForbiddenImports(imports: readonly Import[]): string[] {
  return imports.flatMap(({ from, to, line }) => {
    const wall = findWall(from, to);
    return wall === undefined ? [] : [`${from}:${line}: imports ${to}; ${wall}`];
  });
}

function findWall(from: string, to: string): string | undefined {
  if (from.startsWith("agents/send/") && to.startsWith("agents/recv/")) return "send never imports recv";
  if (from.startsWith("agents/recv/") && to.startsWith("agents/send/")) return "recv never imports send";
  if (from.startsWith("shared/") && to.startsWith("agents/")) return "shared never imports an agent";
  if (/^(agents|shared)\//.test(from) && /^(build|test)\//.test(to))
    return "the product never imports build or test";
  return undefined;
}

/** One complaint per circle, at the import that closes it. */
export function findCycles(imports: readonly Import[]): string[] {
  const importsOf = Map.groupBy(imports, ({ from }) => from);
  const finished = new Set<string>();
  const complaints: string[] = [];
  const visit = (file: string, way: readonly string[]): void => {
    if (finished.has(file)) return;
    for (const { to, line } of importsOf.get(file) ?? []) {
      const start = [...way, file].indexOf(to);
      if (start === -1) visit(to, [...way, file]);
      else
        complaints.push(`${file}:${line}: closes a circle: ${[...way, file, to].slice(start).join(" → ")}`);
    }
    finished.add(file);
  };
  for (const file of importsOf.keys()) visit(file, []);
  return complaints;
}

/** The same text with comments made blank, lines kept. */
export function blankComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, " "));
}
