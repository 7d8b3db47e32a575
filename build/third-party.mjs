// Collects the licences of what is compiled into the programs, for the file that goes with them wherever
// they go. Packages used only to build and test are left out. Bun's own is named with its address.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

const RUNTIME = `bun (MIT; it contains JavaScriptCore, under LGPL-2.1, and other libraries)
The programs contain the Bun runtime. Its licences, and how to link it anew with a changed JavaScriptCore, are at
https://bun.com/docs/project/license`;

/** The text of dist/THIRD_PARTY.txt. */
export function collectLicences() {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
  const parts = Object.entries(packages).flatMap(([path, entry]) => {
    const isCompiledIn =
      path !== "" && !entry.dev && !entry.devOptional && !entry.optional && path !== "node_modules/bun";
    return isCompiledIn ? [describe(path, entry)] : [];
  });
  const rule = `\n\n${"-".repeat(78)}\n`;
  return `Tidegate contains the following packages, each under its own licence.\n${rule}${[RUNTIME, ...parts].join(rule)}\n`;
}

function describe(path, entry) {
  const folder = join(ROOT, path);
  const isLicence = (name) => /^(licen[cs]e|copying|notice)/i.test(name);
  const files = existsSync(folder) ? readdirSync(folder).filter(isLicence).sort() : [];
  const texts = files.map((name) => readFileSync(join(folder, name), "utf8").trim());
  const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  return [`${name} ${entry.version} (${entry.license ?? "see below"})`, ...texts].join("\n\n");
}
