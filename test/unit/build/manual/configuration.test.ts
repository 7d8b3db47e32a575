import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { renderConfiguration } from "../../../../build/manual/configuration.ts";

test("docs/configuration.md is what the schemas say (bun build/manual/configuration.ts writes it)", () => {
  const written = readFileSync(new URL("../../../../docs/configuration.md", import.meta.url), "utf8");
  expect(written).toBe(renderConfiguration());
});

test("renderConfiguration() describes every key", () => {
  for (const line of renderConfiguration().split("\n")) {
    if (line.startsWith("| `")) expect([line, line.endsWith("|  |")]).toEqual([line, false]);
  }
});
