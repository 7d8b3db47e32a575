import { afterAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { generateKey } from "../../../../shared/cli/keygen.ts";
import { readLinkKey } from "../../../../shared/config/link-key.ts";
import { Workspace } from "../../../support/workspace.ts";

const workspace = new Workspace("keygen");
afterAll(() => workspace.remove());

test("generateKey() prints the file and the key id, not the key", () => {
  const file = workspace.path("link.key");
  const result = generateKey(file, randomBytes, (key) => `id-of-${key.length}`);
  expect(result).toEqual({ status: 0, stdout: `${file}\nkey id id-of-32\n`, stderr: "" });
  expect(readLinkKey(file).ok).toBe(true);
});

test("generateKey() says why it wrote nothing", () => {
  const file = workspace.write("used.key", "x");
  expect(generateKey(file, randomBytes, () => "")).toEqual({
    status: 1,
    stdout: "",
    stderr: `cannot create link key ${file}: exists already, and a key in use must not be overwritten\n`,
  });
});
