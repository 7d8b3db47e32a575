import { expect, test } from "bun:test";
import { formatFault } from "../../../../shared/config/fault.ts";
import type { KeyPath } from "../../../../shared/config/key-path.ts";
import { parseToml } from "../../../../shared/config/toml.ts";

function parse(text: string) {
  const parsed = parseToml("x.toml", text);
  if (!parsed.ok) throw new Error(formatFault(parsed.fault));
  return parsed.document;
}

function fault(text: string): string {
  const parsed = parseToml("x.toml", text);
  return parsed.ok ? "no fault" : formatFault(parsed.fault);
}

const FAULTS: [text: string, line: string][] = [
  [
    "a = 1\na = 2",
    "x.toml:2:1: syntax: is wrong here: defining a key multiple times is invalid; must be TOML 1.0",
  ],
  ["a = [1,\n2", "x.toml:2:2: syntax: is wrong here: unterminated array; must be TOML 1.0"],
  ["[link]\nid", "x.toml:2:3: syntax: is wrong here: expected equal (=) token; must be TOML 1.0"],
  ['a = "b\nc = 1', "x.toml:1:7: syntax: is wrong here: unterminated string constant; must be TOML 1.0"],
  ["a = 1 \u0001", "x.toml:1:7: syntax: is wrong here: unexpected character; must be TOML 1.0"],
  ["a = 01", "x.toml:1:5: syntax: is wrong here: leading zeros are not allowed; must be TOML 1.0"],
];
test.each(FAULTS)("parseToml() tells where the syntax of %j is wrong", (text, line) => {
  expect(fault(text)).toBe(line);
});

test("parseToml() never throws, whatever a good file is cut or altered to", () => {
  const good =
    '[link]\nid = "é"\npath = [{ a.b = 1, "c d" = [1.5, true] }]\n[[s]]\nx = """\ny"""\nt = 07:32:00\n';
  for (let at = 0; at <= good.length; at++) {
    parseToml("x.toml", good.slice(0, at));
    for (const character of ["\0", '"', "[", "}", "=", "\n", "\ud800", "'''"]) {
      parseToml("x.toml", good.slice(0, at) + character + good.slice(at + 1));
    }
  }
});

const DEEP: [name: string, text: string][] = [
  ["lists", `a = ${"[".repeat(250_000)}${"]".repeat(250_000)}`],
  ["inline tables", `a = ${"{a=".repeat(100_000)}1${"}".repeat(100_000)}`],
  ["dotted keys", `${"a.".repeat(200_000)}b = 1`],
  ["a table header", `[${"a.".repeat(200_000)}b]`],
  ["unclosed lists", `a = ${"[".repeat(500_000)}`],
];
test.each(DEEP)("parseToml() refuses deep nesting by %s", (_, text) => {
  expect(fault(text)).toStartWith("x.toml:1:");
});

test("parseToml() gives plain values of every kind", () => {
  const { table } = parse(
    "a = 1\nb = 1.5\nc = [1, 'x']\nd = { e = true }\nf = 9223372036854775807\ng = 1979-05-27",
  );
  expect(table).toEqual({
    a: 1,
    b: 1.5,
    c: [1, "x"],
    d: { e: true },
    f: 9223372036854775807n,
    g: expect.any(Date),
  });
  expect(Object.getOwnPropertySymbols(table)).toEqual([]);
});

test("parseToml() keeps __proto__ and valueOf as keys of their own", () => {
  const { table } = parse("__proto__ = 1\n[x]\nvalueOf = 2\n[x.__proto__]\nadmin = true");
  expect(Object.keys(table)).toEqual(["__proto__", "x"]);
  expect(Object.keys(table.x as object)).toEqual(["valueOf", "__proto__"]);
  expect((table.x as { admin?: unknown }).admin).toBeUndefined();
  expect(({} as { admin?: unknown }).admin).toBeUndefined();
});

const PLACES: [text: string, path: KeyPath, line: number, column: number][] = [
  ["a = 1", ["a"], 1, 1],
  ["# c\r\n  a = 1\r\n\tb = 2", ["b"], 3, 2],
  ["[link]\nid = 1", ["link"], 1, 1],
  ["[link]\nid = 1", ["link", "id"], 2, 1],
  ["[link]\nid = 1", ["link", "key_file"], 1, 1],
  ["[link]\nid = 1", ["journal"], 1, 1],
  ["[[s]]\nn = 1\n[[s]]\nn = 2", ["s", 1, "n"], 4, 1],
  ["[[s]]\n[[s]]\n  [s.tls]\n  ca = 1", ["s", 1, "tls", "ca"], 4, 3],
  ["[[s]]\n[[s]]\n  [s.tls]\n  ca = 1", ["s", 1, "tls"], 3, 3],
  ["link.path.x = 1", ["link", "path"], 1, 6],
  ["\"a b\".'c' = 1", ["a b", "c"], 1, 7],
  ["a = { b = 1, c = { d = 2 } }", ["a", "c", "d"], 1, 20],
  ["a = [ 1,\n  { f = 2 } ]", ["a", 1, "f"], 2, 5],
  ["a = [ 1,\n  2 ]", ["a", 1], 2, 3],
  ["[link.path]\nx = 1\n[link]\nid = 1", ["link"], 3, 1],
  ["", ["link", "id"], 1, 1],
];
test.each(PLACES)("locate() finds in %j the key %j", (text, path, line, column) => {
  expect(parse(text).locate(path)).toEqual({ line, column });
});
