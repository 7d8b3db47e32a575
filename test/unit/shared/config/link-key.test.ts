import { afterAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, statSync, symlinkSync } from "node:fs";
import {
  createLinkKey,
  decodeLinkKey,
  encodeLinkKey,
  readLinkKey,
} from "../../../../shared/config/link-key.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("link-key");
afterAll(() => workspace.remove());

const KEY = new Uint8Array(32).map((_, index) => index * 7 + 1);
const LINE = `tidegate-key-1:${Buffer.from(KEY).toString("base64")}`;

test.each([LINE, `${LINE}\n`, `# mine\r\n\r\n${LINE}\r\n# end`, encodeLinkKey(KEY)])(
  "decodeLinkKey() takes %j",
  (text) => {
    expect(decodeLinkKey(text)).toEqual(KEY);
  },
);

const BAD: [text: string, problem: string][] = [
  ["", "holds no key"],
  ["# only a comment\n", "holds no key"],
  [`${LINE}\n${LINE}\n`, "holds 2 lines besides comments"],
  ["tidegate-key-2:AAAA", 'does not begin with "tidegate-key-1:"'],
  [` ${LINE}`, 'does not begin with "tidegate-key-1:"'],
  [`\ufeff${LINE}`, 'does not begin with "tidegate-key-1:"'],
  [`${LINE} `, "holds a key that is not canonical base64"],
  [LINE.replace("=", ""), "holds a key that is not canonical base64"],
  [LINE.replace(/.=$/, "/="), "holds a key that is not canonical base64"],
  [`tidegate-key-1:${Buffer.alloc(31, 1).toString("base64")}`, "holds a key of 31 bytes"],
  [`tidegate-key-1:${Buffer.alloc(33, 1).toString("base64")}`, "holds a key of 33 bytes"],
  ["tidegate-key-1:", "holds a key of 0 bytes"],
  [`tidegate-key-1:${Buffer.from(KEY).toString("hex")}`, "holds a key of 48 bytes"],
];
test.each(BAD)("decodeLinkKey() refuses %j", (text, problem) => {
  expect(decodeLinkKey(text)).toBe(problem);
});

test("createLinkKey() writes what readLinkKey() reads, for its owner alone", () => {
  const path = workspace.path("link.key");
  const created = createLinkKey(path, randomBytes);
  const read = readLinkKey(path);
  if (!created.ok || !read.ok) throw new Error("no key");
  expect(Buffer.from(read.secret.reveal())).toEqual(Buffer.from(created.key.reveal()));
  expect(statSync(path).mode & 0o7777).toBe(0o600);
});

test("createLinkKey() overwrites no file and follows no symbolic link", () => {
  const problem = "exists already, and a key in use must not be overwritten";
  expect(createLinkKey(workspace.write("used.key", "precious"), randomBytes)).toEqual({ ok: false, problem });
  expect(workspace.read("used.key")).toBe("precious");
  symlinkSync(workspace.path("elsewhere"), workspace.path("dangling"));
  expect(createLinkKey(workspace.path("dangling"), randomBytes)).toEqual({ ok: false, problem });
  expect(existsSync(workspace.path("elsewhere"))).toBe(false);
});

test("createLinkKey() leaves no file behind when it fails", () => {
  expect(createLinkKey(workspace.path("no/such/link.key"), randomBytes)).toEqual({
    ok: false,
    problem: "is in a directory that does not exist",
  });
  expect(createLinkKey(workspace.path("short.key"), () => new Uint8Array(8))).toEqual({
    ok: false,
    problem: "got 8 random bytes",
  });
  expect(existsSync(workspace.path("short.key"))).toBe(false);
});

test("readLinkKey() never shows the content of the file", () => {
  const read = readLinkKey(workspace.write("wrong.key", "secret-but-wrong"));
  expect(JSON.stringify(read)).not.toContain("secret-but-wrong");
  expect(read.ok).toBe(false);
});
