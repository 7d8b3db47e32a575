import { expect, test } from "bun:test";
import { formatFileName, parseFileName } from "../../../../shared/framing/file-name.ts";

test("formatFileName() gives names that sort as the files were made", () => {
  const names = [
    formatFileName("plant_7", 0x10n, 9),
    formatFileName("plant_7", 0x10n, 10),
    formatFileName("plant_7", 0xabc0_0000_0000_0000n, 0),
  ];
  expect(names[0]).toBe("plant_7_0000000000000010_0000000009.tgd");
  expect([...names].sort()).toEqual(names);
  expect(names.map((name) => parseFileName(name)?.number)).toEqual([9, 10, 0]);
  expect(parseFileName(names[2] ?? "")?.epoch).toBe(0xabc0_0000_0000_0000n);
  expect(parseFileName(names[0] ?? "")?.linkId).toBe("plant_7");
});

test.each([
  "",
  "a.tgd",
  ".plant-7_0000000000000010_0000000009.tgd.part",
  "plant-7_0000000000000010_0000000009.tgd.tmp",
  "plant-7_0000000000000010_000000009.tgd",
  "plant-7_000000000000001G_0000000009.tgd",
  "../x_0000000000000010_0000000009.tgd",
  "plant 7_0000000000000010_0000000009.tgd",
  "plant-7_0000000000000010_0000000009.TGD",
])("parseFileName() refuses %p", (name) => {
  expect(parseFileName(name)).toBeUndefined();
});
