// The walls between the parts of the product.
import { expect, test } from "bun:test";
import { listProductSources, type SourceFile } from "./files.ts";
import { findCycles, findForbiddenImports, listImports } from "./imports.ts";

const imports = listImports(listProductSources());

const file = (path: string, text: string): SourceFile => ({ path, text });

test("listImports() sees plain, type, side-effect, re-exported, dynamic and many-line imports", () => {
  const text = `// import "./comment.ts";
import { a } from "./a.ts";
import type { B } from "../b.ts";
import "./c.ts";
export { d } from "./d.ts";
const e = await import("./e.ts");
import {
  f,
} from "./f.ts";
import pino from "pino";`;
  expect(listImports([file("shared/x/y.ts", text)]).map(({ to, line }) => `${to}:${line}`)).toEqual([
    "shared/x/a.ts:2",
    "shared/b.ts:3",
    "shared/x/c.ts:4",
    "shared/x/d.ts:5",
    "shared/x/e.ts:6",
    "shared/x/f.ts:9",
  ]);
});

test("listImports() misses no import that the transpiler sees", () => {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  for (const { path, text } of listProductSources()) {
    const ours = listImports([{ path, text }]).length;
    const theirs = transpiler.scanImports(text).filter((each) => each.path.startsWith("."));
    expect(`${path}: ${ours >= theirs.length}`).toBe(`${path}: true`);
  }
});

test("findForbiddenImports() finds nothing: send, recv and shared keep apart", () => {
  expect(findForbiddenImports(imports)).toEqual([]);
});

test("findForbiddenImports() names each import across a wall", () => {
  const files = [
    file("agents/send/a.ts", 'import { b } from "../recv/b.ts";'),
    file("agents/recv/b.ts", 'import type { A } from "../send/a.ts";'),
    file("shared/c.ts", '\nimport { a } from "../agents/send/a.ts";'),
    file("shared/d.ts", 'import { startMosquitto } from "../test/support/mosquitto.ts";'),
  ];
  expect(findForbiddenImports(listImports(files))).toEqual([
    "agents/send/a.ts:1: imports agents/recv/b.ts; send never imports recv",
    "agents/recv/b.ts:1: imports agents/send/a.ts; recv never imports send",
    "shared/c.ts:2: imports agents/send/a.ts; shared never imports an agent",
    "shared/d.ts:1: imports test/support/mosquitto.ts; the product never imports build or test",
  ]);
});

test("findCycles() finds nothing: imports go one way", () => {
  expect(findCycles(imports)).toEqual([]);
});

test("findCycles() names a circle of three, and none in a diamond", () => {
  const circle = [
    file("shared/a.ts", 'import "./b.ts";'),
    file("shared/b.ts", 'import "./c.ts";'),
    file("shared/c.ts", 'import "./a.ts";'),
  ];
  expect(findCycles(listImports(circle))).toEqual([
    "shared/c.ts:1: closes a circle: shared/a.ts → shared/b.ts → shared/c.ts → shared/a.ts",
  ]);
  const diamond = [
    file("shared/a.ts", 'import "./b.ts"; import "./c.ts";'),
    file("shared/b.ts", 'import "./d.ts";'),
    file("shared/c.ts", 'import "./d.ts";'),
  ];
  expect(findCycles(listImports(diamond))).toEqual([]);
});
