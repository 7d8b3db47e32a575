import { expect, test } from "bun:test";
import { type Fault, formatFault, sortFaults } from "../../../../shared/config/fault.ts";
import { formatKeyPath } from "../../../../shared/config/key-path.ts";
import { findNearestName } from "../../../../shared/config/nearest-name.ts";
import { describeValue, quoteText } from "../../../../shared/config/show-value.ts";

function make(file: string, line: number, column: number, key = "k"): Fault {
  return { file, line, column, key, problem: "is wrong" };
}

test("formatFault() prints FILE:LINE:COLUMN: key: what is wrong; what is allowed", () => {
  expect(formatFault({ ...make("a.toml", 3, 7, "link.id"), allowed: "must be right" })).toBe(
    "a.toml:3:7: link.id: is wrong; must be right",
  );
  expect(formatFault(make("a.toml", 3, 7))).toBe("a.toml:3:7: k: is wrong");
});

test("sortFaults() sorts by file as first named, line and column, and drops repeats", () => {
  const faults = [make("b", 1, 1), make("a", 10, 1), make("a", 9, 20), make("a", 9, 3), make("b", 1, 1)];
  expect(sortFaults(faults, ["a"]).map(({ file, line, column }) => `${file}:${line}:${column}`)).toEqual([
    "a:9:3",
    "a:9:20",
    "a:10:1",
    "b:1:1",
  ]);
});

test("formatKeyPath() writes keys as a person does", () => {
  expect(formatKeyPath(["source", 1, "tls", "ca_file"])).toBe("source[1].tls.ca_file");
  expect(formatKeyPath(["link", "path", 0, "endpoint"])).toBe("link.path[0].endpoint");
  expect(formatKeyPath(["a b", 'c"'])).toBe('"a b"."c\\""');
  expect(formatKeyPath(["", "x"])).toBe('"".x');
  expect(formatKeyPath([])).toBe("file");
});

test("quoteText() lets no control character through and cuts what is long", () => {
  expect(quoteText("a\n\u001b[2J\u009b\u202e\u2028")).toBe('"a\\n\\u001b[2J\\u009b\\u202e\\u2028"');
  expect(quoteText("x".repeat(1000)).length).toBeLessThan(90);
});

test("describeValue() shows no secret", () => {
  for (const secret of ["mqtt://joe:hunter2@h", "tidegate-key-1:AAAA", "-----BEGIN PRIVATE KEY-----\nabc"]) {
    expect(describeValue(secret)).toBe("holds a secret");
  }
  expect(describeValue("mqtt://h/a@b")).toBe('is "mqtt://h/a@b"');
});

test.each([
  ["key_fil", "key_file"],
  ["keyFile", "key_file"],
  ["KEY-FILE", "key_file"],
  ["ib", "id"],
  ["xy", undefined],
  ["key", "key_file"],
  ["__proto__", undefined],
  ["lniger_ms", "linger_ms"],
  ["password", undefined],
  ["x".repeat(100_000), undefined],
] as const)("findNearestName() of %p", (name, nearest) => {
  expect(findNearestName(name, ["id", "key_file", "linger_ms"])).toBe(nearest as string);
});
