// The habits of the house, checked on every file, and each check shown to bite.
import { describe, expect, test } from "bun:test";
import { listFiles, listProductSources, type SourceFile } from "./files.ts";
import {
  checkDefaultExport,
  checkLength,
  checkMachine,
  checkMessageSpread,
  checkName,
  checkOpening,
  checkProcess,
} from "./rules.ts";

const everything = listFiles();
const product = listProductSources();

type Case = {
  rule: (file: SourceFile) => string[];
  files: SourceFile[];
  bad: SourceFile[];
  good: SourceFile[];
};

const file = (path: string, text: string): SourceFile => ({ path, text });
const home = (name: string): string => `/${name}/`;

const CASES: Case[] = [
  {
    rule: checkDefaultExport,
    files: product,
    bad: [file("shared/a.ts", "export default 1;"), file("shared/a.ts", "export { a as default };")],
    good: [file("shared/a.ts", "// export default\nexport const a = 1;")],
  },
  {
    rule: checkProcess,
    files: product,
    bad: [
      file("shared/a.ts", "const a = process.env.A;"),
      file("agents/send/a.ts", 'import { env } from "node:process";'),
      file("agents/send/a.ts", "globalThis.process.exit(1)"),
      file("agents/send/a.ts", "if (process?.pid) a();"),
    ],
    good: [
      file("agents/send/main.ts", "process.exit(0)"),
      file("shared/a.ts", "child.process.kill(); // process.env"),
      file("shared/a.ts", 'import type { Process } from "node:process";'),
    ],
  },
  {
    rule: checkMessageSpread,
    files: product,
    bad: [
      file("shared/a.ts", "const a = { ...message, topic };"),
      file("shared/a.ts", "f({ ...judgement.publish })"),
    ],
    good: [
      file("shared/a.ts", "const a = [message, ...message.rest, ...messages];"),
      file("shared/a.ts", "changeMessage(message, { topic })"),
    ],
  },
  {
    rule: checkLength,
    files: product,
    bad: [file("shared/a.ts", "\n".repeat(401))],
    good: [file("shared/a.ts", "\n".repeat(400))],
  },
  {
    rule: checkOpening,
    files: everything.filter(({ path }) => /^(agents|shared|build|test\/support)\/.*\.(ts|mjs)$/.test(path)),
    bad: [file("shared/a.ts", 'import "./b.ts";\n// late'), file("shared/a.ts", "")],
    good: [file("shared/a.ts", "// Says why."), file("build/a.mjs", "#!/usr/bin/env node\n// Says why.")],
  },
  {
    rule: checkName,
    files: everything,
    bad: [
      "shared/utils.ts",
      "shared/mqtt-helper.ts",
      "agents/common/a.ts",
      "shared/queue-manager.ts",
      "shared/aB.ts",
    ].map((path) => file(path, "//")),
    good: ["shared/utilisation.ts", "README.md", "docs/Commons.md"].map((path) => file(path, "//")),
  },
  {
    rule: checkMachine,
    files: everything.filter(({ path }) => path !== "LICENSE"),
    bad: [
      file("docs/a.md", `see ${home("work")}main`),
      file("shared/a.ts", `open("${home("root")}.key")`),
      file("docs/a.md", `https://registry.${"npmjs"}.org/x`),
    ],
    good: [file("docs/a.md", "a homework/main, /var/lib/tidegate, https://example.com/home/x")],
  },
];

for (const { rule, files, bad, good } of CASES) {
  describe(`${rule.name}()`, () => {
    test(`${rule.name}() finds nothing in the repository`, () => {
      expect(files.flatMap(rule)).toEqual([]);
    });

    test(`${rule.name}() finds what it is there for, and no more`, () => {
      for (const each of bad) expect(rule(each)).not.toEqual([]);
      for (const each of good) expect(rule(each)).toEqual([]);
    });
  });
}
