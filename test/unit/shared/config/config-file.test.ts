import { afterAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readConfigFile } from "../../../../shared/config/config-file.ts";
import { formatFault } from "../../../../shared/config/fault.ts";
import { readToml } from "../../../../shared/config/toml.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("config-file");
afterAll(() => workspace.remove());

function fault(file: string): string {
  const read = readConfigFile(file);
  return read.ok ? "no fault" : formatFault(read.fault).replace(workspace.directory, "DIR");
}

test("readConfigFile() refuses a missing file", () => {
  expect(fault(workspace.path("none.toml"))).toBe(
    "DIR/none.toml:1:1: file: does not exist; must be a readable TOML file of at most 1048576 bytes",
  );
});

test("readConfigFile() refuses a directory", () => {
  expect(fault(workspace.directory)).toBe(
    "DIR:1:1: file: is a directory; must be a readable TOML file of at most 1048576 bytes",
  );
});

test("readConfigFile() refuses a FIFO without waiting for a writer", () => {
  const fifo = workspace.path("fifo");
  expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
  expect(fault(fifo)).toContain("DIR/fifo:1:1: file: is not a regular file; ");
});

test("readConfigFile() refuses a path through a file", () => {
  workspace.write("plain", "x");
  expect(fault(workspace.path("plain/x"))).toContain("has a path with a file where a directory should be");
});

test("readConfigFile() takes 1 MiB and refuses one byte more, and 10 MB", () => {
  expect(fault(workspace.write("max", "#".repeat(1_048_576)))).toBe("no fault");
  expect(fault(workspace.write("over", "#".repeat(1_048_577)))).toContain("is over 1048576 bytes (1048577)");
  expect(fault(workspace.write("huge", "#".repeat(10_000_000)))).toContain(
    "is over 1048576 bytes (10000000)",
  );
});

test("readConfigFile() tells the line that is not UTF-8", () => {
  const bytes = Buffer.concat([Buffer.from("a = 1\n# é\nb = "), Buffer.from([0xff, 0xfe, 0x0a])]);
  expect(fault(workspace.write("binary", bytes))).toBe(
    "DIR/binary:3:1: file: is not UTF-8 text; must be TOML, saved as UTF-8",
  );
});

test("readToml() takes an empty file, a byte order mark and CRLF", () => {
  const empty = readToml(workspace.write("empty.toml", ""));
  expect(empty.ok && empty.document.table).toEqual({});
  const windows = readToml(workspace.write("windows.toml", "\ufeffa = 1\r\n[b]\r\nc = 'x'\r\n"));
  expect(windows.ok && windows.document.table).toEqual({ a: 1, b: { c: "x" } });
  expect(windows.ok && windows.document.locate(["a"])).toEqual({ line: 1, column: 1 });
});
