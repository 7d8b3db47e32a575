// The packages the repository stands on.
import { expect, test } from "bun:test";
import {
  findLockFaults,
  findLooseVersions,
  findStrangeLicences,
  findUnexplained,
  type LockFile,
  type Manifest,
} from "./dependencies.ts";
import { listFiles, readJson } from "./files.ts";

const manifest = readJson<Manifest>("package.json");
/** The clouds' client libraries, which only tests use. */
const SDKS = "test/fakes/sdk";
const page = listFiles().find(({ path }) => path === "docs/dependencies.md")?.text ?? "";

test("findLooseVersions() finds nothing: every version is exact", () => {
  expect(findLooseVersions(manifest)).toEqual([]);
  expect(findLooseVersions(readJson<Manifest>(`${SDKS}/package.json`))).toEqual([]);
});

test("findLooseVersions() names a range, a tag and an address", () => {
  const loose = {
    dependencies: { a: "^1.0.0", b: "latest" },
    devDependencies: { c: "https://a.example/c.tgz", d: "1.2.3" },
  };
  expect(findLooseVersions(loose)).toHaveLength(3);
});

test("findUnexplained() finds nothing: each dependency has its reason", () => {
  expect(findUnexplained(manifest, page)).toEqual([]);
});

test("findUnexplained() names a dependency without a row, with an empty one, and a row without a dependency", () => {
  const rows = "| `b` | |\n| `c` | because there is a good reason for it |\n";
  expect(findUnexplained({ dependencies: { a: "1.0.0", b: "1.0.0" } }, rows)).toEqual([
    "docs/dependencies.md:1: has no reason for a",
    "docs/dependencies.md:1: has no reason for b",
    "docs/dependencies.md:1: explains c, which is no dependency",
  ]);
});

test("findLockFaults() finds nothing: the lock file installs anywhere", () => {
  expect(findLockFaults(readJson<LockFile>("package-lock.json"))).toEqual([]);
  expect(findLockFaults(readJson<LockFile>(`${SDKS}/package-lock.json`))).toEqual([]);
});

test("findLockFaults() names an address and a missing package of another platform", () => {
  const packages = {
    "node_modules/a": {
      version: "1.0.0",
      resolved: "https://a.example/a.tgz",
      optionalDependencies: { "a-linux": "1.0.0" },
    },
  };
  expect(findLockFaults({ packages })).toEqual([
    "package-lock.json:1: node_modules/a names a registry",
    "package-lock.json:1: lacks a-linux 1.0.0, which npm ci wants",
  ]);
});

test("findStrangeLicences() finds nothing: the programs may be passed on", () => {
  expect(findStrangeLicences(readJson<LockFile>("package-lock.json"))).toEqual([]);
});

test("findStrangeLicences() names a licence that forbids it, and none of a tool", () => {
  const packages = {
    "node_modules/a": { license: "GPL-3.0" },
    "node_modules/b": {},
    "node_modules/c": { license: "GPL-3.0", dev: true },
  };
  expect(findStrangeLicences({ packages })).toEqual([
    "package-lock.json:1: node_modules/a is under GPL-3.0, which the programs may not contain",
    "package-lock.json:1: node_modules/b is under no licence, which the programs may not contain",
  ]);
});
